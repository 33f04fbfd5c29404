"""Exact independent draws from small systems, by inverting the enumerated law."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.exact import log_weights
from ebmphys.rng import uniforms
from ebmphys.samplers.base import Chains, random_chains
from ebmphys.samplers.gibbs import heat_bath


@dataclass(frozen=True)
class Enumerated:
    """Independent configurations from the law itself, for up to 24 two-valued visible sites; one step is one draw.

    Visible configurations by inversion of the cumulated probabilities (uniforms of 53 bits, 2^n_visible numbers kept
    for each beta), hidden units then from their conditional. No burn-in, no autocorrelation.
    Raises ValueError for models that cannot be enumerated, or whose hidden units act on each other.
    """

    model: EnergyModel
    _cumulated: dict[float, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.model.sums_out_hidden or len(self.model.hidden_blocks) > 1:
            raise ValueError("Enumerated draws hidden units given the visible ones, so they must be one block")

    def init(self, *batch: int, beta: Tensor | float = 1.0, rng: torch.Generator) -> Chains:
        chains = random_chains(self.model, batch, beta, rng)
        self.step(chains)
        return chains

    @torch.no_grad()
    def step(self, chains: Chains) -> dict[str, Tensor]:
        model, betas = self.model, chains.beta.expand(chains.batch)
        u = torch.rand(chains.batch, generator=chains.rng, device=chains.rng.device, dtype=torch.float64)
        number = torch.empty(chains.batch, dtype=torch.int64, device=u.device)
        for beta in betas.unique().tolist():
            here = betas == beta
            number[here] = torch.searchsorted(self._law(beta), u[here], right=True)
        place = torch.arange(model.n_visible - 1, -1, -1, device=u.device)
        lower, upper = model.visible_unit.values
        chains.x[..., : model.n_visible] = (number[..., None] >> place & 1) * (upper - lower) + lower
        for name in self.model.hidden_blocks:
            sites = model.blocks[name]
            chains.x[..., sites] = heat_bath(
                model, chains.x, name, chains.beta, uniforms(chains.x[..., sites].shape, chains.rng)
            )
        return {}

    def _law(self, beta: float) -> Tensor:
        if beta not in self._cumulated:
            cumulated = log_weights(self.model, beta).softmax(0).cumsum(0)
            cumulated[-1] = 1.0  # so that rounding never sends a draw past the last configuration
            self._cumulated[beta] = cumulated
        return self._cumulated[beta]
