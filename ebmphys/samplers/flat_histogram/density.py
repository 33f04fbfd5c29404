"""The density of states with error bars, and the canonical averages that follow from it at every temperature."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from ebmphys.exact.thermodynamics import check_beta
from ebmphys.stats import Estimate, jackknife

Real = NDArray[np.float64]

_FEW_WALKERS = 8  # an error bar from fewer is known to no better than 30 %


@dataclass(frozen=True)
class DensityOfStates:
    """Estimates of log g(E), the logarithm of the number of configurations, one of each independent walker.

    levels: (n_levels,) energies, ascending; walkers: (n_walkers, n_levels). Each walker is normalised to
    sum_E g(E) = 2^n_sites when the object is made. ``warning`` says in words why the estimate cannot be trusted.
    Raises ValueError for arrays that do not fit, levels that do not ascend and values that are not finite.
    """

    n_sites: int
    levels: Real
    walkers: Real
    warning: str = ""

    def __post_init__(self) -> None:
        levels, walkers = np.asarray(self.levels, dtype=np.float64), np.asarray(self.walkers, dtype=np.float64)
        if levels.ndim != 1 or walkers.ndim != 2 or not len(walkers) or walkers.shape[1] != len(levels):
            raise ValueError(
                f"a density of states needs levels (n,) and walkers (m, n), got {levels.shape} and {walkers.shape}"
            )
        if not (np.diff(levels) > 0).all() or not (np.isfinite(walkers).all() and np.isfinite(levels).all()):
            raise ValueError("levels must ascend, and levels and log g must be finite: leave out levels without states")
        total = logsumexp(walkers, axis=1, keepdims=True)
        object.__setattr__(self, "levels", levels)
        object.__setattr__(self, "walkers", walkers - total + self.n_sites * math.log(2))

    @property
    def log_g(self) -> Real:
        """The mean of the walkers' log g, normalised to sum_E g(E) = 2^n_sites; (n_levels,)."""
        mean = self.walkers.mean(axis=0)
        return np.asarray(mean - logsumexp(mean) + self.n_sites * math.log(2))

    @property
    def error(self) -> Real:
        """The standard error of ``log_g`` from the scatter of the walkers; (n_levels,), NaN for one walker."""
        if len(self.walkers) == 1:
            return np.full(len(self.levels), np.nan)
        return np.asarray(self.walkers.std(axis=0, ddof=1) / math.sqrt(len(self.walkers)))

    def log_at(self, energies: Real) -> Real:
        """log g at any energies: between levels in a straight line, outside as at the last level; any shape."""
        return np.interp(np.asarray(energies, dtype=np.float64), self.levels, self.log_g)

    def averages(self, beta: float) -> dict[str, Estimate]:
        """energy_per_site <E>/N, specific_heat beta^2 Var(E)/N and log_partition log sum_E g(E) exp(-beta E).

        Errors by jackknife over the walkers, with a warning where they are fewer than 8.
        Raises ValueError for a single walker, and for beta that is negative or not finite.
        """
        beta = check_beta(beta)
        if len(self.walkers) < 2:
            raise ValueError("errors come from the scatter of the walkers: at least 2 are needed, got 1")
        names = ("energy_per_site", "specific_heat", "log_partition")
        together = jackknife(lambda mean: self._canonical(mean, beta), self.walkers[None])
        few = f"the error bars rest on {len(self.walkers)} walkers" if len(self.walkers) < _FEW_WALKERS else ""
        warning = "; ".join(filter(None, (self.warning, few)))
        return {
            name: replace(together, value=float(value), error=float(error), warning=warning)
            for name, value, error in zip(names, together.value, together.error, strict=True)
        }

    def _canonical(self, log_g: Real, beta: float) -> Real:
        log_weight = log_g - beta * self.levels
        log_z = logsumexp(log_weight)
        p = np.exp(log_weight - log_z)
        mean = p @ self.levels
        variance = p @ (self.levels - mean) ** 2
        states = logsumexp(log_g) - self.n_sites * math.log(2)
        return np.array([mean / self.n_sites, beta**2 * variance / self.n_sites, log_z - states])
