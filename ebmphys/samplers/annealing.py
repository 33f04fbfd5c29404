"""Simulated annealing: any sampler through a schedule of inverse temperatures (Kirkpatrick et al. 1983)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmphys.samplers.base import Chains, Sampler, advance


def linear_schedule(first: float, last: float, count: int) -> Tensor:
    """Inverse temperatures from first to last in equal steps; -> (count,) float64.

    Raises ValueError for values that are negative or not finite and fewer than two.
    """
    _check_ends(first, last, count, least=0.0)
    return torch.linspace(first, last, count, dtype=torch.float64)


def geometric_schedule(first: float, last: float, count: int) -> Tensor:
    """Inverse temperatures from first to last, each the same multiple of the one before; -> (count,) float64.

    Raises ValueError for values that are not positive and finite and fewer than two.
    """
    _check_ends(first, last, count, least=torch.finfo(torch.float64).tiny)
    ends = torch.tensor([first, last], dtype=torch.float64).log()
    return torch.linspace(float(ends[0]), float(ends[1]), count, dtype=torch.float64).exp()


def anneal(sampler: Sampler, chains: Chains, betas: Tensor | Sequence[float], steps: int = 1) -> Iterator[Chains]:
    """``steps`` steps at each inverse temperature in turn, yielding the same chains after those at each.

    betas: (n_temperatures,), or (n_temperatures, ...) with the shape of ``chains.beta`` behind, a schedule a chain.
    Whoever loops may record, stop, or change nothing; the chains stay at the last beta.
    Raises ValueError, before anything moves, for a schedule that is empty, negative or not finite, or does not
    fit the chains, and for steps < 1.
    """
    schedule = torch.as_tensor(betas)
    if schedule.ndim < 1 or not len(schedule) or not bool((schedule.isfinite() & (schedule >= 0)).all()):
        raise ValueError("a schedule needs one or more inverse temperatures, finite and not negative")
    if schedule.shape[1:] not in (torch.Size(), chains.beta.shape):
        raise ValueError(
            f"a schedule for chains with beta of shape {tuple(chains.beta.shape)} has that shape behind its first "
            f"axis, or none, got {tuple(schedule.shape)}"
        )
    if steps < 1:
        raise ValueError(f"annealing needs 1 or more steps at each temperature, got {steps}")
    return _anneal(sampler, chains, schedule, steps)


@dataclass(frozen=True)
class GroundState:
    """The lowest energy that each chain met, (*batch,), and the configuration that has it, (*batch, n_sites)."""

    energy: Tensor
    x: Tensor


def ground_state(
    sampler: Sampler, chains: Chains, betas: Tensor | Sequence[float], steps: int = 1, looks: int = 1
) -> GroundState:
    """The best of each chain while it is annealed: an upper bound on the lowest energy, and often it.

    Energies are looked at before the first step and ``looks`` times at each temperature, every ``steps`` steps.
    Raises ValueError as `anneal` does, and for looks < 1.
    """
    if looks < 1:
        raise ValueError(f"the energy must be looked at 1 or more times at each temperature, got {looks}")
    stages = anneal(sampler, chains, torch.as_tensor(betas).repeat_interleave(looks, dim=0), steps)
    energy, x = chains.energy(sampler.model), chains.x.clone()
    for now in stages:
        found = now.energy(sampler.model)
        better = found < energy
        if bool(better.any()):  # configurations may be packed: unpack them only where there is something to keep
            energy = torch.where(better, found, energy)
            x = torch.where(better[..., None], now.x, x)
    return GroundState(energy, x)


def set_beta(chains: Chains, beta: Tensor) -> None:
    """Bring chains to an inverse temperature, one for all or one of the shape that theirs have."""
    chains.beta = beta.to(chains.beta).expand(chains.beta.shape).clone()


def _anneal(sampler: Sampler, chains: Chains, schedule: Tensor, steps: int) -> Iterator[Chains]:
    for beta in schedule:
        set_beta(chains, beta)
        advance(sampler, chains, steps)
        yield chains


def _check_ends(first: float, last: float, count: int, least: float) -> None:
    ends = torch.tensor([first, last], dtype=torch.float64)
    if count < 2 or not bool((ends.isfinite() & (ends >= least)).all()):
        what = "positive" if least else "not negative"
        raise ValueError(f"a schedule runs over 2 or more betas, finite and {what}, got {count} from {first} to {last}")
