"""What configurations come from, behind one face: Markov chains of one or several models, or independent draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ebmphys.generators import IndependentModel
from ebmphys.samplers import Chains, Sampler, can_flip, offer_flips
from ebmphys.units import Spin, Unit


def as_spins(x: Tensor, unit: Unit) -> Tensor:
    """Two-valued units as -1 and +1, continuous ones as they are: what a file holds whatever a model's units are."""
    return x if len(unit.values) != 2 or unit.values == Spin().values else 2 * x - 1


State = dict[str, NDArray[np.generic]]


class Source(Protocol):
    """A stream of configurations that can be stopped after any draw and restarted from its state."""

    burn_in: int

    def step(self) -> None:
        """One step of every chain, for the burn-in."""
        ...

    def draw(self) -> Tensor:
        """The next visible configurations; -> (temperature, chain, n_visible)."""
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

    def step(self) -> None:
        for sampler, chains in zip(self.samplers, self.batches, strict=True):
            sampler.step(chains)

    def draw(self) -> Tensor:
        for sampler, chains in zip(self.samplers, self.batches, strict=True):
            if can_flip(sampler.model):
                offer_flips(sampler.model, chains)
        for _ in range(self.thin):
            self.step()
        visible = [
            as_spins(chains.x[..., : sampler.model.n_visible], sampler.model.visible_unit)
            for sampler, chains in zip(self.samplers, self.batches, strict=True)
        ]
        return torch.cat([x.reshape(-1, *x.shape[-2:]) for x in visible])

    def state(self) -> State:
        found: State = {}
        for number, chains in enumerate(self.batches):
            for name, value in chains.state().items():
                found[f"{name}{number}"] = value.astype(np.int8) if self._whole and name == "x" else value
        return found

    def restore(self, state: State) -> None:
        for number, chains in enumerate(self.batches):
            chains.restore({name: state[f"{name}{number}"] for name in chains.state()})


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

    def step(self) -> None:
        """Nothing to do: each draw is independent of the last."""

    def draw(self) -> Tensor:
        with torch.no_grad():
            drawn = [self._draw(model, self.chains, rng) for model, rng in zip(self.models, self.rngs, strict=True)]
        return torch.stack([as_spins(x, model.visible_unit) for x, model in zip(drawn, self.models, strict=True)])

    def state(self) -> State:
        return {f"rng{number}": rng.get_state().numpy() for number, rng in enumerate(self.rngs)}

    def restore(self, state: State) -> None:
        for number, rng in enumerate(self.rngs):
            rng.set_state(torch.from_numpy(state[f"rng{number}"].astype(np.uint8)))
