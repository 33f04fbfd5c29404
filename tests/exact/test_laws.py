"""The joint law of energy and magnetization: exact counts, and every average that follows."""

import math

import numpy as np
import pytest

from ebmphys.exact import Strip, joint_law, kaufman, magnetization_law, strip_thermodynamics

BETA_C = math.log1p(math.sqrt(2)) / 2


def total(law):
    return sum(int(count) for count in law.count.flat)


def test_levels_of_the_4_by_4_torus():
    law = joint_law(Strip.uniform((4, 4)))
    by_energy = dict(zip(law.levels_energy.tolist(), law.count.sum(1).tolist(), strict=True))
    expected = [2, 0, 32, 64, 424, 1728, 6688, 13568, 20524, 13568, 6688, 1728, 424, 64, 32, 0, 2]
    assert [by_energy.get(energy, 0) for energy in range(-32, 33, 4)] == expected
    assert -28.0 not in by_energy and total(law) == 2**16
    by_magnetization = law.count.sum(0).tolist()
    assert by_magnetization == [math.comb(16, k) for k in range(17)]


@pytest.mark.parametrize(
    ("shape", "periodic"), [((3, 4), (True, True)), ((2, 3), (True, True)), ((3, 3), (True, False))]
)
def test_counts_equal_the_census_of_all_states(shape, periodic, brute_force):
    rng = np.random.default_rng(3)
    down, right = rng.choice([-2.0, -1.0, 1.0, 3.0], (2, *shape))
    right[:, -1] *= periodic[1]
    law = joint_law(Strip(down, right, np.zeros(shape)))
    oracle = brute_force(down, right, np.zeros(shape))
    n = law.n_sites
    for e, row in zip(law.levels_energy, law.count, strict=True):
        for m, count in zip(law.levels_magnetization, row, strict=True):
            census = (np.isclose(oracle.energy, e) & np.isclose(oracle.magnetization * n, m)).sum()
            assert int(count) == census
    assert total(law) == 2**n
    np.testing.assert_array_equal(np.exp(law.log_count).round(), law.count)


def test_averages_in_a_field_equal_the_sum_over_all_states(brute_force):
    law = joint_law(Strip.uniform((3, 4)))
    for beta, field in ((0.0, 0.0), (0.3, 0.0), (0.5, 0.2), (0.7, -1.1)):
        exact = brute_force(np.ones((3, 4)), np.ones((3, 4)), np.full((3, 4), field)).at(beta)
        found = law.averages(beta, field)
        assert found.keys() == exact.keys()
        for name, value in found.items():
            assert value == pytest.approx(exact[name], rel=1e-12, abs=1e-14), name
    assert found["energy_per_site"] != pytest.approx(law.averages(0.707, -1.1)["energy_per_site"], rel=1e-4)


@pytest.mark.parametrize("shape", [(4, 6), (6, 6)])
def test_one_law_serves_every_temperature(shape):
    law = joint_law(Strip.uniform(shape))
    assert total(law) == 2**law.n_sites
    np.testing.assert_array_equal(law.count, law.count[:, ::-1])
    np.testing.assert_array_equal(law.count.sum(1), law.count.sum(1)[::-1])
    for beta in (0.1, BETA_C, 0.9):
        found, solution = law.averages(beta), kaufman(shape, beta)
        for name in ("log_partition", "energy_per_site", "specific_heat"):
            assert found[name] == pytest.approx(getattr(solution, name), rel=1e-11)
        for name, value in magnetization_law(Strip.uniform(shape), beta).averages().items():
            assert found[name] == pytest.approx(value, rel=1e-11, abs=1e-14)
    in_field = strip_thermodynamics(Strip.uniform(shape, field=0.1), 0.4)
    assert law.averages(0.4, 0.1)["specific_heat"] == pytest.approx(in_field.specific_heat, rel=1e-11)


@pytest.mark.slow
def test_8_by_8_counts_all_two_to_the_64_states():
    law = joint_law(Strip.uniform((8, 8)))
    assert total(law) == 2**64
    assert law.count.sum(1)[:8].tolist() == [2, 128, 256, 4672, 17920, 145408, 712960, 4274576]
    assert [int(c) for c in law.count.sum(0)][:4] == [math.comb(64, k) for k in range(4)]
    found, solution = law.averages(BETA_C), kaufman((8, 8), BETA_C)
    assert found["specific_heat"] == pytest.approx(solution.specific_heat, rel=1e-11)
    assert found["binder_cumulant"] == pytest.approx(0.613045384943, abs=6e-13)


def test_bad_input():
    with pytest.raises(ValueError, match="zero field"):
        joint_law(Strip.uniform((3, 3), field=0.1))
    with pytest.raises(ValueError, match="integer couplings"):
        joint_law(Strip.uniform((3, 3), coupling=0.5))
    with pytest.raises(ValueError, match="64 sites"):
        joint_law(Strip.uniform((8, 9)))
