"""Energies: what a model knows. None of them samples or fits itself."""

from ebmphys.energies.base import EnergyModel
from ebmphys.energies.ising import Ising, ferromagnet, gaussian_couplings, plus_minus_couplings, satisfying_spins
from ebmphys.energies.rbm import RBM

ENERGIES: dict[str, type[EnergyModel]] = {"ising": Ising, "rbm": RBM}

__all__ = [
    "ENERGIES",
    "RBM",
    "EnergyModel",
    "Ising",
    "ferromagnet",
    "gaussian_couplings",
    "plus_minus_couplings",
    "satisfying_spins",
]
