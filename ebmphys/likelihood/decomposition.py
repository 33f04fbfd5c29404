"""KL(data || model) on data whose law is known, term by term."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.likelihood.divergence import log_likelihood
from ebmphys.likelihood.estimate import LogPartition
from ebmphys.likelihood.partition import log_partition
from ebmphys.stats import Estimate, mean_with_error
from ebmphys.stats.series import join


@dataclass(frozen=True)
class Decomposition:
    """KL(p || q) = -log Z_p - <beta E_p>_p + <F_q>_p + log Z_q in nats, total and not per site, each with its error.

    log_z_target: log Z_p; energy: <beta E_p>, of configurations (the free energy, where the target has hidden
    sites); free_energy: <F_q> at beta = 1; log_z_model: log Z_q. entropy: of p, log Z_p + <beta E_p>;
    cross_entropy: -<log q>; total: the divergence. energy and free_energy rise and fall together, so
    the error of the total is that of the mean of their difference and those of both log Z, in quadrature.
    """

    log_z_target: LogPartition
    energy: Estimate
    free_energy: Estimate
    log_z_model: LogPartition
    entropy: Estimate
    cross_entropy: Estimate
    total: Estimate


@torch.no_grad()
def kl_decomposition(
    target: EnergyModel,
    beta: float,
    model: EnergyModel,
    v: Tensor,
    log_z: LogPartition | float | None = None,
    log_z_target: LogPartition | float | None = None,
) -> Decomposition:
    """KL(p || q) from data v of the target's law p at beta, on which the model q was not trained.

    v: (draw, chain, n_visible), a series of Markov chains, or (n, n_visible) independent draws; values of the target's
    units, spins and bits corresponding by their upper value. Either log Z: as estimated, with its error and warning, or
    a number known exactly, or None for ``log_partition``. An error in it goes straight into the total; so does an
    estimate on data that the model has seen, which comes out too small.
    Raises ValueError for shapes that do not fit, and where log Z or the model's free energy is not to be had.
    """
    if v.ndim not in (2, 3):
        raise ValueError(f"data are (n, n_visible) or (draw, chain, n_visible), got shape {tuple(v.shape)}")
    series = v if v.ndim == 3 else v[None]
    log_z_p, log_z_q = _estimated(log_z_target, target, beta), _estimated(log_z, model, 1.0)
    theirs = series
    if len(target.visible_unit.values) == 2 == len(model.visible_unit.values):
        lower, upper = model.visible_unit.values
        theirs = torch.where(series == target.visible_unit.values[1], upper, lower)
    energy = -log_likelihood(target, series, beta, log_partition=0.0)
    free_energy = -log_likelihood(model, theirs, 1.0, log_partition=0.0)
    terms = {"energy": energy, "free_energy": free_energy, "difference": free_energy - energy}
    means = {name: _mean(values) for name, values in terms.items()}
    return Decomposition(
        log_z_p,
        means["energy"],
        means["free_energy"],
        log_z_q,
        _sum(means["energy"], log_z_p.value, log_z_p),
        _sum(means["free_energy"], log_z_q.value, log_z_q),
        _sum(means["difference"], log_z_q.value - log_z_p.value, log_z_p, log_z_q),
    )


def _estimated(log_z: LogPartition | float | None, model: EnergyModel, beta: float) -> LogPartition:
    if isinstance(log_z, LogPartition):
        return log_z
    value = log_partition(model, beta) if log_z is None else float(log_z)
    return LogPartition(value, 0.0, math.inf, 0)


def _mean(series: Tensor) -> Estimate:
    return mean_with_error(series.cpu().numpy())


def _sum(mean: Estimate, shift: float, *log_z: LogPartition) -> Estimate:
    error = math.hypot(mean.error, *(part.error for part in log_z))
    warning = join(mean.warning, *(part.warning for part in log_z))
    return replace(mean, value=mean.value + shift, error=error, warning=warning)
