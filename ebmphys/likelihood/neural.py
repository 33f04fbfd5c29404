"""Neural importance sampling: exact averages and log Z of an energy from the draws of a model with a known law."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.exact.thermodynamics import check_beta
from ebmphys.generators import TractableModel
from ebmphys.likelihood.estimate import LEAST_SHARE, LogPartition, log_mean_weight
from ebmphys.observables import binder_cumulant, energy_per_site, magnetization, specific_heat, susceptibility
from ebmphys.stats import Estimate, jackknife
from ebmphys.stats.series import join

Real = NDArray[np.float64]

_ROWS = 2**12  # draws at a time
_FEWEST = 100.0  # effective draws; with fewer the error bars are a guess


@dataclass(frozen=True)
class NeuralEstimate:
    """What independent draws v of q say about p ~ exp(-beta F), each with weight w = exp(-beta F(v)) / q(v).

    log_weights (draws,); series: what was observed, name -> (draws, ...), unweighted. log_partition: log of the mean
    weight. share: the effective sample size over the number of draws, (sum w)^2 / (n sum w^2), 1 where q = p.
    ``warning`` speaks where few draws carry the weight. No warning can tell of configurations that q never draws: a
    model that lacks a phase of p gives a log Z that is too low, and calls it precise.
    """

    beta: float
    n_sites: int
    log_weights: Real
    series: Mapping[str, Real]
    log_partition: LogPartition

    @property
    def share(self) -> float:
        return self.log_partition.effective_sample_size / len(self.log_weights)

    @property
    def warning(self) -> str:
        return self.log_partition.warning

    def of(self, f: Callable[..., Any], *series: Any) -> Estimate:
        """f(<A>_p, <B>_p, ...) of functions of the draws, (draws, ...) each, names or arrays, by jackknife.

        <A>_p = sum w A / sum w, a ratio of two averages over the same draws: the jackknife takes its bias of order 1/n
        away and its error covers that of both. Of the independent draws it leaves out one, or a thousandth, at a time.
        """
        values = [np.asarray(self.series[each] if isinstance(each, str) else each, dtype=np.float64) for each in series]
        w = np.exp(self.log_weights - self.log_weights.max())
        weighted = [(w.reshape(-1, *[1] * (value.ndim - 1)) * value)[None] for value in values]
        found = jackknife(lambda weight, *totals: f(*(total / weight for total in totals)), w[None], *weighted)
        effective = self.log_partition.effective_sample_size
        return Estimate(found.value, found.error, 0.5, effective, join(self.warning, found.warning), found.method)

    def mean(self, series: Any) -> Estimate:
        """<A>_p of a series, by its name or as an array (draws, ...)."""
        return self.of(lambda average: average, series)

    def summary(self) -> dict[str, Estimate]:
        """The thermal averages of ``observables.summarize``, by name, from ``energy_per_site`` and ``magnetization``.

        Raises KeyError where these were not observed.
        """
        e, m, scale = self.series["energy_per_site"], self.series["magnetization"], (self.beta, self.n_sites)
        return {
            "energy_per_site": self.mean(e),
            "abs_magnetization": self.mean(np.abs(m)),
            "magnetization_squared": self.mean(m**2),
            "magnetization_fourth": self.mean(m**4),
            "specific_heat": self.of(lambda a, b: specific_heat(a, b, *scale), e, e**2),
            "susceptibility": self.of(lambda a, b: susceptibility(a, b, *scale), np.abs(m), m**2),
            "binder_cumulant": self.of(binder_cumulant, m**2, m**4),
        }


@torch.no_grad()
def neural_importance_sampling(
    model: TractableModel,
    target: EnergyModel,
    beta: float,
    draws: int,
    rng: torch.Generator,
    observe: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
) -> NeuralEstimate:
    """log Z and averages of a target at beta from independent draws of a model, whatever the model has learned.

    The mean of w = exp(-beta F(v)) / q(v) over draws of q is Z without bias, as long as q > 0 wherever p is; F is the
    target's energy, or its free energy where it has hidden sites. ``observe``: functions of visible configurations in
    the target's values, (n, n_visible) -> (n, ...), evaluated a few thousand draws at a time; energy_per_site and
    magnetization unless told, of targets without hidden sites.
    Raises ValueError for models without an exact log q, fewer than 2 draws, sizes or units that do not fit, a beta
    that is negative or not finite, and weights that are not numbers. Source: K. Nicoli et al. (2020), Phys. Rev. E
    101, 023304.
    """
    check_beta(beta)
    _check(model, target, draws)
    exact = deepcopy(target).double()
    if observe is None:
        observe = {} if target.n_sites > target.n_visible else _thermal(exact)
    log_weights: list[Tensor] = []
    found: dict[str, list[Tensor]] = {name: [] for name in observe}
    for start in range(0, draws, _ROWS):
        v = model.draw(min(_ROWS, draws - start), rng)
        x = _as_target(v, target).double()
        log_weights.append(-beta * exact.free_energy(x, beta) - model.log_prob(v).double())
        for name, observable in observe.items():
            found[name].append(observable(x).double().cpu())
    every = torch.cat(log_weights)
    series = {name: torch.cat(parts).numpy() for name, parts in found.items()}
    return NeuralEstimate(beta, target.n_sites, every.cpu().numpy(), series, _log_partition(every))


def _log_partition(log_weights: Tensor) -> LogPartition:
    value, error, effective = map(float, log_mean_weight(log_weights))
    draws = len(log_weights)
    warning = ""
    if effective < max(_FEWEST, LEAST_SHARE * draws):
        warning = (
            f"only {effective:.1f} of {draws} draws carry the weight: log Z is likely too low and errors too small; "
            f"a better model or more draws would help"
        )
    return LogPartition(value, error, effective, draws, warning)


def _thermal(target: EnergyModel) -> dict[str, Callable[[Tensor], Tensor]]:
    return {"energy_per_site": partial(energy_per_site, model=target), "magnetization": magnetization}


def _as_target(v: Tensor, target: EnergyModel) -> Tensor:
    """Spins and bits correspond by their upper value."""
    values = target.visible_unit.values
    return torch.where(v > 0, values[1], values[0]) if len(values) == 2 else v


def _check(model: TractableModel, target: EnergyModel, draws: int) -> None:
    if not isinstance(model, TractableModel):
        raise ValueError(f"importance weights need log q of each draw, which is not known of a {type(model).__name__}")
    if draws < 2:
        raise ValueError(f"importance sampling needs 2 or more draws, got {draws}")
    if model.n_visible != target.n_visible:
        raise ValueError(f"the target has {target.n_visible} visible sites and the model {model.n_visible}")
    if len(model.visible_unit.values) != len(target.visible_unit.values):
        raise ValueError(f"the model draws a {model.visible_unit.name}, the target has a {target.visible_unit.name}")
