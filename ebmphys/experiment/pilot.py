"""The pilot run: measure autocorrelation times, choose a sampler, and from them how far apart draws have to be."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from ebmphys.energies import Ising, satisfying_spins
from ebmphys.experiment.order import Order, of_each_chain, order_parameter
from ebmphys.experiment.sampler_names import PACKED, SAMPLERS, Name
from ebmphys.rng import generator
from ebmphys.samplers import Chains, Sampler, advance
from ebmphys.stats import tau_int

THIN_TAUS, BURN_IN_TAUS = 4.0, 30.0
_RECORDS = 256  # of each round
_RESOLVED = _RECORDS / 20  # tau in records: the series is then at least 20 tau long, as was all that came before it
_CHAINS = 16
_BUDGET = 2e10  # ns by the cost model
_BLOCK = 512
# ns on one core of a 2.x GHz server CPU, L = 16 and 64, T = 1.8 to 3: a table and not a clock, so that a seed always
# makes the same choice. Of a site: heat bath in torch, bit-packed heat bath (a replica of a full block),
# Swendsen-Wang; of a site of the cluster, Wolff, which also pays for each step.
_SITE = {"gibbs": 35.0, "metropolis": 60.0, "packed-gibbs": 0.15, "packed-metropolis": 0.18, "swendsen-wang": 18.0}
_WOLFF_SITE, _WOLFF_STEP = 15.0, 200.0


@dataclass(frozen=True)
class Plan:
    """What a pilot run found: tau in steps for each temperature, and what follows for a run at all of them.

    thin: steps after which the slowest temperature's correlation has fallen to e^-4 (4 tau for long tau), so that
    stored draws count as independent; burn_in: 30 tau. tau is that of the energy, |m| or, with couplings J < 0,
    ``order_parameter``, the slowest of them. ``resolved`` is False where the budget ended before it was known, as where
    the chains of a cold glass stay apart: tau is then a lower bound.
    """

    sampler: Name
    thin: int
    burn_in: int
    tau: tuple[float, ...]
    resolved: bool
    reason: str

    def stored(self) -> dict[str, Any]:
        """As values that JSON can hold."""
        return asdict(self) | {"tau": list(self.tau)}

    @classmethod
    def read(cls, stored: dict[str, Any]) -> Plan:
        """From what ``stored`` gave."""
        return cls(**stored | {"tau": tuple(stored["tau"])})


@dataclass(frozen=True)
class _Trial:
    name: Name
    tau: tuple[float, ...]
    cost: float  # ns a step of all chains of the run
    resolved: bool

    @property
    def thin(self) -> int:
        return thin_of(max(self.tau))

    @property
    def cost_of_a_draw(self) -> float:
        return self.cost * self.thin


def thin_of(tau: float) -> int:
    """Steps until rho(t) = ((2 tau - 1) / (2 tau + 1))^t, exponential with this integrated time, is e^-4 or less."""
    if tau <= 0.5:
        return 1
    return max(1, math.ceil(THIN_TAUS / math.log((2 * tau + 1) / (2 * tau - 1))))


def candidates(model: Ising) -> list[Name]:
    """Samplers that can hold a model, those with short autocorrelation times first."""
    if model.device.type != "cpu":
        return ["gibbs"]  # the costs are those of a CPU
    names: tuple[Name, ...] = ("swendsen-wang", "wolff", "packed-gibbs", "gibbs")
    found = [name for name in names if _holds(name, model)]
    return [name for name in found if name != "gibbs" or "packed-gibbs" not in found]


def _holds(name: Name, model: Ising) -> bool:
    try:
        SAMPLERS[name](model)
    except ValueError:
        return False
    return True


def pilot(
    names: Sequence[Name],
    model: Ising,
    temperatures: Sequence[float],
    chains: int,
    seed: int,
    start: Callable[[Chains], None],
    budget: float = _BUDGET,
) -> Plan:
    """Try samplers in short runs of their own random streams, and plan the run with the cheapest.

    The cost of an independent draw is thin x the cost of a step of ``chains`` chains at every temperature, by a table
    of costs measured once and not by the clock, so that the plan depends on the seed alone. A sampler that already
    costs twice the best is given up. ``start`` sets the chains' first configurations.
    """
    best: _Trial | None = None
    tried: list[_Trial] = []
    for name in names:
        rng = generator(seed, "pilot", name, device=model.device)
        trial = _try(name, model, temperatures, chains, rng, start, budget, best)
        tried.append(trial)
        if best is None or (not trial.resolved, trial.cost_of_a_draw) < (not best.resolved, best.cost_of_a_draw):
            best = trial
    assert best is not None
    return Plan(
        sampler=best.name,
        thin=best.thin,
        burn_in=math.ceil(BURN_IN_TAUS * max(best.tau)),
        tau=best.tau,
        resolved=best.resolved,
        reason=_reason(best, tried, temperatures),
    )


def _reason(best: _Trial, tried: list[_Trial], temperatures: Sequence[float]) -> str:
    slowest = max(best.tau)
    at = temperatures[best.tau.index(slowest)]
    words = f"{best.name}: tau at most {slowest:.3g} steps (T = {at:g})"
    if not best.resolved:
        words = f"{best.name}: tau is {slowest:.3g} steps or more (T = {at:g}), the pilot was too short to say"
    others = [
        f"{trial.name} {'' if trial.resolved else 'over '}{trial.cost_of_a_draw / best.cost_of_a_draw:.2g} times"
        for trial in tried
        if trial is not best
    ]
    return words + (f"; an independent draw would cost with {', '.join(others)} as much" if others else "")


def _try(
    name: Name,
    model: Ising,
    temperatures: Sequence[float],
    chains: int,
    rng: torch.Generator,
    start: Callable[[Chains], None],
    budget: float,
    best: _Trial | None,
) -> _Trial:
    """Rounds of records with twice the steps between them each time, until every temperature's tau is resolved."""
    sampler = SAMPLERS[name](model)
    each = max(_CHAINS, -(-_BLOCK // len(temperatures))) if name in PACKED else _CHAINS
    betas = 1 / torch.tensor(temperatures, dtype=torch.float64, device=model.device)[:, None]
    pilots = sampler.init(len(betas), each, beta=betas, rng=rng)
    start(pilots)
    advance(sampler, pilots, _RECORDS)
    order = order_parameter(model)
    overlaps = order is not None and satisfying_spins(model) is None
    tau: list[float | None] = [None] * len(betas)
    stride, spent = 1, 0.0
    while True:
        series, cluster = _record(sampler, pilots, stride, order)
        spent += stride * _RECORDS * _step_cost(name, model, len(betas), each, cluster)
        taus = np.array([[_tau(values[:, t]) for t in range(len(betas))] for values in series])
        if overlaps:
            taus[-1] = of_each_chain(taus[-1])
        found = taus.max(0).tolist()
        # A temperature keeps the first, finest estimate: later ones are too far apart for it.
        tau = [old or (new * stride if new <= _RESOLVED else None) for old, new in zip(tau, found, strict=True)]
        so_far = tuple(old or new * stride for old, new in zip(tau, found, strict=True))
        trial = _Trial(name, so_far, _step_cost(name, model, len(betas), chains, cluster), None not in tau)
        lost = best is not None and best.resolved and trial.cost_of_a_draw > 2 * best.cost_of_a_draw
        if trial.resolved or lost or spent > budget:
            return trial
        stride *= 2


def _record(sampler: Sampler, chains: Chains, stride: int, order: Order | None) -> tuple[np.ndarray, float]:
    """Energies, |m| and the order parameter if any, (2 or 3, record, temperature, chain); mean cluster size if any."""
    model, sizes = sampler.model, []
    # Filled in place: small results kept between large temporaries would leave the heap full of holes.
    series = np.empty((2 if order is None else 3, _RECORDS, *chains.batch))
    for number in range(_RECORDS):
        advance(sampler, chains, stride - 1)
        happened = sampler.step(chains)
        if "cluster_size" in happened:
            sizes.append(float(happened["cluster_size"].double().mean()))
        series[0, number] = chains.energy(model).cpu()
        series[1, number] = chains.magnetization(model.n_visible).abs().cpu()
        if order is not None:
            series[2, number] = order(chains.bits(model.n_visible))
    return series, float(np.mean(sizes)) if sizes else 0.0


def _tau(series: np.ndarray) -> float:
    """tau in records; 1/2 for what never changes, as a cold lattice does not."""
    return 0.5 if np.ptp(series) == 0 else max(0.5, tau_int(series).value)


def _step_cost(name: Name, model: Ising, temperatures: int, chains: int, cluster: float) -> float:
    """ns of one step of all chains; packed ones cost full blocks."""
    together = temperatures * chains
    if name == "wolff":
        return together * (_WOLFF_STEP + cluster * _WOLFF_SITE)
    if name in PACKED:
        together = -(-together // _BLOCK) * _BLOCK
    return together * model.n_sites * _SITE[name]
