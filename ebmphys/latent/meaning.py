"""What latents measure: their correlation with physical quantities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ebmphys.latent.encoding import Codes, Real, grouped
from ebmphys.stats import jackknife


@dataclass(frozen=True)
class Correlations:
    """Pearson's r of E[z | v] with quantities of the same configurations, with standard errors by jackknife.

    ``value`` and ``error`` (latent, quantity), the quantities in the order of ``names``. nan where one of the two is
    constant.
    """

    names: tuple[str, ...]
    value: Real
    error: Real

    def best(self, name: str) -> int:
        """The latent whose |r| with the quantity is largest. Raises ValueError where none has an r."""
        column = np.abs(self.value[:, self.names.index(name)])
        if np.isnan(column).all():
            raise ValueError(f"no latent has a correlation with {name}: one of the two is constant")
        return int(np.nanargmax(column))


def correlations(codes: Codes, quantities: Mapping[str, Any]) -> Correlations:
    """r_jk = Cov(E[z_j | v], q_k) / sqrt(Var Var) over independent rows; name -> (n,) of numbers -> Correlations.

    Linear only: a latent that is a bent function of m has |r| < 1 though it says everything. Raises ValueError for
    quantities of another length, or not finite.
    """
    q = np.stack([np.asarray(values, dtype=np.float64) for values in quantities.values()], -1)
    if q.shape != (len(codes.mean), len(quantities)) or not np.isfinite(q).all():
        raise ValueError(f"each quantity needs {len(codes.mean)} finite numbers, one a configuration")
    # About their means: of raw moments the difference would lose what a small spread on a large mean says.
    z, q = codes.mean - codes.mean.mean(0), q - q.mean(0)
    series = (z, q, z**2, q**2, z[:, :, None] * q[:, None, :])
    estimate = jackknife(_pearson, *(grouped(x) for x in series))
    return Correlations(tuple(quantities), estimate.value, estimate.error)


def _pearson(z: Real, q: Real, zz: Real, qq: Real, zq: Real) -> Real:
    spread = np.sqrt(np.maximum(zz - z**2, 0)[:, None] * np.maximum(qq - q**2, 0))
    return np.divide(zq - z[:, None] * q, spread, out=np.full_like(zq, np.nan), where=spread > 0)
