"""Second-order jets differentiate as high-precision differences do."""

import mpmath
import numpy as np
import pytest

from ebmphys.exact.jet import Jet

FUNCTIONS = {
    "products and sums": (lambda x: (x * 3 + 1) * (-x + 2) * x, lambda x: (3 * x + 1) * (2 - x) * x),
    "quotient": (lambda x: x / (x**2 + 1), lambda x: x / (x**2 + 1)),
    "powers": (lambda x: x**7 + x**1 + x**0 - x**-2, lambda x: x**7 + x + 1 - x**-2),
    "root": (lambda x: (x**2 + 2).sqrt(), lambda x: mpmath.sqrt(x**2 + 2)),
    "exponential": (lambda x: (x * -2).exp() - (x * 3).expm1(), lambda x: mpmath.exp(-2 * x) - mpmath.expm1(3 * x)),
    "logarithm": (lambda x: (x + 1).log() * x.log1p(), lambda x: mpmath.log(1 + x) ** 2),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("point", [0.3, 1.7])
def test_derivatives(name, point):
    ours, theirs = FUNCTIONS[name]
    jet = ours(Jet.variable(point))
    with mpmath.workdps(40):
        expected = [float(mpmath.diff(theirs, point, order)) for order in range(3)]
    np.testing.assert_allclose([jet.value, jet.slope, jet.curvature], expected, rtol=1e-13)


@pytest.mark.parametrize("power", [0, 1, 2, 3])
def test_powers_at_zero_are_regular(power):
    jet = Jet.variable(0.0) ** power
    expected = [float(power == order) * (2.0 if order == 2 else 1.0) for order in range(3)]
    np.testing.assert_array_equal([jet.value, jet.slope, jet.curvature], expected)


def test_sum_adds_elements():
    jet = (Jet.variable(2.0) * np.array([1.0, 10.0])) ** 2
    total = jet.sum()
    assert (total.value, total.slope, total.curvature) == (404.0, 404.0, 202.0)
