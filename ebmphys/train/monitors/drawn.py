"""What a model's own draws say beside the data: all there is to see of a model without a likelihood."""

from __future__ import annotations

from collections.abc import Callable

import torch
from scipy.stats import wasserstein_distance
from torch import Tensor, nn

from ebmphys.energies import EnergyModel
from ebmphys.generators import IndependentModel
from ebmphys.objectives import Objective
from ebmphys.observables import abs_magnetization, energy_per_site, magnetization
from ebmphys.rng import generator
from ebmphys.train.loop import Monitor
from ebmphys.train.monitors.once import Once

Observable = Callable[[Tensor], Tensor]


def against_draws(v: Tensor, target: EnergyModel | None = None, draws: int = 2000, seed: int = 0) -> dict[str, Monitor]:
    """Draws of a two-valued model beside data v: ``draw_NAME``, ``data_NAME``, and ``NAME_distance``.

    NAME is abs_magnetization and, with a Hamiltonian, energy_per_site; the distance is Wasserstein's between their two
    histograms, in their own units, some 1/sqrt(draws) of their spread where the laws are one. ``draw_positive`` and
    ``data_positive`` are the shares with m > 0: a model that makes one sign only (mode collapse) can have every
    average right. The draws are the same for all monitors and made with a generator of their own.
    """
    observables: dict[str, Observable] = {"abs_magnetization": abs_magnetization, "positive": _positive}
    if target is not None:
        observables["energy_per_site"] = lambda x: energy_per_site(_in_values_of(target, x), target)
    drawn = Once(lambda model, objective: _drawn(model, draws, seed))
    monitors: dict[str, Monitor] = {}
    for name, observable in observables.items():
        numbers = observable(_spins(v)).double().cpu()
        monitors[f"draw_{name}"] = _mean_of(drawn, observable)
        monitors[f"data_{name}"] = _constant(float(numbers.mean()))
        if name != "positive":
            monitors[f"{name}_distance"] = _distance_of(drawn, observable, numbers)
    return monitors


def _mean_of(drawn: Once[Tensor], observable: Observable) -> Monitor:
    return lambda model, objective: float(observable(drawn(model, objective)).double().mean())


def _distance_of(drawn: Once[Tensor], observable: Observable, numbers: Tensor) -> Monitor:
    def monitor(model: nn.Module, objective: Objective) -> float:
        own = observable(drawn(model, objective)).double().cpu()
        return float(wasserstein_distance(own.numpy(), numbers.numpy()))

    return monitor


def _constant(value: float) -> Monitor:
    return lambda model, objective: value


def _drawn(model: IndependentModel, draws: int, seed: int) -> Tensor:
    return _spins(model.draw(draws, generator(seed, "monitor", "draws", device=model.device)))


def _positive(x: Tensor) -> Tensor:
    return (magnetization(x).sign() + 1) / 2


def _spins(v: Tensor) -> Tensor:
    return torch.where(v > 0, 1.0, -1.0)


def _in_values_of(target: EnergyModel, x: Tensor) -> Tensor:
    lower, upper = target.visible_unit.values
    return torch.where(x > 0, upper, lower)
