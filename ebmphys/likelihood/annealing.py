"""log Z by annealed importance sampling, from below and from above (Neal 2001; Salakhutdinov and Murray 2008)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.likelihood.estimate import LogPartition, few_count, log_mean_weight
from ebmphys.likelihood.path import Path


@torch.no_grad()
def ais(
    model: EnergyModel,
    beta: float = 1.0,
    *,
    rng: torch.Generator,
    steps: int = 1000,
    chains: int = 500,
    base: Tensor | None = None,
) -> LogPartition:
    """log Z of exp(-beta E) from chains annealed in ``steps`` heat-bath sweeps from independent visible units.

    On the way p_t(x) ~ exp(-t beta E(x) - (1 - t) E_0(x)), t = 0..1, with E_0 that of free units, the visible ones in
    local fields ``base`` (n_visible[, q]), zero unless given; the log-odds of the data's means shorten the way.
    Hidden units that do not act on each other are summed out of the weights. The mean weight is unbiased for Z, so
    its logarithm is on average too low, and a mode that no chain met leaves no trace in the error: more steps help
    against both, more chains hardly.
    Raises ValueError for counts or a base that do not fit, and where model and generator are on different devices.
    """
    if steps < 1 or chains < 2:
        raise ValueError(f"annealing needs 1 or more steps and 2 or more chains, got {steps} and {chains}")
    path = Path(model, beta, base, rng)
    return from_below(path, forward_weights(path, chains, steps))


@torch.no_grad()
def clamped_ais(
    model: EnergyModel,
    v: Tensor,
    beta: float = 1.0,
    *,
    rng: torch.Generator,
    steps: int = 1000,
    chains: int = 20,
) -> tuple[Tensor, Tensor]:
    """-beta F_beta(v) = log sum_h exp(-beta E(v, h)) of machines whose hidden units act on each other, and its error.

    For each v ``chains`` chains of the hidden units are annealed from free ones. Minus log Z it is log p(v), like
    ``ais`` too low on average and with an error to be trusted where it is well below 1.
    (*batch, n_visible) -> (*batch,), (*batch,), float64. Salakhutdinov and Murray (2008).
    Raises ValueError for counts or configurations that do not fit.
    """
    if steps < 1 or chains < 2:
        raise ValueError(f"annealing needs 1 or more steps and 2 or more chains, got {steps} and {chains}")
    if v.shape[-1] != model.n_visible:
        raise ValueError(f"the model has {model.n_visible} visible sites, got configurations of {v.shape[-1]}")
    path = Path(model, beta, None, rng, clamp=True)
    rows = v.reshape(-1, model.n_visible).double()
    x = path.start(len(rows), chains)
    x[..., : model.n_visible] = rows[:, None]
    log_weights = _walk(path, x.flatten(0, 1), _times(steps), reverse=False).reshape(*v.shape[:-1], chains)
    value, error, _ = log_mean_weight(log_weights)
    return path.log_base + value, error


def forward_weights(path: Path, chains: int, steps: int) -> Tensor:
    """log w of chains annealed from p_0 to p_1, <w> = Z / Z_0; -> (chains,)."""
    return _walk(path, path.start(chains), _times(steps), reverse=False)


def reverse_weights(path: Path, x: Tensor, steps: int) -> Tensor:
    """log w of chains melted from draws of p_1 to p_0, <w> = Z_0 / Z; (chains, n_sites) -> (chains,).

    Each sweep undoes one of ``forward_weights`` in law, so that the two obey P(w forward) / P(-w reverse) =
    exp(w) Z_0 / Z (Crooks 1999).
    """
    return _walk(path, x.clone(), _times(steps)[::-1], reverse=True)


def complete(path: Path, x: Tensor) -> Tensor:
    """Configurations of all sites, one a row, in float64, hidden units drawn where only visible ones are given."""
    model = path.model
    rows = x.reshape(-1, x.shape[-1]).double()
    if len(rows) < 2:
        raise ValueError(f"reverse annealing needs 2 or more configurations, got {len(rows)}")
    if rows.shape[-1] == model.n_sites:
        return rows
    if rows.shape[-1] != model.n_visible or len(model.hidden_blocks) != 1:
        wanted = f"{model.n_sites}" + (f" or {model.n_visible}" if len(model.hidden_blocks) == 1 else "")
        raise ValueError(f"reverse annealing of this model needs configurations of {wanted} sites, got {x.shape[-1]}")
    full = torch.cat([rows, rows.new_zeros(len(rows), model.n_sites - model.n_visible)], -1)
    path.draw_hidden(full)
    return full


def from_below(path: Path, log_weights: Tensor) -> LogPartition:
    """log Z of chains annealed from p_0."""
    value, error, effective = map(float, log_mean_weight(log_weights))
    warning = few_count(effective, len(log_weights), "log Z is probably too low")
    return LogPartition(path.log_base + value, error, effective, len(log_weights), warning)


def from_above(path: Path, log_weights: Tensor) -> LogPartition:
    """log Z of chains melted from p_1."""
    value, error, effective = map(float, log_mean_weight(log_weights))
    warning = few_count(effective, len(log_weights), "log Z is probably too high")
    return LogPartition(path.log_base - value, error, effective, len(log_weights), warning)


def _walk(path: Path, x: Tensor, times: list[float], *, reverse: bool) -> Tensor:
    """Sum of log f_then(x) - log f_now(x) along the way, a sweep of p_then after each but the last."""
    log_weights = x.new_zeros(len(x))
    for number, (now, then) in enumerate(pairwise(times)):
        log_weights += path.log_weight(x, then) - path.log_weight(x, now)
        if number + 2 < len(times):
            path.sweep(x, then, reverse=reverse)
    return log_weights


def _times(steps: int) -> list[float]:
    return [step / steps for step in range(steps + 1)]
