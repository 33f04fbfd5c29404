"""Sampling, Boltzmann machines and honest comparison for Ising-like systems."""

__version__ = "0.1.0"
