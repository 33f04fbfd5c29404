"""Error of the mean against the length of the bins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ebmphys.stats.series import Real, as_series, is_constant

_FEWEST = 8  # an error bar from fewer bins is known to no better than 30 %


@dataclass(frozen=True)
class Binning:
    """Error bar of the mean against bin length, the errors of these error bars, the plateau and the bin
    length where it begins, and a warning in words (empty when there is nothing to warn of)."""

    lengths: NDArray[np.int64]
    errors: Real
    errors_of_errors: Real
    plateau: float
    plateau_length: int
    warning: str = ""


def binning(series: Any) -> Binning:
    """Standard error of the mean from averages over bins of 1, 2, 4, ... successive draws.

    error(b)^2 = var(bin means) b / N, its own relative error 1 / sqrt(2 (bins - 1)); bins stay inside a
    chain, deviations are from the mean over all chains. (draw,) or (draw, chain) -> Binning. The plateau is
    read at the first length with b^3 > 2 N (error(b) / error(1))^4, where the bias of short bins and the noise
    of few bins balance. Source: H. Flyvbjerg and H. G. Petersen (1989); R. M. Lee et al. (2011) for the length.
    """
    x = as_series(series)
    if is_constant(x):
        warning = "the series never changes: its error bar of zero says nothing"
        return Binning(np.array([1]), np.zeros(1), np.zeros(1), 0.0, 1, warning)
    n, n_chains = x.shape
    lengths = [2**level for level in range(n.bit_length()) if level == 0 or n // 2**level * n_chains >= _FEWEST]
    counts = np.array([n // b * n_chains for b in lengths])
    errors = np.array([_bin_error(x, b) for b in lengths])
    reached = np.array(lengths) ** 3.0 * errors[0] ** 4 > 2 * x.size * errors**4
    at = int(np.argmax(reached)) if reached.any() else int(np.argmax(errors))
    warning = "" if reached.any() else "no plateau: the run is too short, its error bar is a lower bound"
    return Binning(
        np.array(lengths),
        errors,
        errors / np.sqrt(2 * (counts - 1)),
        float(errors[at]),
        lengths[at],
        warning,
    )


def _bin_error(x: Real, length: int) -> float:
    whole = len(x) // length
    means = x[: whole * length].reshape(whole, length, x.shape[1]).mean(axis=1)
    # Draws beyond the last whole bin do not enter the scatter, but they do enter the mean.
    return float(np.sqrt(means.var(ddof=1) * length / x.size))
