"""Do the chains agree?"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import norm, rankdata

from ebmphys.stats.series import Real, as_series, is_constant


def split_rhat(series: Any) -> float:
    """Rank-normalised split R-hat, the larger of bulk and folded.

    R^2 = (h - 1)/h + B / W with B the variance of the means of the half chains, W the mean of their variances
    and h their length; on normal scores of the ranks of x, and of |x - median|. (draw,) or (draw, chain) ->
    float: 1 where all chains agree, above about 1.01 where they do not, inf for chains frozen at different
    values, and 1 for a series that never changes, of which `tau_int` warns. Raises ValueError for fewer than
    4 draws a chain.
    Source: A. Vehtari et al. (2021).
    """
    x = as_series(series)
    if len(x) < 4:
        raise ValueError(f"split R-hat needs at least 4 draws a chain, got {len(x)}")
    half = len(x) // 2
    halves = np.concatenate([x[:half], x[-half:]], axis=1)
    return max(_rhat(_normal_scores(halves)), _rhat(_normal_scores(np.abs(halves - np.median(halves)))))


def _normal_scores(x: Real) -> Real:
    ranks = rankdata(x, method="average").reshape(x.shape)
    return np.asarray(norm.ppf((ranks - 0.375) / (x.size + 0.25)), dtype=np.float64)


def _rhat(z: Real) -> float:
    if is_constant(z):
        return 1.0
    if (np.ptp(z, axis=0) == 0).all():
        return float("inf")
    within = z.var(axis=0, ddof=1).mean()
    between = z.mean(axis=0).var(ddof=1)
    return float(np.sqrt((len(z) - 1) / len(z) + between / within))
