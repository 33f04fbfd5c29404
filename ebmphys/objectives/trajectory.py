"""The negative phase of chains that travel through the past of the training."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.objectives.base import Draws, MakeSampler, at_least_one, set_rng
from ebmphys.objectives.starts import at_data
from ebmphys.objectives.trades import costs, resampled, trade, trade_chance
from ebmphys.samplers import BlockGibbs, Chains, advance, can_flip, offer_flips

Parameters = dict[str, Tensor]

_FEWEST = 0.05  # the mean acceptance below which a link of the ladder counts as broken
_SAG = 0.5  # of the acceptance that rungs are added at: below it a link is mended


class TrajectoryTempered:
    """Parallel trajectory tempering: past parameters of the same training are the ladder, the model its last rung.

    An update takes k steps of the chains of every rung and offers each pair of neighbours k, k + 1 a trade of visible
    configurations, accepted with min(1, exp(F_k(v_k) + F_k+1(v_k+1) - F_k(v_k+1) - F_k+1(v_k))), hidden units drawn
    anew (of all sites with E, where those cannot be summed out). The first rung is the model as it began, in which
    chains move freely. Where the mean acceptance with the last rung falls below ``acceptance`` the model and chains of
    the update before become a rung, as the last that still traded with it (the present ones, if those before are that
    rung); beyond ``most`` rungs the one that its neighbours need least is dropped. Where the training has come back to
    where it was, so that the model would trade with an earlier rung, the rungs since then are dropped instead.
    A link was judged by chains that had not settled yet, and may sag: where its mean acceptance falls below half of
    ``acceptance`` a rung of its ends' mean parameters is put between them. Its chains are those of the rung before,
    drawn with weights exp(F_before - F_between); any parameters make a rung, since trades keep the law of each.
    Learning starts as with ``Persistent``; ``chains`` are the model's own, ``swap_rate`` (n_rungs,) the mean acceptance
    of the last trades, the last with the model itself; ``warning`` says where one is below 0.05, too few for chains to
    travel. Bereux, Decelle, Furtlehner and Seoane (2023, 2025).
    Raises ValueError for counts < 1 and an acceptance outside (0, 1).
    """

    def __init__(
        self,
        k: int,
        rng: torch.Generator,
        n_chains: int = 500,
        acceptance: float = 0.4,
        most: int = 30,
        flips: bool = True,
        make_sampler: MakeSampler = BlockGibbs,
    ) -> None:
        self.k, self.n_chains, self.most = at_least_one("k", k), at_least_one("n_chains", n_chains), most
        if not 0 < acceptance < 1:
            raise ValueError(f"acceptance must lie between 0 and 1, got {acceptance}")
        if most < 2:
            raise ValueError(f"most must be 2 or more rungs, got {most}")
        self.acceptance, self.rng, self.flips, self.make_sampler = acceptance, rng, flips, make_sampler
        self.ladder: list[Chains] = []  # of every rung, then of the model
        self.swap_rate: Tensor | None = None
        self._parameters: list[Parameters] = []
        self._before: tuple[Parameters, Tensor] | None = None  # the model and its chains at the last update
        self._models: list[EnergyModel] = []

    @property
    def chains(self) -> Chains | None:
        """The model's own chains, None before the first update."""
        return self.ladder[-1] if self.ladder else None

    @property
    def warning(self) -> str:
        rate = 1.0 if self.swap_rate is None else float(self.swap_rate.min())
        if rate >= _FEWEST:
            return ""
        return f"neighbours along the training trade with probability {rate:.2g} only: chains do not travel"

    @torch.no_grad()
    def draw(self, model: EnergyModel, v: Tensor) -> Draws:
        if not self.ladder:
            self.ladder = [at_data(self.make_sampler(model), v, self.n_chains, rng=self.rng)]
            self._add_rung(_parameters(model), self.ladder[-1].x)
        models = [*self._rung_models(model), model]
        for rung, chains in zip(models, self.ladder, strict=True):
            if self.flips and can_flip(rung):
                offer_flips(rung, chains)
            advance(self.make_sampler(rung), chains, self.k)
            chains.x = chains.x.detach()
        rates = [torch.zeros(())] * (len(models) - 1)
        for parity in (0, 1):
            for k in range(parity, len(models) - 1, 2):
                rates[k] = trade(models[k], models[k + 1], self.ladder[k], self.ladder[k + 1])
        self.swap_rate = torch.stack(rates)
        falls = float(self.swap_rate[-1]) < self.acceptance
        # One change an update, as rates are those of the ladder before it.
        if not self._mend(models) and falls and not self._cut_short(models):
            self._add_rung(*self._last_to_trade(model))
        self._before = _parameters(model), self.ladder[-1].x.clone()
        return Draws(self.ladder[-1].x)

    def rungs(self) -> list[Parameters]:
        """The parameters of each rung, the oldest first, the present model apart."""
        return [{name: value.clone() for name, value in rung.items()} for rung in self._parameters]

    @torch.no_grad()
    def log_ratios(self, model: EnergyModel) -> list[tuple[Tensor, Tensor]]:
        """What bridge sampling needs between neighbours, the last pair being the last rung and the model.

        log of (weight under k + 1) / (weight under k), F_k - F_k+1, at the chains of k, and minus that at the chains
        of k + 1; (n_chains,) float64 each. log Z of the model is that of the first rung and the sum of the bridges.
        The model may differ from the one last learned, as averaged parameters do, while the chains are draws of the
        latest ones: copies of them take k steps under the model given first. Further off they need more, taken by
        ``draw`` with this model. Nothing of the training changes.
        """
        models = [*self._rung_models(model), model]
        x = [chains.x for chains in self.ladder[:-1]] + [self._settled(model)]
        pairs = []
        for k in range(len(models) - 1):
            own, other = costs(models[k], models[k + 1], x[k], x[k + 1])
            pairs.append((own[0] - own[1], other[1] - other[0]))
        return pairs

    def _settled(self, model: EnergyModel) -> Tensor:
        """The model's chains k steps on, by copies and random numbers that are given back; -> (n_chains, n_sites)."""
        own, state = self.ladder[-1], self.rng.get_state()
        copies = Chains(own.x.clone(), own.beta.clone(), self.rng)
        advance(self.make_sampler(model), copies, self.k)
        self.rng.set_state(state)
        return copies.x

    def _last_to_trade(self, model: EnergyModel) -> tuple[Parameters, Tensor]:
        """The model and its chains of the update before; as they are now where those are the last rung already."""
        if self._before is None or _equal(self._before[0], self._parameters[-1]):
            return _parameters(model), self.ladder[-1].x
        return self._before

    def _add_rung(self, parameters: Parameters, x: Tensor) -> None:
        """A rung next to the model, with copies of chains that are at home there."""
        self._parameters.append(parameters)
        self.ladder.insert(-1, Chains(x.clone(), self.ladder[-1].beta.clone(), self.rng))
        if len(self._parameters) > self.most and self.swap_rate is not None:
            self._drop(self._easiest(self.swap_rate)[0])

    def _cut_short(self, models: list[EnergyModel]) -> bool:
        """Whether the model would trade with a rung before the last: rungs after the first of those are dropped."""
        own = self.ladder[-1].x
        for k, chains in enumerate(self.ladder[:-2]):
            if float(trade_chance(models[k], models[-1], chains.x, own).mean()) >= self.acceptance:
                del self._models[k + 1 :], self._parameters[k + 1 :], self.ladder[k + 1 : -1]
                return True
        return False

    def _mend(self, models: list[EnergyModel]) -> bool:
        """Whether a rung was put between the two that trade least; at ``most`` rungs only in place of another."""
        links = torch.ones(1) if self.swap_rate is None else self.swap_rate
        if len(links) < 2 or float(links[:-1].min()) >= _SAG * self.acceptance:
            return False
        worst = int(links[:-1].argmin())
        below, above = self._parameters[worst : worst + 2]
        between = deepcopy(models[worst])
        between.load_state_dict({name: _midway(value, above[name]) for name, value in below.items()})
        chains = resampled(models[worst], between, self.ladder[worst])
        if len(self._parameters) >= self.most:
            spare, rate = self._easiest(links)
            if rate < self.acceptance:
                return False
            self._drop(spare)
            worst -= spare < worst
        self._parameters.insert(worst + 1, _parameters(between))
        self._models.insert(worst + 1, between)
        self.ladder.insert(worst + 1, chains)
        return True

    def _easiest(self, links: Tensor) -> tuple[int, float]:
        """The rung that its neighbours need least, never the first, and about how often they trade without it."""
        # Of two steps in a row the easiest: its neighbours are nearest to each other.
        both = (links[:-1] * links[1:])[: self.most - 1]
        return 1 + int(both.argmax()), float(both.max())

    def _drop(self, rung: int) -> None:
        self._models = self._models[:rung] + self._models[rung + 1 :]
        del self._parameters[rung], self.ladder[rung]

    def _rung_models(self, model: EnergyModel) -> list[EnergyModel]:
        for parameters in self._parameters[len(self._models) :]:
            rung = deepcopy(model).requires_grad_(False)
            rung.load_state_dict(parameters)
            self._models.append(rung)
        return self._models

    def state_dict(self) -> dict[str, Any]:
        x = [chains.x.clone() for chains in self.ladder]
        before = {} if self._before is None else {"parameters": dict(self._before[0]), "x": self._before[1]}
        rate = None if self.swap_rate is None else self.swap_rate.clone()
        return {"rng": self.rng.get_state(), "rungs": self.rungs(), "x": x, "before": before, "swap_rate": rate}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        missing = self.state_dict().keys() - state.keys()
        if missing:
            raise ValueError(
                f"the stored ladder is of another version, without {', '.join(sorted(missing))}: it cannot go on, "
                f"only be trained anew"
            )
        if state["x"] and len(state["x"][0]) != self.n_chains:
            raise ValueError(
                f"{len(state['x'][0])} chains are stored, the negative phase has n_chains = {self.n_chains}"
            )
        set_rng(self.rng, state["rng"])
        place = self.rng.device
        one = torch.tensor(1.0, device=place)
        self.ladder = [Chains(x.to(place, copy=True), one.clone(), self.rng) for x in state["x"]]
        self._parameters = [_placed(rung, place) for rung in state["rungs"]]
        before, rate = state["before"], state["swap_rate"]
        self._before = (_placed(before["parameters"], place), before["x"].to(place, copy=True)) if before else None
        self._models, self.swap_rate = [], None if rate is None else rate.to(place, copy=True)


def _parameters(model: EnergyModel) -> Parameters:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _placed(parameters: Parameters, place: torch.device) -> Parameters:
    return {name: value.to(place, copy=True) for name, value in parameters.items()}


def _midway(one: Tensor, other: Tensor) -> Tensor:
    return one.lerp(other, 0.5) if one.is_floating_point() else one


def _equal(one: Parameters, other: Parameters) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())
