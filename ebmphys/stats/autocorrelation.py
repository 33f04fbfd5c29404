"""Autocorrelation function and integrated autocorrelation time of a series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from ebmphys.stats.series import Real, as_series, frozen_chains, is_constant, join, too_short

_SIGNIFICANT = 3.0  # standard deviations
_S = 1.5  # exponential over integrated time in Wolff's window: of 1 to 2.5, least bias and noise on AR(1)
_FFT_ELEMENTS = 1 << 22  # chains are transformed in groups of about so many numbers, to bound the memory


@dataclass(frozen=True)
class Tau:
    """Integrated autocorrelation time in draws, its standard error, the window of the sum, and a warning in
    words (empty when there is nothing to warn of)."""

    value: float
    error: float
    window: int
    warning: str = ""


def autocovariance(x: Real) -> Real:
    """Gamma(t) = average of (x_i - X)(x_(i+t) - X) over all pairs in all chains; (draw, chain) -> (draw,).

    X is the mean over all chains: the mean of each single chain takes its own fluctuation out of Gamma and
    makes error bars of many short chains too small.
    """
    n, n_chains = x.shape
    centred = x - x.mean()
    length = next_fast_len(2 * n, real=True)
    power = np.zeros(length // 2 + 1)
    group = max(1, _FFT_ELEMENTS // length)
    for start in range(0, n_chains, group):
        transform = rfft(centred[:, start : start + group], n=length, axis=0)
        power += (transform.real**2 + transform.imag**2).sum(axis=1)
    pairs = n_chains * (n - np.arange(n))
    return np.asarray(irfft(power, n=length)[:n] / pairs, dtype=np.float64)


def autocorrelation(series: Any) -> Real:
    """Normalised autocorrelation function about the mean over all chains.

    rho(t) = Gamma(t) / Gamma(0), t = 0 .. draws - 1; (draw,) or (draw, chain) -> (draw,). A series that never
    changes has rho = 1 at all times. Source: U. Wolff (2004).
    """
    x = as_series(series)
    if is_constant(x):
        return np.ones(len(x))
    gamma = autocovariance(x)
    return gamma / gamma[0]


def tau_int(series: Any) -> Tau:
    """Integrated autocorrelation time by the Gamma method with an automatic window.

    tau = 1/2 + sum_(t=1)^W rho(t), in draws, so that error^2 of the mean = 2 tau var / N with N = draws x
    chains; (draw,) or (draw, chain) -> Tau. W is the first lag at which exp(-W/t) < t / sqrt(W N), where t is
    the exponential time that goes with S = 1.5; below 1/2 only where noise cannot have done it; Gamma is
    corrected for the noise of the mean; error^2 =
    4/N (W + 1/2 - tau) tau^2. One draw a chain is independent (tau = 1/2). A series that never changes counts as
    one draw (tau = N/2, W = 0), and this is said in words, as are chains that never change among others that
    do, a window that does not close, and N/tau < 100. Source: U. Wolff (2004).
    """
    return gamma_method(as_series(series))[0]


def gamma_method(x: Real) -> tuple[Tau, float]:
    """The autocorrelation time and the standard error of the mean that it implies; (draw, chain) -> both."""
    n = x.size
    if is_constant(x):
        return Tau(n / 2, n / 2, 0, "the series never changes: its error bar of zero says nothing"), 0.0
    if len(x) == 1:
        error = float(np.sqrt(x.var(ddof=1) / n))
        return Tau(0.5, 0.0, 0, too_short(n, 0.5)), error
    gamma = autocovariance(x)
    window, closed = _window(gamma / gamma[0], n)
    # The mean's own variance, 2 C / N, is missing from every Gamma(t): put it back, to first order in 1/N.
    half_sum = (gamma[0] / 2 + gamma[1 : window + 1].sum()) * (1 + (2 * window + 1) / n)
    # Below 1/2 (antithetic) only where noise cannot have done it: without correlation the sum scatters by sqrt(W / N).
    if half_sum < gamma[0] * (0.5 - _SIGNIFICANT * np.sqrt(max(window, 1) / n)):
        half_sum = max(half_sum, gamma[0] / n)  # never below what N draws can tell from zero
    else:
        half_sum = max(half_sum, gamma[0] / 2)
    tau = float(half_sum / (gamma[0] + 2 * half_sum / n))
    tau_error = tau * float(np.sqrt(4 / n * max(window + 0.5 - tau, 0.5)))
    warning = join(_stuck(x, tau), "" if closed else _unclosed(len(x)), too_short(n, tau))
    return Tau(tau, tau_error, window, warning), float(np.sqrt(2 * half_sum / n))


def effective_sample_size(series: Any) -> float:
    """Number of independent draws that would give the same error of the mean.

    n_effective = N / (2 tau), N = draws x chains; (draw,) or (draw, chain) -> float. Source: U. Wolff (2004).
    """
    x = as_series(series)
    return x.size / (2 * tau_int(x).value)


def _window(rho: Real, n: int) -> tuple[int, bool]:
    """Wolff's window, and whether it closed before the end of the chains."""
    lags = np.arange(1, len(rho))
    # |rho| leaves positive correlations as they are and keeps the sum of alternating ones from ending too soon.
    running = np.maximum(0.5 + np.cumsum(np.abs(rho[1:])), 0.5 + 1e-12)
    exponential = _S / np.log((2 * running + 1) / (2 * running - 1))
    done = np.exp(-lags / exponential) < exponential / np.sqrt(lags * n)
    return (int(lags[np.argmax(done)]), True) if done.any() else (len(rho) - 1, False)


def _unclosed(n_draws: int) -> str:
    return f"chains of {n_draws} draws are too short to show the autocorrelation time: tau is a lower bound"


def _stuck(x: Real, tau: float) -> str:
    """A chain that stands still for ten autocorrelation times of its neighbours is stuck, not slow."""
    frozen = frozen_chains(x) if len(x) >= 10 * tau else 0
    return f"{frozen} of {x.shape[1]} chains never change" if frozen else ""
