"""Block Gibbs sampling (heat bath): every block of independent sites drawn at once from its conditional."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.rng import uniforms
from ebmphys.samplers.base import Chains, random_chains, scaled
from ebmphys.samplers.compiled import seeds
from ebmphys.samplers.layered import packed_sweeps
from ebmphys.samplers.two_valued import CompiledDraw, compiles


def heat_bath(model: EnergyModel, x: Tensor, block: str, beta: Tensor, u: Tensor) -> Tensor:
    """New values of a block from one uniform a site; (*batch, n_sites), (*batch, |block|) -> (*batch, |block|)."""
    eta = model.conditional(x, block)
    return model.units[block].draw(scaled(beta, eta, x.shape[:-1]), u)


@dataclass(frozen=True)
class BlockGibbs:
    """Heat bath over the model's blocks in order (Glauber 1963; Geman and Geman 1984); one step is one sweep.

    ``clamp`` names blocks that stay as they are: with ``{"visible"}`` the hidden units of a Boltzmann machine
    are drawn given data; the positive phase, conditional sampling and inpainting are this one thing.
    Probabilities are resolved to 2^-24. Spins and bits on the CPU are drawn by a compiled kernel, whose random numbers
    are not those of ``heat_bath``. Raises ValueError for a block that the model does not have.
    """

    model: EnergyModel
    clamp: Collection[str] = frozenset()

    def __post_init__(self) -> None:
        unknown = set(self.clamp) - set(self.model.blocks)
        if unknown:
            raise ValueError(f"no block named {sorted(unknown)}: the model has {', '.join(self.model.blocks)}")

    def init(self, *batch: int, beta: Tensor | float = 1.0, rng: torch.Generator) -> Chains:
        return random_chains(self.model, batch, beta, rng)

    def step(self, chains: Chains) -> dict[str, Tensor]:
        self.advance(chains, 1)
        return {}

    @torch.no_grad()
    def advance(self, chains: Chains, steps: int) -> None:
        """So many sweeps, prepared once: the same states as by ``step``, one after the other."""
        packed = None if self.clamp else packed_sweeps(self.model, chains.beta, chains.x)
        if packed is not None:
            packed.advance(steps, chains.rng)
            return
        model, x, blocks, units = self.model, chains.x, self.model.blocks, self.model.units
        free = [name for name in blocks if name not in self.clamp]
        compiled = {
            name: CompiledDraw(units[name], chains.beta, x, blocks[name])
            for name in free
            if compiles(units[name], x, blocks[name])
        }
        for _ in range(steps):
            keys = iter(seeds((len(compiled), 4), chains.rng)) if compiled else iter(())
            for name in free:
                if name in compiled:
                    compiled[name](model.conditional(x, name), next(keys))
                else:
                    u = uniforms((*chains.batch, _size(x, blocks[name])), chains.rng)
                    x[..., blocks[name]] = heat_bath(model, x, name, chains.beta, u)


def redraw(model: EnergyModel, chains: Chains, block: str) -> None:
    """Give one block new values from its conditional, in place."""
    BlockGibbs(model, clamp=set(model.blocks) - {block}).step(chains)


def _size(x: Tensor, sites: Tensor | slice) -> int:
    return len(range(*sites.indices(x.shape[-1]))) if isinstance(sites, slice) else len(sites)
