"""What the persistent chains say: whether they look like the data, have both signs, and how fast they forget."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ebmphys.energies import EnergyModel
from ebmphys.objectives import NegativePhase, Objective, two_phase
from ebmphys.observables import abs_magnetization, magnetization
from ebmphys.rng import generator
from ebmphys.samplers import BlockGibbs, Chains, Sampler, advance
from ebmphys.stats import mean_with_error, tau_int
from ebmphys.train.loop import Monitor
from ebmphys.train.monitors.reach import LEAST_STEPS, affordable

SIDE_STEPS, SIDE_CHAINS = 200, 100  # of the run beside the training; a tau beyond a tenth of it is a lower bound
SETTLING, LEAST_SETTLING = 50, 12  # steps

Observable = Callable[[Tensor], Tensor]


def chains_of(objective: Objective) -> Chains | None:
    """The persistent chains of an objective, None where it keeps none."""
    return getattr(_negative(objective), "chains", None)


def keeps_chains(objective: Objective) -> bool:
    """Whether the objective will have persistent chains once it has been called."""
    return hasattr(_negative(objective), "chains")


def visible_chains(model: nn.Module, objective: Objective) -> Tensor:
    """The visible sites of the chains, (n_chains, n_visible). Raises ValueError where the objective keeps none."""
    chains = chains_of(objective)
    if chains is None:
        raise ValueError("the objective keeps no chains to look at")
    return chains.x[..., : model.n_visible]


def copied_chains(model: nn.Module, objective: Objective, most: int, rng: torch.Generator) -> tuple[Sampler, Chains]:
    """The first chains, ``most`` of them, as copies with a generator of their own, and a sampler to move them.

    They come out in equilibrium with the parameters given, as far as fifty steps take them there, or fewer, down to
    twelve, of a heat bath of more than four blocks: the parameters that the monitors judge may be averages, and the
    chains follow the latest. Raises ValueError where there are none.
    """
    chains = chains_of(objective)
    if chains is None or not isinstance(model, EnergyModel):
        raise ValueError("the objective keeps no chains to look at")
    sampler = _sampler(model, objective)
    x = chains.x[:most].clone()
    copies = sampler.init(len(x), rng=rng)
    copies.x = x
    advance(sampler, copies, affordable(SETTLING, _draws_a_step(sampler), LEAST_SETTLING))
    return sampler, copies


def chain_mean(observable: Observable) -> Monitor:
    """The mean of an observable over the persistent chains' visible sites: near the data's once they have learned."""
    return lambda model, objective: float(observable(visible_chains(model, objective)).double().mean())


def data_mean(observable: Observable, v: Tensor) -> Monitor:
    """The mean of an observable over data, to stand beside ``chain_mean``; measured once."""
    value = float(observable(v).double().mean())
    return lambda model, objective: value


def chain_deviation(observable: Observable, v: Tensor, chains: int | None = None) -> Monitor:
    """(mean over the chains - mean over data v) / standard error of the difference.

    Within about 2 where the model has learned the observable; 0 where neither varies. The persistent chains count as
    independent of each other; the data are those of so many Markov ``chains``, rows in the order (draw, chain), and
    their error bar knows the autocorrelation (``mean_with_error``); None: every row is independent of the others.
    Raises ValueError where the rows are not a whole number of draws.
    """
    together = len(v) if chains is None else chains
    if together < 1 or len(v) % together:
        raise ValueError(f"{len(v)} rows of data are no whole number of draws of {together} chains")
    data, data_error = _mean(observable(v).unflatten(0, (-1, together)))

    def monitor(model: nn.Module, objective: Objective) -> float:
        own, own_error = _mean(observable(visible_chains(model, objective))[None, :])
        error = math.hypot(own_error, data_error)
        return (own - data) / error if error > 0 else 0.0

    return monitor


def _mean(series: Tensor) -> tuple[float, float]:
    """The mean and its standard error, infinite for a single number; (draw, chain) -> two numbers."""
    numbers = series.double().cpu().numpy()
    if numbers.size < 2:
        return float(numbers.mean()), math.inf
    found = mean_with_error(numbers)
    return found.value, found.error


def tells_tau(model: EnergyModel, objective: Objective) -> bool:
    """Whether ``chain_tau`` can be told: of chains that move alone, by a step of up to sixteen blocks.

    Chains that trade with others forget by trading, which copies left to themselves do not show; and a heat bath of
    more blocks is left fewer than fifty steps, too few for a tau of five.
    """
    if not keeps_chains(objective) or trades(objective):
        return False
    return affordable(SIDE_STEPS, _draws_a_step(_sampler(model, objective)), 0) >= LEAST_STEPS


def chain_tau(seed: int = 0) -> Monitor:
    """tau_int of the chains' energy in steps of their sampler, the model held still, from copies of the chains.

    F(v) where hidden units are summed out, E of all sites where not. A hundred chains at most are run for 200 steps
    with a generator of their own; a heat bath of more than four blocks for fewer, down to 50 (``affordable``). Beyond
    a tenth of the steps the number is a lower bound.
    """

    def monitor(model: nn.Module, objective: Objective) -> float:
        rng = generator(seed, "monitor", "tau", device=next(model.parameters()).device)
        sampler, copies = copied_chains(model, objective, SIDE_CHAINS, rng)
        assert isinstance(model, EnergyModel)
        series = []
        for _ in range(affordable(SIDE_STEPS, _draws_a_step(sampler))):
            sampler.step(copies)
            v = copies.x[:, : model.n_visible]
            series.append(model.free_energy(v) if model.sums_out_hidden else copies.energy(model))
        return tau_int(torch.stack(series).detach().double().cpu().numpy()).value

    return monitor


def trades(objective: Objective) -> bool:
    """Whether the chains trade places with those of other rungs of a ladder."""
    return hasattr(_negative(objective), "swap_rate")


def swap_rate(model: nn.Module, objective: Objective) -> float:
    """The mean acceptance of the last trades between the two neighbours of the ladder that trade least.

    Near 0 nothing travels along the ladder; NaN where nothing was traded yet. Raises ValueError for an objective
    without a ladder.
    """
    if not trades(objective):
        raise ValueError("the objective keeps no ladder of chains that trade")
    rates: Tensor | None = getattr(_negative(objective), "swap_rate", None)
    return math.nan if rates is None else float(rates.min())


def absolute(model: EnergyModel) -> Observable:
    """|m| of visible sites read as spins; of real units as they are."""
    centre, span = _spins(model)
    return lambda v: abs_magnetization((v - centre) * span)


def positive(model: EnergyModel) -> Observable:
    """1 where m > 0, 1/2 where m = 0."""
    centre, _ = _spins(model)
    return lambda v: (magnetization(v - centre).sign() + 1) / 2


def _spins(model: EnergyModel) -> tuple[float, float]:
    """The middle of a unit's values, and two over their distance, which makes bits spins."""
    values = model.visible_unit.values
    return sum(values) / 2, 2 / (values[-1] - values[0]) if values else 1.0


def _negative(objective: Objective) -> NegativePhase | None:
    phases = two_phase(objective)
    return None if phases is None else phases.negative


def _sampler(model: EnergyModel, objective: Objective) -> Sampler:
    sampler: Sampler = getattr(_negative(objective), "make_sampler", BlockGibbs)(model)
    return sampler


def _draws_a_step(sampler: Sampler) -> int:
    """The blocks drawn one after the other in a step: what a heat bath costs. Other steps cost one whatever they do."""
    return len(sampler.model.blocks) if isinstance(sampler, BlockGibbs) else 1
