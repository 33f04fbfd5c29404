"""The negative phase of chains that travel through temperature, and so between the modes of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.objectives.base import Draws, MakeSampler, at_least_one, set_rng
from ebmphys.objectives.starts import at_data, revived, stored
from ebmphys.samplers import BlockGibbs, Chains, ReplicaExchange, can_flip, offer_flips

_BETAS = (0.2, 0.4, 0.6, 0.8, 0.9, 1.0)


class Tempered:
    """k steps of replica exchange an update, ``n_chains`` ladders of ``betas`` that live on (Desjardins et al. 2010).

    One step is one of ``ReplicaExchange``: two sweeps and trades of every pair, with the joint energy of visible and
    hidden sites, since exp(-beta E(v, h)) is what a chain at beta samples. The chains at beta = 1 are the draws, and
    ``chains``; ``ladders`` are all of them, (n_chains, n_betas, n_sites). ``swap_rate`` (n_betas - 1,) is the mean
    over the last update. ``flips`` as in ``Persistent``, at every temperature.
    Raises ValueError for k or n_chains < 1 and a ladder that does not rise to 1.
    """

    warning = ""

    def __init__(
        self,
        k: int,
        rng: torch.Generator,
        n_chains: int = 500,
        betas: Sequence[float] = _BETAS,
        flips: bool = True,
        make_sampler: MakeSampler = BlockGibbs,
    ) -> None:
        self.k, self.n_chains = at_least_one("k", k), at_least_one("n_chains", n_chains)
        rises = all(low < high for low, high in pairwise(betas))
        if len(betas) < 2 or not rises or betas[0] < 0 or betas[-1] != 1:
            raise ValueError(f"betas must rise from 0 or above to 1, two or more of them, got {list(betas)}")
        self.rng, self.betas, self.flips, self.make_sampler = rng, tuple(betas), flips, make_sampler
        self.ladders: Chains | None = None
        self.swap_rate: Tensor | None = None

    @property
    def chains(self) -> Chains | None:
        """The chains at beta = 1, None before the first update."""
        if self.ladders is None:
            return None
        return Chains(self.ladders.x[:, -1], self.ladders.beta[-1], self.rng)

    @torch.no_grad()
    def draw(self, model: EnergyModel, v: Tensor) -> Draws:
        exchange = ReplicaExchange(self.make_sampler(model))
        if self.ladders is None:
            heat = torch.tensor(self.betas)
            self.ladders = at_data(exchange, v, self.n_chains, len(heat), beta=heat, rng=self.rng)
        if self.flips and can_flip(model):
            offer_flips(model, self.ladders)
        self.swap_rate = torch.zeros(len(self.betas) - 1, device=self.rng.device)
        for _ in range(self.k):
            self.swap_rate += exchange.step(self.ladders)["swap_rate"].mean(0) / self.k
        self.ladders.x = self.ladders.x.detach()
        return Draws(self.ladders.x[:, -1])

    def state_dict(self) -> dict[str, Any]:
        return {"rng": self.rng.get_state(), "chains": stored(self.ladders)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        ladders = revived(state["chains"], self.n_chains, self.rng)
        if ladders is not None and ladders.x.shape[1] != len(self.betas):
            raise ValueError(f"{ladders.x.shape[1]} temperatures are stored, the negative phase has {len(self.betas)}")
        set_rng(self.rng, state["rng"])
        self.ladders = ladders
