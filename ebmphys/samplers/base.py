"""What every sampler shares: the state of its chains, the loop as a generator, and recording while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.rng import uniforms
from ebmphys.units import no_field

Observable = Callable[[Tensor], Tensor]
State = dict[str, NDArray[np.generic]]

_AT_ONCE = 2**22  # numbers


@dataclass
class Chains:
    """All that a restart needs: configurations (*batch, n_sites), their inverse temperatures, a generator.

    beta broadcasts against the batch, so 16 temperatures x 64 chains is ``beta=betas[:, None]``.
    """

    x: Tensor
    beta: Tensor
    rng: torch.Generator

    @property
    def batch(self) -> torch.Size:
        return self.x.shape[:-1]

    @torch.no_grad()
    def energy(self, model: EnergyModel) -> Tensor:
        """E of each chain's configuration; -> (*batch,)."""
        rows = self.x.reshape(-1, self.x.shape[-1])
        # An energy gathers the two ends of every bond: some chains at a time, to bound the memory of many.
        some = rows.split(max(1, _AT_ONCE // rows.shape[-1]))
        return torch.cat([model.energy(part) for part in some]).reshape(self.batch)

    def magnetization(self, n_visible: int) -> Tensor:
        """m = sum x / n_visible over the visible sites of each chain, float64; -> (*batch,)."""
        return self.x[..., :n_visible].mean(-1, dtype=torch.float64)

    def bits(self, n_visible: int) -> NDArray[np.uint8]:
        """The visible sites of two-valued units, a set bit for the upper value, in the order of ``numpy.packbits``.

        -> (*batch, ceil(n_visible / 8)).
        """
        return np.packbits((self.x[..., :n_visible] > 0).cpu().numpy(), axis=-1)

    def reorder(self, source: Tensor) -> None:
        """Give each chain the configuration that chain ``source`` had: x[b] <- x[source[b]] over the flattened batch.

        source: (n_chains,) of whole numbers. Inverse temperatures stay where they are.
        """
        self.x = self.x.flatten(0, -2)[source].reshape(self.x.shape)

    def state(self) -> State:
        """Arrays from which ``restore`` goes on bit for bit, beta apart; their shapes and types never change."""
        return {"x": self.x.cpu().numpy().copy(), "rng": self.rng.get_state().numpy()}

    def restore(self, state: State) -> None:
        """Take up a ``state`` of chains of the same model, batch and device."""
        self.x = torch.from_numpy(state["x"]).to(self.x, copy=True)
        self.rng.set_state(torch.from_numpy(state["rng"].astype(np.uint8)))


class Sampler(Protocol):
    """A Markov chain (or a source of independent draws) on the sites of a model; its fields are its settings."""

    @property
    def model(self) -> EnergyModel:
        """The model that is sampled."""
        ...

    def init(self, *batch: int, beta: Tensor | float = 1.0, rng: torch.Generator) -> Chains:
        """Chains that are ready to step."""
        ...

    def step(self, chains: Chains) -> dict[str, Tensor]:
        """Advance every chain in place by one unit of work and return what happened."""
        ...


@dataclass(frozen=True)
class Schedule:
    """``burn_in`` steps that are thrown away, then ``draws`` configurations with ``thin`` steps before each.

    Raises ValueError for counts that make no run.
    """

    draws: int
    thin: int = 1
    burn_in: int = 0

    def __post_init__(self) -> None:
        if self.draws < 1 or self.thin < 1 or self.burn_in < 0:
            raise ValueError(
                f"a schedule needs draws >= 1, thin >= 1 and burn_in >= 0, "
                f"got draws={self.draws}, thin={self.thin}, burn_in={self.burn_in}"
            )


def random_chains(model: EnergyModel, batch: tuple[int, ...], beta: Tensor | float, rng: torch.Generator) -> Chains:
    """Chains that start at infinite temperature: discrete units at random, continuous ones free.

    Raises ValueError where beta is negative, is not finite or does not broadcast to the batch, or where model
    and generator are on different devices.
    """
    if model.device.type != rng.device.type:
        raise ValueError(
            f"the model is on {model.device.type} and the generator on {rng.device.type}: make both on one"
        )
    heat = checked_beta(beta, batch).to(torch.float32).to(rng.device)
    x = torch.empty(*batch, model.n_sites, device=rng.device)
    for name, sites in model.blocks.items():
        unit = model.units[name]
        u = uniforms(x[..., sites].shape, rng)
        x[..., sites] = unit.draw(unit.natural(no_field(unit, u)), u)
    return Chains(x, heat, rng)


def checked_beta(beta: Tensor | float, batch: tuple[int, ...]) -> Tensor:
    """Inverse temperatures of a batch, float64 where they came as numbers.

    Raises ValueError where one is negative or not finite, or where they do not broadcast to the batch.
    """
    heat = beta if isinstance(beta, Tensor) else torch.as_tensor(beta, dtype=torch.float64)
    if not bool((heat.isfinite() & (heat >= 0)).all()):
        raise ValueError("beta must be finite and not negative")
    try:
        torch.broadcast_shapes(heat.shape, batch)
        fits = heat.ndim <= len(batch)
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(f"beta of shape {tuple(heat.shape)} does not broadcast to a batch of {tuple(batch)}")
    return heat


def scaled(beta: Tensor, eta: Tensor, batch: torch.Size) -> Tensor:
    """beta * eta with beta (broadcast to batch) spread over the trailing axes of eta."""
    if beta.ndim == 0:
        return eta * beta
    return eta * beta.expand(batch).reshape(*batch, *(1,) * (eta.ndim - len(batch)))


@torch.no_grad()
def advance(sampler: Sampler, chains: Chains, steps: int) -> None:
    """Many steps at once: in one call where the sampler has an ``advance`` of its own, as compiled kernels do."""
    own = getattr(sampler, "advance", None)
    if own is not None:
        own(chains, steps)
        return
    for _ in range(steps):
        sampler.step(chains)


def draws(sampler: Sampler, chains: Chains, schedule: Schedule) -> Iterator[Chains]:
    """Run the schedule and yield the same, advancing ``chains`` at each draw.

    Whoever loops may look at ``chains.x`` (clone it to keep it), stop at any draw, and start again later with
    ``burn_in=0``: the states visited are the same as in one go.
    """
    advance(sampler, chains, schedule.burn_in)
    for _ in range(schedule.draws):
        advance(sampler, chains, schedule.thin)
        yield chains


def record(
    sampler: Sampler, chains: Chains, schedule: Schedule, observe: Mapping[str, Observable]
) -> dict[str, Tensor]:
    """Each observable of each draw, measured while the chains run; name -> (draw, *batch, ...)."""
    series: dict[str, Tensor] = {}
    with torch.no_grad():
        for number, now in enumerate(draws(sampler, chains, schedule)):
            for name, observable in observe.items():
                value = observable(now.x)
                if number == 0:
                    series[name] = value.new_empty(schedule.draws, *value.shape)
                series[name][number] = value
    return series
