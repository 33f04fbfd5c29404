"""Metropolis-Hastings: single flips in parallel over each block, and the general form with any proposal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.rng import uniforms
from ebmphys.samplers.base import Chains, random_chains, scaled

Proposal = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor | float]]


def flip_accepted(model: EnergyModel, x: Tensor, block: str, beta: Tensor, u: Tensor, attempt: float = 1.0) -> Tensor:
    """Whether each site of a block takes its other value: u < attempt * min(1, exp(-beta dE)); (*batch, |block|)."""
    eta = scaled(beta, model.conditional(x, block), x.shape[:-1])
    upper = x[..., model.blocks[block]] == model.units[block].values[1]
    # eta is the log-odds of the upper value, so flipping down costs exp(-eta) and flipping up exp(+eta).
    return u < attempt * torch.exp(torch.where(upper, -eta, eta)).clamp_(max=1)


@dataclass(frozen=True)
class Metropolis:
    """Single-site flips with acceptance min(1, exp(-beta dE)) (Metropolis et al. 1953), all sites of a block at
    once; on a lattice these are checkerboard sweeps. One step is one sweep: each site is offered a flip with
    probability ``attempt``.

    Where attempt = 1, flips that cost nothing are certain and whole sublattices flip together: a configuration of
    stripes one site wide only ever becomes its own inverse, at beta = 0 every configuration does, and on 2 x 4 the
    chain falls into five classes that never meet. With any attempt < 1 it is irreducible and aperiodic; the default
    costs 1/15 more steps. Returns ``acceptance``, (*batch,), flips a site. Probabilities are resolved to 2^-24.
    Raises ValueError for units that are not two-valued, or an attempt outside (0, 1].
    """

    model: EnergyModel
    attempt: float = 15 / 16

    def __post_init__(self) -> None:
        if any(len(unit.values) != 2 for unit in self.model.units.values()):
            raise ValueError("Metropolis flips two-valued units; use BlockGibbs or MetropolisHastings here")
        if not 0 < self.attempt <= 1:
            raise ValueError(f"attempt is a probability above 0, got {self.attempt}")

    def init(self, *batch: int, beta: Tensor | float = 1.0, rng: torch.Generator) -> Chains:
        return random_chains(self.model, batch, beta, rng)

    @torch.no_grad()
    def step(self, chains: Chains) -> dict[str, Tensor]:
        accepted = torch.zeros(chains.batch, device=chains.x.device)
        for name, sites in self.model.blocks.items():
            before = chains.x[..., sites]
            u = uniforms(before.shape, chains.rng)
            flips = flip_accepted(self.model, chains.x, name, chains.beta, u, self.attempt)
            chains.x[..., sites] = torch.where(flips, sum(self.model.units[name].values) - before, before)
            accepted += flips.sum(-1)
        return {"acceptance": accepted / self.model.n_sites}


@dataclass(frozen=True)
class MetropolisHastings:
    """Any proposal x -> x' with its log-ratio log q(x | x') - log q(x' | x) (Hastings 1970).

    ``proposal(x, rng)`` gives (x', log-ratio), the log-ratio (*batch,) or 0 where the proposal is symmetric;
    x' is accepted with probability min(1, exp(-beta (E' - E) + log-ratio)). One step is one proposal a chain.
    Returns ``acceptance``, (*batch,) zeros and ones.
    Raises ValueError where an energy or a log-ratio is not a number: such a chain would silently never move.
    """

    model: EnergyModel
    proposal: Proposal

    def init(self, *batch: int, beta: Tensor | float = 1.0, rng: torch.Generator) -> Chains:
        return random_chains(self.model, batch, beta, rng)

    @torch.no_grad()
    def step(self, chains: Chains) -> dict[str, Tensor]:
        proposed, log_ratio = self.proposal(chains.x, chains.rng)
        cost = self.model.energy(proposed) - self.model.energy(chains.x)
        log_acceptance = log_ratio - chains.beta * cost
        if bool(log_acceptance.isnan().any()):
            raise ValueError("the energy or the proposal's log-ratio is not a number: check the model's parameters")
        accepted = uniforms(chains.batch, chains.rng) < log_acceptance.exp()
        chains.x = torch.where(accepted[..., None], proposed, chains.x)
        return {"acceptance": accepted.float()}


def spin_exchange(x: Tensor, rng: torch.Generator) -> tuple[Tensor, float]:
    """Swap the spins of two sites picked at random: moves at fixed magnetization (after Kawasaki 1966)."""
    pair = torch.randint(x.shape[-1], (*x.shape[:-1], 2), generator=rng, device=x.device)
    return x.scatter(-1, pair, x.gather(-1, pair.flip(-1))), 0.0
