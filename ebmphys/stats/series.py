"""What a series is: its shape, its checks, and the words for what is wrong with it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]

ENOUGH = 100  # a run of fewer autocorrelation times than this gets a warning with every error bar


def as_series(series: Any, *, trailing: bool = False) -> Real:
    """The series in float64, (draw,) or (draw, chain[, ...]) -> (draw, chain[, ...]).

    Further axes are let through only where `trailing`. Raises ValueError for other shapes, for fewer than two
    numbers, and for values that are not finite.
    """
    x = np.asarray(series)
    if x.dtype.kind not in "fiub":
        raise ValueError(f"a series holds real numbers, got values of type {x.dtype}")
    x = x.astype(np.float64)
    if x.ndim == 1:
        x = x[:, None]
    if x.ndim < 2 or (x.ndim > 2 and not trailing):
        raise ValueError(f"a series has shape (draw,) or (draw, chain), got {np.shape(series)}")
    if x.shape[0] * x.shape[1] < 2 or x.size == 0:
        raise ValueError(f"a series needs at least two draws, got shape {np.shape(series)}")
    if not np.isfinite(x).all():
        bad = int((~np.isfinite(x)).sum())
        raise ValueError(f"a series must be finite, got {bad} values that are nan or inf")
    return x


def frozen_chains(x: Real) -> int:
    """How many chains never change their value; (draw, chain) -> count, 0 for a single draw a chain."""
    return int((np.ptp(x, axis=0) == 0).sum()) if len(x) > 1 else 0


def is_constant(x: Real) -> bool:
    """Whether all draws of all chains are one and the same number."""
    return bool(np.ptp(x) == 0)


def too_short(n_draws: int, tau: float) -> str:
    """The warning for a run of few autocorrelation times, empty where there are enough of them."""
    lengths = n_draws / tau
    if lengths >= ENOUGH:
        return ""
    return f"run too short: {n_draws} draws are only {lengths:.0f} autocorrelation times, want {ENOUGH} or more"


def join(*warnings: str) -> str:
    """Several warnings as one line, each said once."""
    return "; ".join(dict.fromkeys(w for w in warnings if w))
