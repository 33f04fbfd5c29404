"""The latent order parameter <|z|>(T), its susceptibility, and the critical temperatures that it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import chi2

from ebmphys.latent.encoding import Real
from ebmphys.observables import susceptibility
from ebmphys.stats import jackknife, mean_with_error
from ebmphys.stats.series import as_series

_HEIGHT = 0.75  # of the peak: a parabola is fitted to what stands above
_DOUBT = 1e-3


@dataclass(frozen=True)
class OrderCurve:
    """<|z|> and chi = N (<z^2> - <|z|>^2) at each temperature, rising, with standard errors; (temperature,) each."""

    temperature: Real
    order: Real
    order_error: Real
    susceptibility: Real
    susceptibility_error: Real


@dataclass(frozen=True)
class Peak:
    """The temperature at which a curve is highest, with its standard error, and what speaks against it in words."""

    temperature: float
    error: float
    warning: str = ""


@dataclass(frozen=True)
class FiniteSize:
    """T_c of the infinite lattice from T(L) = T_c + a L^(-1/nu), with standard errors; ``slope`` is a."""

    critical_temperature: float
    error: float
    slope: float
    warning: str = ""


def order_curve(z: Mapping[float, Any], n_sites: int) -> OrderCurve:
    """The order parameter of each temperature; T -> (draw,) or (draw, chain) of z, or (1, n) of independent draws.

    Series as in ``ebmphys.stats``, whose error bars know about autocorrelation. z is a latent whose sign is the
    configuration's (``odd_means``), or any other order parameter, such as m. chi is without beta and in units of z,
    which are the network's. Raises ValueError for less than two temperatures.
    """
    if len(z) < 2 or n_sites < 1:
        raise ValueError(f"an order curve needs 2 or more temperatures and 1 or more sites, got {len(z)}, {n_sites}")
    temperatures = sorted(z)
    rows = []
    for t in temperatures:
        one = as_series(np.abs(np.asarray(z[t], dtype=np.float64)))
        order = mean_with_error(one)
        chi = jackknife(lambda a, b: susceptibility(a, b, 1.0, n_sites), one, one**2)
        rows.append((order.value, order.error, chi.value, chi.error))
    return OrderCurve(np.array(temperatures), *np.array(rows).T)


def susceptibility_peak(curve: OrderCurve) -> Peak:
    """Where the susceptibility is highest: the vertex of a parabola through the points around the highest one.

    Weighted least squares on the points next to it that stand above 3/4 of it, at least three in all; the error is
    theirs propagated. A peak is lopsided and a parabola is not: temperatures closer by make that smaller. Warned of in
    words: a parabola that the points reject. Raises ValueError for fewer than three temperatures, a highest point at
    the end of the temperatures, and points without an error or without a maximum.
    """
    top = int(np.argmax(curve.susceptibility))
    if not 0 < top < len(curve.temperature) - 1:
        raise ValueError(
            f"the susceptibility is highest at the end of the temperatures, T = {curve.temperature[top]:.4g}: "
            f"measure beyond it"
        )
    near = _around(curve.susceptibility, top)
    t, y, error = curve.temperature[near], curve.susceptibility[near], curve.susceptibility_error[near]
    if not (error > 0).all():
        raise ValueError("a peak needs a susceptibility with an error at each temperature")
    x = t - curve.temperature[top]
    design = np.stack([np.ones_like(x), x, x**2], -1)
    # Coefficients are linear in the points, and the vertex -b / 2c follows from them.
    solve = np.linalg.pinv(design / error[:, None]) / error
    _, b, c = solve @ y
    if c >= 0:
        raise ValueError("the points around the highest one have no maximum: measure more draws")
    slope = -solve[1] / (2 * c) + b * solve[2] / (2 * c**2)
    vertex = float(curve.temperature[top] - b / (2 * c))
    misfit = float((((y - design @ solve @ y) / error) ** 2).sum())
    return Peak(vertex, float(np.sqrt(((slope * error) ** 2).sum())), _rejected(misfit, len(y) - 3))


def critical_from_sizes(peaks: Mapping[int, Peak], nu: float = 1.0) -> FiniteSize:
    """T_c from the peaks of lattices of two sides L or more: T(L) = T_c + a L^(-1/nu), weighted least squares.

    nu = 1 for the two-dimensional Ising model. Corrections to scaling are left out: with small lattices they exceed
    the error. Raises ValueError for fewer than two sides, or a peak without an error.
    """
    if len(peaks) < 2:
        raise ValueError(f"an extrapolation needs 2 or more sizes, got {len(peaks)}")
    x = np.array([float(side) ** (-1 / nu) for side in peaks])
    t = np.array([peak.temperature for peak in peaks.values()])
    error = np.array([peak.error for peak in peaks.values()])
    if not (error > 0).all():
        raise ValueError("an extrapolation needs an error at each size")
    design = np.stack([np.ones_like(x), x], -1)
    solve = np.linalg.pinv(design / error[:, None]) / error
    critical, slope = solve @ t
    doubts = "; ".join(f"L = {side}: {peak.warning}" for side, peak in peaks.items() if peak.warning)
    return FiniteSize(float(critical), float(np.sqrt(((solve[0] * error) ** 2).sum())), float(slope), doubts)


def _rejected(misfit: float, freedom: int) -> str:
    if freedom < 1 or chi2.sf(misfit, freedom) > _DOUBT:
        return ""
    return f"no parabola fits the peak (chi^2 {misfit:.0f} for {freedom} degrees of freedom): take closer temperatures"


def _around(y: Real, top: int) -> slice:
    """The points next to the highest that stand above three quarters of it, one on either side at least."""
    low, high = top - 1, top + 1
    while low > 0 and y[low - 1] > _HEIGHT * y[top] and y[low] > _HEIGHT * y[top]:
        low -= 1
    while high < len(y) - 1 and y[high + 1] > _HEIGHT * y[top] and y[high] > _HEIGHT * y[top]:
        high += 1
    return slice(low, high + 1)
