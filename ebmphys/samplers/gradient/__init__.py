"""Samplers that follow the gradient of the energy, for any energy that autograd can differentiate."""

from ebmphys.samplers.gradient.locally_informed import GibbsWithGradients, first_order_flips
from ebmphys.samplers.gradient.trajectories import HMC, Langevin

__all__ = ["HMC", "GibbsWithGradients", "Langevin", "first_order_flips"]
