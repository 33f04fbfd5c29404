"""What configurations come from, behind one face: Markov chains of one or several models, or independent draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ebmphys.dataset import pack
from ebmphys.generators import IndependentModel
from ebmphys.samplers import Chains, Sampler, advance, can_flip, offer_flips
from ebmphys.units import Spin, Unit


def as_spins(x: Tensor, unit: Unit) -> Tensor:
    """Two-valued units as -1 and +1, continuous ones as they are: what a file holds whatever a model's units are."""
    return x if len(unit.values) != 2 or unit.values == Spin().values else 2 * x - 1


State = dict[str, NDArray[np.generic]]
Energy = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Draw:
    """What is written of one draw of every chain.

    rows: (temperature, chain, ...), packed bits of two-valued units or else float32 values; energy E and
    magnetization m, float64, (temperature, chain).
    """

    rows: NDArray[np.generic]
    energy: NDArray[np.float64]
    magnetization: NDArray[np.float64]

    @classmethod
    def of(cls, x: Tensor, unit: Unit, energy: Energy) -> Draw:
        """Of visible units (temperature, chain, n_visible), with the energy of their spins -1 and +1."""
        spins = as_spins(x, unit)
        rows = pack(spins) if len(unit.values) == 2 else spins.cpu().numpy()
        return cls(rows, _numbers(energy(spins)), _numbers(spins.mean(-1, dtype=torch.float64)))


def _numbers(values: Tensor) -> NDArray[np.float64]:
    return values.detach().cpu().double().numpy()


class Source(Protocol):
    """A stream of configurations that can be stopped after any draw and restarted from its state."""

    burn_in: int

    def advance(self, steps: int) -> None:
        """So many steps of every chain, for the burn-in."""
        ...

    def draw(self, energy: Energy | None = None) -> Draw:
        """The next configurations with their energies: those of ``energy``, (..., n_visible) -> (...,) on spins -1 and
        +1, or where it is None of the model that is drawn from."""
        ...

    def state(self) -> State:
        """Arrays from which ``restore`` goes on, bit for bit."""
        ...

    def restore(self, state: State) -> None: ...


class MarkovChains:
    """Chains, one batch a model; a batch of shape (temperature, chain) or (chain,) for one temperature.

    Before each draw every chain is offered its global flip where that is right, so that both signs of the magnetization
    come with their weights below T_c too, where local steps keep the sign that a chain began with.
    """

    def __init__(
        self, samplers: Sequence[Sampler], batches: Sequence[Chains], *, thin: int = 1, burn_in: int = 0
    ) -> None:
        self.samplers, self.batches, self.thin, self.burn_in = samplers, batches, thin, burn_in
        units = [unit for sampler in samplers for unit in sampler.model.units.values()]
        # Spins and bits are whole numbers; anything else needs all its digits to go on bit for bit.
        self._whole = all(len(unit.values) == 2 for unit in units)

    def advance(self, steps: int) -> None:
        for sampler, chains in zip(self.samplers, self.batches, strict=True):
            advance(sampler, chains, steps)

    def draw(self, energy: Energy | None = None) -> Draw:
        parts = []
        for sampler, chains in zip(self.samplers, self.batches, strict=True):
            if can_flip(sampler.model):
                offer_flips(sampler.model, chains)
            advance(sampler, chains, self.thin)
            parts.append(_drawn(sampler, chains, energy))
        rows, energies, magnetizations = zip(*parts, strict=True)
        return Draw(_stacked(rows, 2), _stacked(energies, 1), _stacked(magnetizations, 1))

    def state(self) -> State:
        found: State = {}
        for number, chains in enumerate(self.batches):
            for name, value in chains.state().items():
                found[f"{name}{number}"] = value.astype(np.int8) if self._whole and name == "x" else value
        return found

    def restore(self, state: State) -> None:
        for number, chains in enumerate(self.batches):
            chains.restore({name: state[f"{name}{number}"] for name in chains.state()})


def _drawn(sampler: Sampler, chains: Chains, energy: Energy | None) -> tuple[NDArray[Any], ...]:
    """Rows, energies and magnetizations of a batch, from the chains' own storage where its energies are asked for."""
    model, unit = sampler.model, sampler.model.visible_unit
    if energy is None and unit.values == Spin().values:
        energies, m = chains.energy(model), chains.magnetization(model.n_visible)
        return chains.bits(model.n_visible), _numbers(energies), _numbers(m)
    if energy is None:
        raise ValueError("a file holds spins: say whose energy these units have as spins")
    draw = Draw.of(chains.x[..., : model.n_visible], unit, energy)
    return draw.rows, draw.energy, draw.magnetization


def _stacked(parts: Sequence[NDArray[Any]], axes: int) -> NDArray[Any]:
    """Batches of (temperature, chain) or (chain,) one below the other; ``axes`` are those of one temperature."""
    return np.concatenate([part.reshape(-1, *part.shape[-axes:]) for part in parts])


class IndependentDraws:
    """Draws of models that need no chain, one model a temperature."""

    burn_in = 0

    def __init__(
        self,
        models: Sequence[IndependentModel],
        chains: int,
        rngs: Sequence[torch.Generator],
        draw: Callable[[IndependentModel, int, torch.Generator], Tensor] = lambda model, n, rng: model.draw(n, rng),
    ) -> None:
        self.models, self.chains, self.rngs, self._draw = models, chains, rngs, draw

    def advance(self, steps: int) -> None:
        """Nothing to do: each draw is independent of the last."""

    def draw(self, energy: Energy | None = None) -> Draw:
        if energy is None:
            raise ValueError("draws of a model without an energy need one")
        with torch.no_grad():
            drawn = [self._draw(model, self.chains, rng) for model, rng in zip(self.models, self.rngs, strict=True)]
        # One energy of all temperatures together; models of one file have the same units.
        return Draw.of(torch.stack(drawn), self.models[0].visible_unit, energy)

    def state(self) -> State:
        return {f"rng{number}": rng.get_state().numpy() for number, rng in enumerate(self.rngs)}

    def restore(self, state: State) -> None:
        for number, rng in enumerate(self.rngs):
            rng.set_state(torch.from_numpy(state[f"rng{number}"].astype(np.uint8)))
