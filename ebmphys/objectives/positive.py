"""Positive phases: hidden units given the data, for machines in which they act on each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.objectives.base import PositivePhase, at_least_one, set_rng
from ebmphys.objectives.starts import at_data
from ebmphys.samplers import BlockGibbs, advance
from ebmphys.samplers.mean_field import mean_field


class Clamped:
    """k Gibbs sweeps of the hidden sites with the data held on the visible ones (Ackley, Hinton and Sejnowski 1985).

    They start at random, or where ``start`` (``MeanField``) puts them: nothing can persist from batch to batch.
    Raises ValueError for k < 1.
    """

    def __init__(self, k: int, rng: torch.Generator, start: PositivePhase | None = None) -> None:
        self.k, self.rng, self.start = at_least_one("k", k), rng, start

    @torch.no_grad()
    def fill(self, model: EnergyModel, v: Tensor) -> Tensor:
        sampler = BlockGibbs(model, clamp=model.visible_blocks)
        chains = at_data(sampler, v, len(v), rng=self.rng)
        if self.start is not None:
            chains.x = self.start.fill(model, v).to(chains.x)
        advance(sampler, chains, self.k)
        return chains.x.to(v)

    def state_dict(self) -> dict[str, Any]:
        return {"rng": self.rng.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        set_rng(self.rng, state["rng"])


class MeanField:
    """Hidden sites at their mean-field means, m = E[x | eta(v, m)], by ``steps`` sweeps over the hidden blocks.

    With q the product law of these means, <E>_q is E at the means for two-valued units, and the gradient is that of
    the variational bound log p(v) >= -<E>_q + entropy of q - log Z (Salakhutdinov and Larochelle 2010): exact where
    hidden units are independent given the data, otherwise a bias that draws it towards such machines.
    Raises ValueError for steps < 1, and for hidden units with more values than two.
    """

    def __init__(self, steps: int = 20) -> None:
        self.steps = at_least_one("steps", steps)

    @torch.no_grad()
    def fill(self, model: EnergyModel, v: Tensor) -> Tensor:
        for name in model.hidden_blocks:
            if len(model.units[name].values) != 2:
                raise ValueError(
                    f"mean field takes two-valued hidden units, those of block {name} are not: use Clamped"
                )
        return mean_field(model, v, self.steps)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass
