"""Training: one loop for every model and objective, its settings, its history, and what to watch."""

from ebmphys.train.gradients import Centred, Clipped, GradientTransform, NaturalGradient, suited_transforms
from ebmphys.train.history import History, Record, doubts
from ebmphys.train.loop import Monitor, check_data, fit
from ebmphys.train.monitors import (
    BracketedLikelihood,
    against_data,
    chain_deviation,
    chain_mean,
    chain_tau,
    chains_of,
    data_mean,
    exact_kl,
    free_energy_gap,
    kl_on_data,
    mean_elbo,
    mean_log_likelihood,
    singular_value,
    suited,
)
from ebmphys.train.progress import Progress
from ebmphys.train.schedules import SCHEDULES, RateSchedule
from ebmphys.train.settings import OPTIMIZERS, Training
from ebmphys.train.split import split, split_chains
from ebmphys.train.symmetries import Augmentation, GlobalFlip, LatticeMoves

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "Augmentation",
    "BracketedLikelihood",
    "Centred",
    "Clipped",
    "GlobalFlip",
    "GradientTransform",
    "History",
    "LatticeMoves",
    "Monitor",
    "NaturalGradient",
    "Progress",
    "RateSchedule",
    "Record",
    "Training",
    "against_data",
    "chain_deviation",
    "chain_mean",
    "chain_tau",
    "chains_of",
    "check_data",
    "data_mean",
    "doubts",
    "exact_kl",
    "fit",
    "free_energy_gap",
    "kl_on_data",
    "mean_elbo",
    "mean_log_likelihood",
    "singular_value",
    "split",
    "split_chains",
    "suited",
    "suited_transforms",
]
