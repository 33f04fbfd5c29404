"""Hamiltonian and Langevin moves of real visible units, hidden ones summed out on the way and drawn at its end."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.rng import uniforms
from ebmphys.samplers.base import Chains, random_chains
from ebmphys.samplers.gibbs import heat_bath
from ebmphys.units import Gaussian


@dataclass(frozen=True)
class HMC:
    """Hybrid Monte Carlo (Duane, Kennedy, Pendleton and Roweth 1987) of the visible law exp(-beta F_beta(v)) / Z.

    A step draws momenta N(0, 1), follows ``leapfrogs`` steps of length ``step_size`` and accepts the end with
    probability min(1, exp(H - H')), so the law is exact at any step size; 0.65 accepted is about right. Hidden
    units are then drawn given the visible ones. Returns ``acceptance``, (*batch,) zeros and ones.
    Raises ValueError for visible units that are not Gaussian, hidden units that are more than one block, a step size
    that is not positive, leapfrogs < 1, and where a potential is not finite.
    """

    model: EnergyModel
    step_size: float
    leapfrogs: int = 10

    def __post_init__(self) -> None:
        _check(self.model, self.step_size, self.leapfrogs)

    def init(self, *batch: int, beta: Tensor | float = 1.0, rng: torch.Generator) -> Chains:
        return random_chains(self.model, batch, beta, rng)

    @torch.no_grad()
    def step(self, chains: Chains) -> dict[str, Tensor]:
        return {"acceptance": _move(self.model, chains, self.step_size, self.leapfrogs, True)}


@dataclass(frozen=True)
class Langevin:
    """Langevin steps v' = v - epsilon grad(beta F) + sqrt(2 epsilon) noise, with the Metropolis test that makes the
    law exact (Rossky, Doll and Friedman 1978; Roberts and Tweedie 1996): an ``HMC`` of one leapfrog.

    ``step_size`` is epsilon; 0.57 accepted is about right. Not ``adjusted``, every step is taken, and the law is off by
    a term of order epsilon: for training and for looking, not for measuring. Returns and raises as ``HMC`` does.
    """

    model: EnergyModel
    step_size: float
    adjusted: bool = True

    def __post_init__(self) -> None:
        _check(self.model, self.step_size, 1)

    def init(self, *batch: int, beta: Tensor | float = 1.0, rng: torch.Generator) -> Chains:
        return random_chains(self.model, batch, beta, rng)

    @torch.no_grad()
    def step(self, chains: Chains) -> dict[str, Tensor]:
        return {"acceptance": _move(self.model, chains, math.sqrt(2 * self.step_size), 1, self.adjusted)}


def _check(model: EnergyModel, step_size: float, leapfrogs: int) -> None:
    if not all(isinstance(model.units[name], Gaussian) for name in model.visible_blocks):
        raise ValueError("trajectories need Gaussian visible units; use GibbsWithGradients for two-valued ones")
    if len(model.hidden_blocks) > 1 or not model.sums_out_hidden:
        raise ValueError("trajectories follow F(v), so hidden units must sum out and be one block; use BlockGibbs here")
    if not (step_size > 0 and math.isfinite(step_size)) or leapfrogs < 1:
        raise ValueError(f"a trajectory needs step_size > 0 and leapfrogs >= 1, got {step_size} and {leapfrogs}")


def _move(model: EnergyModel, chains: Chains, h: float, leapfrogs: int, adjusted: bool) -> Tensor:
    beta, x = chains.beta.expand(chains.batch), chains.x.clone()
    v = x[..., : model.n_visible]
    momentum = torch.randn(v.shape, generator=chains.rng, device=v.device, dtype=v.dtype)
    potential, slope = _potential(model, v, beta)
    if not bool(potential.isfinite().all()):
        raise ValueError("the energy is not finite where a chain is: check the model's parameters and the step size")
    end, p = v, momentum
    potential_there, slope_there = potential, slope
    for _ in range(leapfrogs):
        p = p - 0.5 * h * slope_there
        end = end + h * p
        potential_there, slope_there = _potential(model, end, beta)
        p = p - 0.5 * h * slope_there
    kinetic, kinetic_there = 0.5 * momentum.square().sum(-1), 0.5 * p.square().sum(-1)
    # A trajectory that diverges ends in something that is not a number, which no uniform is less than: it is refused.
    gain = (potential + kinetic - potential_there - kinetic_there).exp()
    moves = uniforms(chains.batch, chains.rng) < gain if adjusted else torch.ones_like(potential, dtype=torch.bool)
    x[..., : model.n_visible] = torch.where(moves[..., None], end, v)
    for name in model.hidden_blocks:
        sites = model.blocks[name]
        x[..., sites] = heat_bath(model, x, name, chains.beta, uniforms(x[..., sites].shape, chains.rng))
    chains.x = x
    return moves.to(x.dtype)


def _potential(model: EnergyModel, v: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """beta F_beta(v) and its gradient; (*batch, n_visible), (*batch,) -> (*batch,), (*batch, n_visible)."""
    with torch.enable_grad():
        at = v.detach().requires_grad_()
        potential = beta * model.free_energy(at, beta)
        (slope,) = torch.autograd.grad(potential.sum(), at)
    return potential.detach(), slope
