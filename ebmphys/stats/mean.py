"""The mean of a series with an error bar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ebmphys.stats.autocorrelation import gamma_method
from ebmphys.stats.series import as_series, is_constant

MANY_CHAINS = 32  # from here on the scatter of the chains' means is itself a good error bar


@dataclass(frozen=True)
class Estimate:
    """A value with its standard error (numbers, or arrays of one shape), the autocorrelation time in draws
    and the number of independent draws behind it, a warning in words (empty when there is nothing to warn of)
    and how the error was found."""

    value: Any
    error: Any
    tau: float
    n_effective: float
    warning: str = ""
    method: str = ""


def mean_with_error(series: Any) -> Estimate:
    """Mean of a Markov-chain series with its standard error.

    With 32 chains or more: error^2 = Var(chain means) / chains. With fewer: error^2 = 2 tau var / N, Gamma
    method about the mean over all chains. (draw,) or (draw, chain) -> Estimate, whose `method` says which,
    and whose `warning` speaks when N/tau < 100. Raises ValueError for values that are not finite.
    Source: U. Wolff (2004); one mean a chain is the textbook error of independent measurements.
    """
    x = as_series(series)
    tau, error = gamma_method(x)
    n_draws, n_chains = x.shape
    method = f"Gamma method, window {tau.window}" if n_draws > 1 else "independent draws"
    if n_chains >= MANY_CHAINS and n_draws > 1 and not is_constant(x):
        error = float(np.sqrt(x.mean(axis=0).var(ddof=1) / n_chains))
        method = f"standard error over {n_chains} chain means"
    return Estimate(float(x.mean()), error, tau.value, x.size / (2 * tau.value), tau.warning, method)


def independent_mean(draws: Any) -> Estimate:
    """Mean of independent draws with its standard error.

    error^2 = var / n, tau = 1/2; any shape -> Estimate. For a derived quantity of independent draws give
    `jackknife` one draw a chain, series of shape (1, n). Raises ValueError for fewer than two draws or values
    that are not finite.
    """
    return mean_with_error(np.ravel(np.asarray(draws))[None, :])
