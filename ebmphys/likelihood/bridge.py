"""The ratio of two partition functions from draws of both laws (Bennett 1976)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit
from torch import Tensor

from ebmphys.likelihood.estimate import LogPartition
from ebmphys.stats import mean_with_error
from ebmphys.stats.series import as_series, join

Real = NDArray[np.float64]

_FEW = 20.0  # draws that both laws could have made; below, the error itself is a guess
_UNBOUNDED = 50.0  # nats beyond the largest ratio seen


def bridge(log_ratio_forward: Any, log_ratio_reverse: Any) -> LogPartition:
    """log Z_1 / Z_0 of two laws f_0 / Z_0 and f_1 / Z_1 by acceptance ratios, the best use of draws of both.

    log_ratio_forward: log f_1(x) - log f_0(x) at draws of p_0; log_ratio_reverse: log f_0(x) - log f_1(x) at draws of
    p_1; each a series (draw,) or (draw, chain) as in ``ebmphys.stats``, (1, n) for n independent draws. Annealing
    weights of both directions will do as well (Crooks 1999). With M = log n_1 / n_0, s(y) = 1 / (1 + exp(-y)) and
    D = log Z_1 / Z_0 it solves sum_0 s(w - D + M) = sum_1 s(w + D - M). The error is that of the solution linearised
    in its terms, with their autocorrelations; series of one shape with more than one draw are taken to be of one run,
    in which chains of the two laws that traded places are correlated. Warns where fewer than 20 draws lie where the
    laws overlap.
    Raises ValueError for series that are too short or not finite.
    Source: Bennett (1976), J. Comput. Phys. 22, 245; Shirts, Bair, Hooker and Pande (2003) for the likelihood.
    """
    forward, reverse = as_series(_numbers(log_ratio_forward)), as_series(_numbers(log_ratio_reverse))
    value, terms_0, terms_1, shared = acceptance_ratio(forward, reverse)
    if forward.shape == reverse.shape and len(forward) > 1:
        own = mean_with_error(terms_0 + terms_1)
        error, effective, tau_warning = own.error, own.n_effective, own.warning
    else:
        parts = [mean_with_error(terms_0), mean_with_error(terms_1)]
        error = float(np.hypot(parts[0].error, parts[1].error))
        effective = min(part.n_effective for part in parts)
        tau_warning = join(*(part.warning for part in parts)) if max(len(forward), len(reverse)) > 1 else ""
    return LogPartition(value, float(error), effective, forward.shape[1], join(tau_warning, little_overlap(shared)))


def acceptance_ratio(forward: Real, reverse: Real) -> tuple[float, Real, Real, float]:
    """log Z_1 / Z_0; the terms, draw by draw, whose means' fluctuations are its own; and the draws in the overlap.

    (draw, chain), (draw, chain) -> number, (draw, chain), (draw, chain), number.
    """
    shift = np.log(reverse.size / forward.size)

    def imbalance(difference: float) -> float:
        return float(expit(forward - difference + shift).sum() - expit(reverse + difference - shift).sum())

    edges = [forward.min(), forward.max(), -reverse.min(), -reverse.max()]
    value = float(brentq(imbalance, min(edges) - _UNBOUNDED, max(edges) + _UNBOUNDED, xtol=1e-12))
    up, down = expit(forward - value + shift), expit(reverse + value - shift)
    # Zero where no draw lies in the overlap, which the warning says: nothing fluctuates then.
    slope = max(float((up * (1 - up)).sum() + (down * (1 - down)).sum()), np.finfo(np.float64).tiny)
    fluctuation_0 = (up - up.mean()) * up.size / slope
    fluctuation_1 = -(down - down.mean()) * down.size / slope
    # Identical laws share all their draws: then every p (1 - p) is n_0 n_1 / n^2.
    shared = slope * (up.size + down.size) ** 2 / (up.size * down.size)
    return value, fluctuation_0, fluctuation_1, shared


def little_overlap(shared: float) -> str:
    """The warning for two laws that hardly overlap, empty where they do."""
    return "" if shared >= _FEW else f"only {shared:.1f} draws lie where the two laws overlap: put rungs between them"


def _numbers(series: Any) -> Any:
    return series.detach().cpu().numpy() if isinstance(series, Tensor) else series
