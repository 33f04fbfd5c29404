"""Training: one loop for every model and objective, its settings, its history, and what to watch."""

from ebmphys.train.annealed import anneal, blank_rows, reverse_kl
from ebmphys.train.em import (
    ExpectationMaximization,
    MixturePosterior,
    MixtureTraining,
    PseudoCounts,
    effective_components,
    empty_components,
    fit_mixture,
    spread_components,
)
from ebmphys.train.gradients import Centred, Clipped, GradientTransform, NaturalGradient, suited_transforms
from ebmphys.train.greedy import pretrain
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
from ebmphys.train.on_visible import OnVisible
from ebmphys.train.progress import Progress
from ebmphys.train.schedules import SCHEDULES, RateSchedule
from ebmphys.train.settings import OPTIMIZERS, Training
from ebmphys.train.split import held_chains, split, split_chains
from ebmphys.train.symmetries import Augmentation, GlobalFlip, LatticeMoves

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "Augmentation",
    "BracketedLikelihood",
    "Centred",
    "Clipped",
    "ExpectationMaximization",
    "GlobalFlip",
    "GradientTransform",
    "History",
    "LatticeMoves",
    "MixturePosterior",
    "MixtureTraining",
    "Monitor",
    "NaturalGradient",
    "OnVisible",
    "Progress",
    "PseudoCounts",
    "RateSchedule",
    "Record",
    "Training",
    "against_data",
    "anneal",
    "blank_rows",
    "chain_deviation",
    "chain_mean",
    "chain_tau",
    "chains_of",
    "check_data",
    "data_mean",
    "doubts",
    "effective_components",
    "empty_components",
    "exact_kl",
    "fit",
    "fit_mixture",
    "free_energy_gap",
    "held_chains",
    "kl_on_data",
    "mean_elbo",
    "mean_log_likelihood",
    "pretrain",
    "reverse_kl",
    "singular_value",
    "split",
    "split_chains",
    "spread_components",
    "suited",
    "suited_transforms",
]
