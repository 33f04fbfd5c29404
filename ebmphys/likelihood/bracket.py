"""log Z from below and from above."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.likelihood.annealing import complete, forward_weights, from_above, from_below, reverse_weights
from ebmphys.likelihood.bridge import bridge
from ebmphys.likelihood.estimate import LEAST_SHARE, LogPartition
from ebmphys.likelihood.path import Path

_SURE = 4.0  # standard errors
_ROUNDING = 1e-9  # nats


@dataclass(frozen=True)
class Bracket:
    """log Z between two estimates that err on opposite sides, in nats.

    lower: annealed up from independent units, on average too low; upper: melted down from the model's own draws, on
    average too high; between: Bennett's combination of both, the number to use. certain: whether nothing speaks
    against ``between``; verdict: what there is to say, in words.
    """

    lower: LogPartition
    upper: LogPartition
    between: LogPartition
    certain: bool
    verdict: str


@torch.no_grad()
def bracket(
    model: EnergyModel,
    x: Tensor,
    beta: float = 1.0,
    *,
    rng: torch.Generator,
    steps: int = 1000,
    base: Tensor | None = None,
) -> Bracket:
    """log Z from as many chains annealed up as configurations ``x`` are melted down, and what their gap says.

    Both ways take ``steps`` sweeps along the path of ``ais``. x: draws of the model, (*batch, n_sites), or (*batch,
    n_visible) where hidden units do not act on each other, one chain a configuration: persistent chains in
    equilibrium, or data where the model is right. From anything else ``upper`` and ``between`` may lie anywhere,
    which shows only where they contradict ``lower``. Where ``between`` is w_0, weights of the one direction tell how
    far those of the other must scatter, <exp(-w)> exp(w_0) = n / effective sample size (Crooks 1999): so a side also
    warns of large weights that it never met.
    Burda, Grosse and Salakhutdinov (2015); Grosse, Ancha and Roy (2016). Raises ValueError as ``ais`` does, and for
    configurations of the wrong size.
    """
    if steps < 1:
        raise ValueError(f"annealing needs 1 or more steps, got {steps}")
    path = Path(model, beta, base, rng)
    start = complete(path, x)
    up, down = forward_weights(path, len(start), steps), reverse_weights(path, start, steps)
    ratio = bridge(up[None], down[None])
    alone = from_below(path, up)
    lower = _doubted(alone, -ratio.value + _log_mean(-down), "low")
    upper = _doubted(from_above(path, down), ratio.value + _log_mean(-up), "high")
    between = replace(ratio, value=path.log_base + ratio.value)
    # What x says against the chains annealed up counts for nothing here: x itself is in question.
    return Bracket(lower, upper, between, *_judged(alone, upper, between))


def reverse_ais(
    model: EnergyModel,
    x: Tensor,
    beta: float = 1.0,
    *,
    rng: torch.Generator,
    steps: int = 1000,
    base: Tensor | None = None,
) -> LogPartition:
    """log Z from chains that start at draws ``x`` of the model and melt: the path of ``ais`` walked backwards.

    The mean weight is unbiased for Z_0 / Z, so this log Z is on average too high (Burda, Grosse and Salakhutdinov
    2015). Large weights come from configurations that the model hardly has and are easily missed without a trace, so
    as many chains are annealed up to know of them: this is the ``upper`` of ``bracket``, which says more.
    """
    return bracket(model, x, beta, rng=rng, steps=steps, base=base).upper


def _log_mean(log_weights: Tensor) -> float:
    return float(torch.logsumexp(log_weights, 0)) - math.log(len(log_weights))


def _doubted(side: LogPartition, log_scatter: float, where: str) -> LogPartition:
    """The estimate with fewer effective draws, and a warning, where the other direction knows of larger weights."""
    share = math.exp(-max(log_scatter, 0.0))
    effective = min(side.effective_sample_size, max(share * side.chains, 1.0))
    if share >= LEAST_SHARE or side.warning:
        return replace(side, effective_sample_size=effective)
    warning = (
        f"the chains of the other direction say that {share:.1g} of these carry the weight: log Z is probably too "
        f"{where} and its error too small; anneal in more steps"
    )
    return replace(side, effective_sample_size=effective, warning=warning)


def _judged(lower: LogPartition, upper: LogPartition, between: LogPartition) -> tuple[bool, str]:
    if between.warning:
        span = sorted((lower.value, upper.value))
        return False, f"log Z is somewhere about {span[0]:.6g} to {span[1]:.6g}: {between.warning}"
    for other in (between, upper):
        off = abs(lower.value - other.value) / math.hypot(lower.error, other.error, _ROUNDING)
        if off > _SURE and not (lower.warning or other.warning):
            return False, (
                f"annealed up log Z = {lower.value:.6g}, with the given configurations {other.value:.6g}, "
                f"{off:.1f} standard errors apart: they are not draws of the model, or have a mode that no chain met"
            )
    return True, f"log Z = {between.value:.6g} +- {between.error:.2g}, from both sides"
