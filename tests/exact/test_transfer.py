"""The transfer matrix against sums over all states, Kaufman, Nishimori, and published numbers."""

import math
from itertools import product

import numpy as np
import pytest

from ebmphys.exact import Strip, kaufman, magnetization_law, periodic_chain, strip_thermodynamics
from ebmphys.lattice import Lattice

BETA_C = math.log1p(math.sqrt(2)) / 2
THERMAL = ("log_partition", "energy_per_site", "specific_heat")
MAGNETIC = [  # L, beta, <|m|>, <m^2>, <m^4>, U4
    (4, BETA_C, 0.843860444813, 0.761358908569, 0.665691213267, 0.617199318412),
    (6, BETA_C, 0.804976558444, 0.693316591135, 0.556122863533, 0.614356239125),
    (8, 0.4, 0.603128979407, 0.432099078576, 0.266552513260, 0.524122855863),
    (8, BETA_C, 0.777331092787, 0.646911574994, 0.485815234126, 0.613045384943),
    (8, 0.5, 0.911452266143, 0.841671184622, 0.734015204920, 0.654618649250),
]


def three(solution):
    return [getattr(solution, name) for name in THERMAL]


def random_strip(shape, periodic, seed, discrete=False):
    rng = np.random.default_rng(seed)
    down, right = rng.choice([-2.0, -1.0, 1.0, 3.0], (2, *shape)) if discrete else rng.normal(size=(2, *shape))
    if not periodic[0] or shape[0] == 1:
        down[-1] = 0
    if not periodic[1] or shape[1] == 1:
        right[:, -1] = 0
    return Strip(down, right, rng.normal(size=shape))


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (2, 2), (2, 3), (4, 2), (3, 3), (3, 4), (5, 3), (2, 7)])
@pytest.mark.parametrize("periodic", list(product((True, False), repeat=2)))
def test_any_couplings_and_fields_equal_the_sum_over_all_states(shape, periodic, brute_force):
    strip = random_strip(shape, periodic, seed=11)
    oracle = brute_force(strip.down, strip.right, strip.fields)
    for beta in (0.0, 0.4, 1.1):
        exact = oracle.at(beta)
        np.testing.assert_allclose(
            three(strip_thermodynamics(strip, beta)), [exact[k] for k in THERMAL], rtol=1e-11, atol=1e-14
        )
        for name, value in magnetization_law(strip, beta).averages().items():
            assert value == pytest.approx(exact[name], rel=1e-11, abs=1e-13), name
    # The test can fail: 1 % of one coupling, or of beta, shows.
    changed = Strip(strip.down, strip.right, strip.fields * 1.01)
    for wrong in (strip_thermodynamics(changed, 0.4), strip_thermodynamics(strip, 0.404)):
        assert wrong.log_partition != pytest.approx(oracle.at(0.4)["log_partition"], rel=1e-6)


def test_distribution_of_the_magnetization(brute_force):
    strip = random_strip((3, 4), (True, True), seed=5)
    oracle, law = brute_force(strip.down, strip.right, strip.fields), magnetization_law(strip, 0.7)
    weight = np.exp(-0.7 * oracle.energy)
    expected = [weight[np.isclose(oracle.magnetization, m / 12)].sum() / weight.sum() for m in law.levels]
    np.testing.assert_allclose(law.probability, expected, rtol=1e-12)
    np.testing.assert_array_equal(law.levels, np.arange(-12, 13, 2))


@pytest.mark.parametrize("shape", [(2, 9), (3, 8), (5, 5), (6, 7), (8, 8), (4, 30), (30, 4)])
def test_equals_kaufman(shape):
    rng = np.random.default_rng(0)
    for beta in (0.0, BETA_C, *rng.uniform(0.05, 1.2, 4)):
        found = three(strip_thermodynamics(Strip.uniform(shape), beta))
        np.testing.assert_allclose(found, three(kaufman(shape, beta)), rtol=1e-12, atol=1e-13)
    assert found[0] != pytest.approx(kaufman(shape, 1.0001 * beta).log_partition, rel=1e-6)


def test_gauge_transformed_couplings_equal_kaufman():
    """Mattis: s_i -> t_i s_i gives mixed couplings with the ferromagnet's log Z, and rows that are not alike."""
    t = np.random.default_rng(1).choice([-1.0, 1.0], (6, 7))
    strip = Strip(t * np.roll(t, -1, 0), t * np.roll(t, -1, 1), np.zeros((6, 7)))
    np.testing.assert_allclose(three(strip_thermodynamics(strip, 0.4)), three(kaufman((6, 7), 0.4)), rtol=1e-12)


@pytest.mark.parametrize(("side", "beta", "absolute", "second", "fourth", "binder"), MAGNETIC)
def test_reference_magnetization_to_every_digit(side, beta, absolute, second, fourth, binder):
    found = magnetization_law(Strip.uniform((side, side)), beta).averages()
    names = ("abs_magnetization", "magnetization_squared", "magnetization_fourth", "binder_cumulant")
    expected = [absolute, second, fourth, binder]
    np.testing.assert_allclose([found[name] for name in names], expected, rtol=0, atol=6e-13)
    wrong = magnetization_law(Strip.uniform((side, side)), 1.0001 * beta).averages()
    assert all(abs(wrong[name] - value) > 1e-7 for name, value in zip(names, expected, strict=True))
    n = side**2
    assert found["susceptibility"] == pytest.approx(beta * n * (second - absolute**2), abs=1e-9)
    assert found["susceptibility_disordered"] == pytest.approx(beta * n * second, abs=1e-9)
    assert abs(found["magnetization"]) < 1e-15


def test_binder_cumulant_of_the_10_lattice():
    law = magnetization_law(Strip.uniform((10, 10)), BETA_C)
    assert law.averages()["binder_cumulant"] == pytest.approx(0.612340533994, abs=6e-13)


@pytest.mark.slow
def test_binder_cumulant_of_the_12_lattice():
    law = magnetization_law(Strip.uniform((12, 12)), BETA_C)
    assert law.averages()["binder_cumulant"] == pytest.approx(0.611917822203, abs=6e-13)


def test_nishimori_line():
    """p = 1 / (1 + e^(-2K)) for J = +1: the disorder average of the energy is -tanh K a bond, exactly."""
    k, bonds = 0.6, Lattice((2, 4), periodic=False).n_bonds
    p = 1 / (1 + math.exp(-2 * k))
    lattice, average = Lattice((2, 4), periodic=False), 0.0
    for signs in product((1.0, -1.0), repeat=bonds):
        solution = strip_thermodynamics(Strip.of_lattice(lattice, np.array(signs)), k)
        average += math.prod(p if s > 0 else 1 - p for s in signs) * solution.energy_per_site * 8
    assert average / bonds == pytest.approx(-math.tanh(k), rel=1e-12)


def test_strip_of_a_lattice_has_the_lattice_energy():
    rng = np.random.default_rng(2)
    for shape, periodic in (
        ((3, 4), True),
        ((2, 2), True),
        ((2, 5), (True, False)),
        ((4, 3), False),
        ((6,), True),
        ((1, 6), True),
    ):
        lattice = Lattice(shape, periodic=periodic)
        couplings, fields = rng.normal(size=lattice.n_bonds), rng.normal(size=lattice.n_sites)
        strip = Strip.of_lattice(lattice, couplings, fields)
        for _ in range(5):
            s = rng.choice([-1, 1], lattice.n_sites)
            by_bond = -(couplings * s[lattice.bonds].prod(1)).sum() - fields @ s
            g = s.reshape(strip.shape)
            by_strip = -(
                strip.down * g * np.roll(g, -1, 0) + strip.right * g * np.roll(g, -1, 1) + strip.fields * g
            ).sum()
            assert by_strip == pytest.approx(by_bond, abs=1e-12)


def test_open_strips_may_be_wide_and_long():
    """An open ladder is solved by hand where it is a chain; a wide open square is finite and extensive."""
    chain = strip_thermodynamics(Strip.uniform((1, 2000), periodic=(False, False)), 0.8)
    assert chain.log_partition == pytest.approx(2000 * math.log(2) + 1999 * math.log(math.cosh(0.8)), rel=1e-13)
    wide = strip_thermodynamics(Strip.uniform((12, 12), periodic=(True, False)), 0.3)
    assert wide.energy_per_site == pytest.approx(-0.70, abs=0.05)
    # Transposing exchanges which way is open, and changes nothing.
    turned = strip_thermodynamics(Strip.uniform((12, 12), periodic=(False, True)), 0.3)
    np.testing.assert_allclose(three(turned), three(wide), rtol=1e-13)


def test_cold_systems_do_not_overflow():
    for coupling in (1.0, -1.0):
        cold = strip_thermodynamics(Strip.uniform((4, 6), coupling), 20.0)
        assert cold.log_partition == pytest.approx(20 * 48 + math.log(2), rel=1e-14)
        assert cold.energy_per_site == pytest.approx(-2)
    ring = strip_thermodynamics(Strip.uniform((1, 7), -1.0), 20.0)
    assert ring.log_partition == pytest.approx(periodic_chain(7, 20.0, -1.0).log_partition, rel=1e-14)
    law = magnetization_law(Strip.uniform((4, 4)), 30.0)
    assert law.averages()["abs_magnetization"] == pytest.approx(1.0, rel=1e-15)


def test_bad_input():
    one = np.ones((3, 4))
    with pytest.raises(ValueError, match="one shape"):
        Strip(one, one, np.ones((4, 3)))
    with pytest.raises(ValueError, match="finite"):
        Strip(one * math.nan, one, one)
    with pytest.raises(ValueError, match="itself"):
        Strip(np.ones((1, 4)), np.ones((1, 4)), np.ones((1, 4)))
    with pytest.raises(ValueError, match="chain or square"):
        Strip.of_lattice(Lattice((3, 3, 3)))
    with pytest.raises(ValueError, match="chain or square"):
        Strip.of_lattice(Lattice((3, 3), "triangular"))
    with pytest.raises(ValueError, match="up to 14 wide"):
        strip_thermodynamics(Strip.uniform((16, 16)), 0.4)
    with pytest.raises(ValueError, match="beta"):
        strip_thermodynamics(Strip.uniform((4, 4)), -0.4)
