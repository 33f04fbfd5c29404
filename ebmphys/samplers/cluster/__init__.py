"""Cluster updates: Swendsen-Wang and Wolff, on any graph with ferromagnetic bonds, and their improved estimators."""

from ebmphys.samplers.cluster.bonds import bond_activation
from ebmphys.samplers.cluster.components import connected_components
from ebmphys.samplers.cluster.estimators import improved_magnetization_squared, improved_two_point
from ebmphys.samplers.cluster.swendsen_wang import SwendsenWang
from ebmphys.samplers.cluster.wolff import Wolff

__all__ = [
    "SwendsenWang",
    "Wolff",
    "bond_activation",
    "connected_components",
    "improved_magnetization_squared",
    "improved_two_point",
]
