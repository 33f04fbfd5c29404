"""Negative phases of chains that live for one update: from the data (contrastive divergence), or from noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.objectives.base import Draws, MakeSampler, at_least_one, set_rng
from ebmphys.objectives.starts import at_data
from ebmphys.samplers import BlockGibbs, advance


class FromData:
    """k steps of a sampler from the data themselves: CD-k (Hinton 2002), biased but never off the data for long.

    ``make_sampler(model)`` gives the sampler, block Gibbs unless told. Raises ValueError for k < 1.
    """

    warning = ""

    def __init__(self, k: int, rng: torch.Generator, make_sampler: MakeSampler = BlockGibbs) -> None:
        self.k, self.rng, self.make_sampler = at_least_one("k", k), rng, make_sampler

    @torch.no_grad()
    def draw(self, model: EnergyModel, v: Tensor) -> Draws:
        sampler = self.make_sampler(model)
        chains = at_data(sampler, v, len(v), rng=self.rng)
        advance(sampler, chains, self.k)
        return Draws(chains.x.detach())

    def state_dict(self) -> dict[str, Any]:
        return {"rng": self.rng.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        set_rng(self.rng, state["rng"])


class RandomStart:
    """k steps of a sampler from noise, ``n_chains`` of them anew each update (Nijkamp et al. 2019).

    What is learned is a sampler out of equilibrium: k steps from noise look like the data, while the law exp(-E) / Z,
    its likelihood and longer chains do not (Decelle, Furtlehner and Seoane 2021). ``warning`` says so.
    Raises ValueError for k or n_chains < 1.
    """

    def __init__(
        self, k: int, rng: torch.Generator, n_chains: int = 500, make_sampler: MakeSampler = BlockGibbs
    ) -> None:
        self.k, self.n_chains = at_least_one("k", k), at_least_one("n_chains", n_chains)
        self.rng, self.make_sampler = rng, make_sampler

    @property
    def warning(self) -> str:
        return (
            f"learned from {self.k} steps off noise, the model is a sampler of {self.k} steps out of equilibrium: "
            f"its law, its likelihood and longer chains are not to be trusted"
        )

    @torch.no_grad()
    def draw(self, model: EnergyModel, v: Tensor) -> Draws:
        sampler = self.make_sampler(model)
        chains = sampler.init(self.n_chains, rng=self.rng)
        advance(sampler, chains, self.k)
        return Draws(chains.x.detach())

    def state_dict(self) -> dict[str, Any]:
        return {"rng": self.rng.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        set_rng(self.rng, state["rng"])
