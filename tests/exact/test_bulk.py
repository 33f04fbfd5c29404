"""Onsager, Yang and critical points against high-precision integrals and limits."""

import math

import mpmath
import numpy as np
import pytest

from ebmphys.exact import critical_temperature, onsager, potts_critical_temperature, yang_magnetization

BETA_C = math.log1p(math.sqrt(2)) / 2


def precise_onsager(beta):
    """(f, u, c) from the double integral, one integration done: derivatives under the integral, 30 digits."""
    with mpmath.workdps(30):
        k = mpmath.mpf(beta)

        def pressure(x):
            def integrand(p):
                a = mpmath.cosh(2 * x) ** 2 - mpmath.sinh(2 * x) * mpmath.cos(p)
                return mpmath.acosh(a / mpmath.sinh(2 * x))

            # (1/2pi) int log(a - b cos q) dq = log(b/2) + acosh(a/b)
            integral = mpmath.quad(integrand, [0, mpmath.pi / 8, mpmath.pi / 2, mpmath.pi]) / mpmath.pi
            return mpmath.log(2) + (mpmath.log(mpmath.sinh(2 * x) / 2) + integral) / 2

        h = mpmath.mpf(10) ** -7
        low, here, high = pressure(k - h), pressure(k), pressure(k + h)
        u = -(high - low) / (2 * h)
        c = k**2 * (high - 2 * here + low) / h**2
        return [float(-here / k), float(u), float(c)]


@pytest.mark.parametrize("beta", [0.05, 0.2, 0.35, 0.42, 0.46, 0.55, 0.8, 1.2])
def test_against_the_integral(beta):
    f, u, c = precise_onsager(beta)
    bulk = onsager(beta)
    assert bulk.free_energy_per_site == pytest.approx(f, rel=1e-13)
    assert bulk.energy_per_site == pytest.approx(u, rel=1e-10)
    assert bulk.specific_heat == pytest.approx(c, rel=1e-8)
    assert onsager(1.01 * beta).energy_per_site != pytest.approx(u, rel=1e-5)


def test_critical_point():
    bulk = onsager(BETA_C)
    assert bulk.energy_per_site == pytest.approx(-math.sqrt(2), rel=1e-15)
    assert bulk.specific_heat == math.inf
    # -beta f = ln 2 / 2 + 2 G / pi with Catalan's constant G (Onsager 1944).
    assert -BETA_C * bulk.free_energy_per_site == pytest.approx(math.log(2) / 2 + 2 * float(mpmath.catalan) / math.pi)
    for side in (-1, 1):
        near = onsager(BETA_C * (1 + side * 1e-10))
        assert near.energy_per_site == pytest.approx(-math.sqrt(2), abs=1e-8)
        assert 10 < near.specific_heat < 13


@pytest.mark.parametrize("exponent", [-12, -8, -5, -3])
def test_high_temperature_series(exponent):
    """u = -2K(1 + K^2 8/3...), c = 2 K^2: both accurate where they are small."""
    k = 10.0**exponent
    bulk = onsager(k)
    v = math.tanh(k)
    # log Z / N = ln 2 + 2 ln cosh K + v^4 + 2 v^6 + O(v^8): derivatives by hand
    u = -(2 * v + (4 * v**3 + 12 * v**5) * (1 - v**2))
    assert bulk.energy_per_site == pytest.approx(u, rel=1e-13)
    assert bulk.specific_heat == pytest.approx(2 * k**2, rel=20 * k**2 + 1e-13)


def test_low_temperature_series():
    """log Z / N = 2K + x^4 + 2 x^6 + O(x^8), x = e^(-2K)."""
    for k in (2.0, 3.0, 400.0):
        x4 = math.exp(-8 * k)
        bulk = onsager(k)
        assert bulk.energy_per_site == pytest.approx(-2 + 8 * x4, abs=40 * math.exp(-12 * k) + 1e-15)
        assert bulk.specific_heat == pytest.approx(64 * k**2 * x4, rel=10 * math.exp(-4 * k) + 1e-8, abs=1e-30)


def test_coupling_and_limits():
    assert onsager(0.3, -1.0) == onsager(0.3)
    assert onsager(0.15, 2.0).energy_per_site == pytest.approx(2 * onsager(0.3).energy_per_site, rel=1e-14)
    assert onsager(0.15, 2.0).specific_heat == pytest.approx(onsager(0.3).specific_heat, rel=1e-14)
    assert onsager(0.0).free_energy_per_site == -math.inf
    free = onsager(2.0, 0.0)
    assert (free.energy_per_site, free.specific_heat) == (0.0, 0.0)
    assert free.free_energy_per_site == pytest.approx(-math.log(2) / 2)
    with pytest.raises(ValueError, match="beta"):
        onsager(-1.0)


def test_yang():
    assert yang_magnetization(0.0) == yang_magnetization(0.4) == yang_magnetization(BETA_C) == 0.0
    assert yang_magnetization(50.0) == yang_magnetization(2000.0) == 1.0
    for beta in (0.441, 0.45, 0.6, 1.0):
        expected = (1 - math.sinh(2 * beta) ** -4) ** 0.125
        assert yang_magnetization(beta) == pytest.approx(expected, rel=1e-12)
        assert yang_magnetization(beta / 2, coupling=2.0) == pytest.approx(expected, rel=1e-12)
        assert yang_magnetization(beta) != pytest.approx((1 - math.sinh(beta) ** -4 + 0j).real ** 0.125, rel=1e-3)
    # The exponent 1/8 at the critical point.
    near, nearer = (yang_magnetization(BETA_C * (1 + d)) for d in (1e-8, 1e-10))
    assert math.log(near / nearer) / math.log(100) == pytest.approx(1 / 8, rel=1e-5)
    for coupling in (0.0, -1.0):
        with pytest.raises(ValueError, match="ferromagnet"):
            yang_magnetization(0.5, coupling)


def test_critical_temperatures():
    found = [critical_temperature(g) for g in ("square", "triangular", "honeycomb")]
    np.testing.assert_allclose(found, [2.269185314213022, 3.640956906880434, 1.518651427946556], rtol=1e-6)
    # Defining equations: self-duality; the star-triangle relation between triangular and honeycomb lattices.
    square, triangular, honeycomb = (1 / t for t in found)
    assert math.sinh(2 * square) == pytest.approx(1, rel=1e-15)
    assert math.exp(4 * triangular) == pytest.approx(3, rel=1e-15)
    assert math.cosh(2 * honeycomb) == pytest.approx(2, rel=1e-15)
    assert math.sinh(2 * triangular) * math.sinh(2 * honeycomb) == pytest.approx(1, rel=1e-15)
    assert 1 / critical_temperature("cubic") == pytest.approx(0.221654626, rel=1e-15)
    assert critical_temperature("square", coupling=2.0) == pytest.approx(2 * found[0])


def test_potts_critical_temperatures():
    assert 1 / potts_critical_temperature(3) == pytest.approx(math.log(1 + math.sqrt(3)))
    assert potts_critical_temperature(2) == pytest.approx(critical_temperature() / 2)


def test_bad_input():
    with pytest.raises(ValueError, match="known: square"):
        critical_temperature("kagome")
    with pytest.raises(ValueError, match="J > 0"):
        critical_temperature("square", -1.0)
    with pytest.raises(ValueError, match="2 states"):
        potts_critical_temperature(1)
    with pytest.raises(ValueError, match="J > 0"):
        potts_critical_temperature(3, 0.0)
