"""The negative phase of chains that live on from update to update."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.objectives.base import Draws, MakeSampler, at_least_one, set_rng
from ebmphys.objectives.starts import at_data, revived, stored
from ebmphys.samplers import BlockGibbs, Chains, advance, can_flip, offer_flips


class Persistent:
    """k steps an update of ``n_chains`` chains that live on: PCD-k (Younes 1989; Tieleman 2008).

    The chains start at the first batch, so that both signs of the magnetization are there if the data have them,
    and follow the model as it moves: they are close to its law while the updates are small against their mixing.
    With ``flips`` each chain is offered its global flip before the steps (``offer_flips``): local steps do not
    cross between the signs of an ordered phase, and a model whose chains cannot cross drifts to one sign unnoticed.
    ``chains`` is None before the first update. Raises ValueError for k or n_chains < 1.
    """

    warning = ""

    def __init__(
        self,
        k: int,
        rng: torch.Generator,
        n_chains: int = 500,
        flips: bool = True,
        make_sampler: MakeSampler = BlockGibbs,
    ) -> None:
        self.k, self.n_chains = at_least_one("k", k), at_least_one("n_chains", n_chains)
        self.rng, self.flips, self.make_sampler = rng, flips, make_sampler
        self.chains: Chains | None = None

    @torch.no_grad()
    def draw(self, model: EnergyModel, v: Tensor) -> Draws:
        sampler = self.make_sampler(model)
        if self.chains is None:
            self.chains = at_data(sampler, v, self.n_chains, rng=self.rng)
        if self.flips and can_flip(model):
            offer_flips(model, self.chains)
        advance(sampler, self.chains, self.k)
        # A sampler that follows gradients may leave its graph on the chains, to grow with every update.
        self.chains.x = self.chains.x.detach()
        return Draws(self.chains.x)

    def state_dict(self) -> dict[str, Any]:
        return {"rng": self.rng.get_state(), "chains": stored(self.chains)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        chains = revived(state["chains"], self.n_chains, self.rng)
        set_rng(self.rng, state["rng"])
        self.chains = chains
