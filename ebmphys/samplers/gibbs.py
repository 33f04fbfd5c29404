"""Block Gibbs sampling (heat bath): every block of independent sites drawn at once from its conditional."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.rng import uniforms
from ebmphys.samplers.base import Chains, random_chains, scaled


def heat_bath(model: EnergyModel, x: Tensor, block: str, beta: Tensor, u: Tensor) -> Tensor:
    """New values of a block from one uniform a site; (*batch, n_sites), (*batch, |block|) -> (*batch, |block|)."""
    eta = model.conditional(x, block)
    return model.units[block].draw(scaled(beta, eta, x.shape[:-1]), u)


@dataclass(frozen=True)
class BlockGibbs:
    """Heat bath over the model's blocks in order (Glauber 1963; Geman and Geman 1984); one step is one sweep.

    ``clamp`` names blocks that stay as they are: with ``{"visible"}`` the hidden units of a Boltzmann machine
    are drawn given data; the positive phase, conditional sampling and inpainting are this one thing.
    Probabilities are resolved to 2^-24. Raises ValueError for a block that the model does not have.
    """

    model: EnergyModel
    clamp: Collection[str] = frozenset()

    def __post_init__(self) -> None:
        unknown = set(self.clamp) - set(self.model.blocks)
        if unknown:
            raise ValueError(f"no block named {sorted(unknown)}: the model has {', '.join(self.model.blocks)}")

    def init(self, *batch: int, beta: Tensor | float = 1.0, rng: torch.Generator) -> Chains:
        return random_chains(self.model, batch, beta, rng)

    @torch.no_grad()
    def step(self, chains: Chains) -> dict[str, Tensor]:
        for name, sites in self.model.blocks.items():
            if name not in self.clamp:
                u = uniforms((*chains.batch, _size(chains.x, sites)), chains.rng)
                chains.x[..., sites] = heat_bath(self.model, chains.x, name, chains.beta, u)
        return {}


def _size(x: Tensor, sites: Tensor | slice) -> int:
    return len(range(*sites.indices(x.shape[-1]))) if isinstance(sites, slice) else len(sites)
