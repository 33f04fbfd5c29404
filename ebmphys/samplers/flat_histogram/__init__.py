"""Flat-histogram sampling: the density of states by Wang and Landau, and multicanonical chains that use it."""

from ebmphys.samplers.flat_histogram.density import DensityOfStates
from ebmphys.samplers.flat_histogram.levels import IntegerIsing
from ebmphys.samplers.flat_histogram.multicanonical import Multicanonical, canonical_averages, canonical_weights
from ebmphys.samplers.flat_histogram.wang_landau import WangLandauStage, wang_landau

__all__ = [
    "DensityOfStates",
    "IntegerIsing",
    "Multicanonical",
    "WangLandauStage",
    "canonical_averages",
    "canonical_weights",
    "wang_landau",
]
