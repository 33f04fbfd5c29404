"""The periodic chain against sums over all states and its limits."""

import math

import numpy as np
import pytest

from ebmphys.exact import Strip, periodic_chain, strip_thermodynamics


def three(solution):
    return [solution.log_partition, solution.energy_per_site, solution.specific_heat]


@pytest.mark.parametrize("n_sites", [2, 3, 4, 7, 8])
@pytest.mark.parametrize(("coupling", "field"), [(1.0, 0.0), (-1.0, 0.0), (1.3, 0.4), (-0.7, -0.9), (0.0, 0.5)])
def test_equals_the_sum_over_all_states(n_sites, coupling, field, brute_force):
    ones = np.ones((1, n_sites))
    oracle = brute_force(0 * ones, coupling * ones, field * ones)
    for beta in (0.1, 0.8, 3.0):
        exact = oracle.at(beta)
        expected = [exact[name] for name in ("log_partition", "energy_per_site", "specific_heat")]
        np.testing.assert_allclose(
            three(periodic_chain(n_sites, beta, coupling, field)), expected, rtol=1e-12, atol=1e-15
        )
    wrong = periodic_chain(n_sites, 1.01 * 0.8, coupling, field).log_partition
    assert wrong != pytest.approx(oracle.at(0.8)["log_partition"], rel=1e-5)


def test_long_chain_is_the_bulk():
    chain = periodic_chain(10_000, 0.7)
    assert chain.energy_per_site == pytest.approx(-math.tanh(0.7), rel=1e-13)
    assert chain.specific_heat == pytest.approx((0.7 / math.cosh(0.7)) ** 2, rel=1e-12)


@pytest.mark.parametrize("coupling", [1.0, -1.0])
@pytest.mark.parametrize("n_sites", [2, 5, 6])
def test_limits(coupling, n_sites):
    hot, cold = periodic_chain(n_sites, 0.0, coupling), periodic_chain(n_sites, 2000.0, coupling)
    assert hot.log_partition == pytest.approx(n_sites * math.log(2))
    assert hot.specific_heat == 0
    frustrated = coupling < 0 and n_sites % 2
    bonds, states = (n_sites - 2, 2 * n_sites) if frustrated else (n_sites, 2)
    assert cold.log_partition == pytest.approx(2000 * bonds + math.log(states), rel=1e-14)
    assert cold.energy_per_site == pytest.approx(-bonds / n_sites)
    assert abs(cold.specific_heat) < 1e-9


def test_equals_the_transfer_matrix_of_a_strip_one_wide():
    for field in (0.0, 0.3):
        found = strip_thermodynamics(Strip.uniform((1, 50), 1.0, field), 0.9)
        np.testing.assert_allclose(three(found), three(periodic_chain(50, 0.9, 1.0, field)), rtol=1e-12)


def test_bad_input():
    with pytest.raises(ValueError, match="at least 2"):
        periodic_chain(1, 0.5)
    with pytest.raises(ValueError, match="beta"):
        periodic_chain(4, math.nan)
