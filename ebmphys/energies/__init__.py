"""Energies: what a model knows. None of them samples or fits itself."""

from ebmphys.energies.base import EnergyModel
from ebmphys.energies.boltzmann import BoltzmannMachine
from ebmphys.energies.convolutional import ConvolutionalRBM
from ebmphys.energies.deep import DeepBoltzmannMachine
from ebmphys.energies.gauge import as_bits, as_spins, zero_sum_gauge
from ebmphys.energies.ising import Ising, ferromagnet, gaussian_couplings, plus_minus_couplings, satisfying_spins
from ebmphys.energies.neural import NeuralEnergy
from ebmphys.energies.pretraining import pretraining_machine, stacked
from ebmphys.energies.rbm import RBM, exchanged
from ebmphys.energies.two_layers import Couplings, TwoLayers

ENERGIES: dict[str, type[EnergyModel]] = {
    "ising": Ising,
    "rbm": RBM,
    "convolutional_rbm": ConvolutionalRBM,
    "boltzmann": BoltzmannMachine,
    "dbm": DeepBoltzmannMachine,
    "neural": NeuralEnergy,
}

__all__ = [
    "ENERGIES",
    "RBM",
    "BoltzmannMachine",
    "ConvolutionalRBM",
    "Couplings",
    "DeepBoltzmannMachine",
    "EnergyModel",
    "Ising",
    "NeuralEnergy",
    "TwoLayers",
    "as_bits",
    "as_spins",
    "exchanged",
    "ferromagnet",
    "gaussian_couplings",
    "plus_minus_couplings",
    "pretraining_machine",
    "satisfying_spins",
    "stacked",
    "zero_sum_gauge",
]
