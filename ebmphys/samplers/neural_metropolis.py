"""Neural Metropolis: whole configurations proposed by a model that draws them independently."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.generators import TractableModel
from ebmphys.samplers.base import Chains, Sampler, random_chains
from ebmphys.samplers.metropolis import MetropolisHastings


@dataclass(frozen=True)
class NeuralMetropolis:
    """Independent proposals x' ~ q, accepted with min(1, [p(x') q(x)] / [p(x) q(x')]) (Hastings 1970).

    p ~ exp(-beta E) of the target at each chain's own beta, q the law of the proposal at none: the better q is, the
    shorter tau (``stats.tau_int``), which is 1/2 where q = p and long where q misses what p has. Chains start as draws
    of q. One step is one proposal a chain and then, with ``local``, a step of that sampler of the target: sweeps go
    where q seldom does (Albergo, Kanwar and Shanahan 2019). log q of the present configuration is worked out anew at
    each step, so that chains may be moved by anything else in between. Returns ``acceptance`` of the proposals,
    (*batch,) zeros and ones, and with ``local`` ``local_acceptance`` where that sampler tells one.
    Raises ValueError for targets with hidden sites, laws on other sites or values, and a ``local`` sampler of another
    target; in ``step`` where an energy or log q is not a number.
    """

    target: EnergyModel
    proposal: TractableModel
    local: Sampler | None = None

    def __post_init__(self) -> None:
        target, proposal = self.target, self.proposal
        if target.n_sites != target.n_visible:
            raise ValueError(f"the target has {target.n_sites - target.n_visible} hidden sites, which q cannot propose")
        if proposal.n_visible != target.n_visible:
            raise ValueError(f"the target has {target.n_visible} sites and the proposal {proposal.n_visible}")
        if any(unit.values != proposal.visible_unit.values for unit in target.units.values()):
            raise ValueError(f"the proposal draws a {proposal.visible_unit.name}, which the target's sites are not")
        if self.local is not None and self.local.model is not target:
            raise ValueError("the local sampler must be one of the same target")

    @property
    def model(self) -> EnergyModel:
        return self.target

    def init(self, *batch: int, beta: Tensor | float = 1.0, rng: torch.Generator) -> Chains:
        chains = random_chains(self.target, batch, beta, rng)
        chains.x = self._draws(chains.x, rng)
        return chains

    @torch.no_grad()
    def step(self, chains: Chains) -> dict[str, Tensor]:
        happened = MetropolisHastings(self.target, self._proposed).step(chains)
        if self.local is not None:
            also = self.local.step(chains)
            happened |= {"local_acceptance": also["acceptance"]} if "acceptance" in also else {}
        return happened

    def _proposed(self, x: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        proposed = self._draws(x, rng)
        return proposed, self.proposal.log_prob(x) - self.proposal.log_prob(proposed)

    def _draws(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """A draw of the proposal for each chain; (*batch, n) -> (*batch, n)."""
        return self.proposal.draw(x.shape[:-1].numel(), rng).to(x.dtype).reshape(x.shape)
