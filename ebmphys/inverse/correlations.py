"""Magnetizations and connected correlations of spins, the data of every expansion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Real = NDArray[np.float64]

_ROWS = 1 << 14  # of spins turned into float64 at once


@dataclass(frozen=True)
class Correlations:
    """m_i = <s_i> and C_ij = <s_i s_j> - m_i m_j, with 1 - m_i^2 on the diagonal; (n,), (n, n)."""

    magnetization: Real
    connected: Real

    def inverse(self) -> Real:
        """C^-1. Raises ValueError where C is singular: spins that never turn, or fewer draws than sites."""
        if not (np.diag(self.connected) > 0).all() or np.linalg.cond(self.connected) > 1 / np.finfo(np.float64).eps:
            raise ValueError(
                "the correlation matrix is singular: a site never turns or two always agree; take more draws"
            )
        return np.asarray(np.linalg.inv(self.connected))


def correlations(x: Any, weights: Any = None) -> Correlations:
    """First and second moments of +-1 configurations, (*batch, n), each counted by its weight, (*batch,), if given.

    Raises ValueError for values other than -1 and +1, and for weights that do not fit or are negative.
    """
    rows, w = configurations(x, weights)
    m = np.zeros(rows.shape[1])
    second = np.zeros((rows.shape[1], rows.shape[1]))
    for some, share in chunks(rows, w, _ROWS):
        m += share @ some
        second += (some * share[:, None]).T @ some
    return Correlations(m, second - np.outer(m, m))


def configurations(x: Any, weights: Any = None) -> tuple[NDArray[np.int8], Real]:
    """Spins, one configuration a row, and normalised weights; (*batch, n), (*batch,) -> (N, n), (N,)."""
    values = x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)
    if values.ndim < 2 or values.size == 0:
        raise ValueError(f"configurations have shape (*batch, n), got {values.shape}")
    if not np.isin(values, (-1, 1)).all():
        raise ValueError("configurations must be spins of values -1 and +1; bits b are spins 2 b - 1")
    rows = values.reshape(-1, values.shape[-1]).astype(np.int8)
    if weights is None:
        return rows, np.full(len(rows), 1 / len(rows))
    w = np.asarray(weights.detach().cpu() if isinstance(weights, torch.Tensor) else weights, dtype=np.float64).ravel()
    if w.shape != (len(rows),) or not (np.isfinite(w).all() and (w >= 0).all() and w.sum() > 0):
        raise ValueError(f"weights are one number a configuration ({len(rows)}), not negative and not all zero")
    return rows, w / w.sum()


def chunks(rows: NDArray[np.int8], weights: Real, size: int) -> Any:
    """Rows in float64 with their weights, a bounded number at a time."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size].astype(np.float64), weights[start : start + size]
