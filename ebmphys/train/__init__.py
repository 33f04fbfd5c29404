"""Training: one loop for every model and objective, its settings, its history, and what to watch."""

from ebmphys.train.history import History, Record
from ebmphys.train.loop import Monitor, check_data, fit
from ebmphys.train.monitors import (
    chain_mean,
    chains_of,
    exact_kl,
    free_energy_gap,
    kl_on_data,
    mean_elbo,
    mean_log_likelihood,
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
    "GlobalFlip",
    "History",
    "LatticeMoves",
    "Monitor",
    "Progress",
    "RateSchedule",
    "Record",
    "Training",
    "chain_mean",
    "chains_of",
    "check_data",
    "exact_kl",
    "fit",
    "free_energy_gap",
    "kl_on_data",
    "mean_elbo",
    "mean_log_likelihood",
    "split",
    "split_chains",
    "suited",
]
