"""Kaufman's torus against sums over all states, 60-digit arithmetic, published numbers and the bulk."""

import math

import numpy as np
import pytest

from ebmphys.exact import kaufman, onsager

BETA_C = math.log1p(math.sqrt(2)) / 2

TABLE = [  # L, beta, u, c, log Z / N
    (4, 0.4, -1.379116482259, 0.812515229440, 0.910068313990),
    (4, BETA_C, -1.565623787638, 0.783266825929, 0.970119716172),
    (4, 0.5, -1.755380288777, 0.605532657210, 1.069085444921),
    (8, 0.4, -1.222320643251, 1.100475889362, 0.884365449382),
    (8, BETA_C, -1.491589107440, 1.145559239894, 0.939715324829),
    (8, 0.5, -1.745683170293, 0.714122602855, 1.036634091863),
    (16, 0.4, -1.131317984411, 1.064976882853, 0.879800182640),
    (16, BETA_C, -1.453064852813, 1.498704959400, 0.932196314981),
    (16, 0.5, -1.745530668991, 0.725508767737, 1.028500822008),
    (32, 0.4, -1.107291660978, 0.885812501066, 0.879373347425),
    (32, BETA_C, -1.433658466146, 1.846767590040, 0.930320390184),
    (32, 0.5, -1.745564527035, 0.724873978199, 1.026469714467),
    (64, BETA_C, -1.423938389833, 2.192211393140, 0.929851631694),
    (128, BETA_C, -1.419076272085, 2.536331335108, 0.929734455770),
    (256, BETA_C, -1.416644954197, 2.879786255203, 0.929705162642),
]


def three(solution):
    return [solution.log_partition, solution.energy_per_site, solution.specific_heat]


@pytest.mark.parametrize(("side", "beta", "u", "c", "log_z"), TABLE)
def test_reference_values_to_every_digit(side, beta, u, c, log_z):
    solution = kaufman((side, side), beta)
    found = [solution.energy_per_site, solution.specific_heat, solution.log_partition / side**2]
    np.testing.assert_allclose(found, [u, c, log_z], rtol=0, atol=1e-12)  # one unit of the last printed digit
    assert solution.free_energy_per_site == pytest.approx(-log_z / beta, abs=2e-12)


@pytest.mark.parametrize("shape", [(2, 2), (2, 3), (2, 4), (3, 3), (3, 4), (4, 3), (3, 5), (2, 7), (4, 4)])
def test_equals_the_sum_over_all_states_on_both_sides_of_the_transition(shape, uniform_brute_force):
    for beta in (0.05, 0.2, 0.3, BETA_C, 0.6, 1.2):
        exact = uniform_brute_force(shape).at(beta)
        expected = [exact[name] for name in ("log_partition", "energy_per_site", "specific_heat")]
        np.testing.assert_allclose(three(kaufman(shape, beta)), expected, rtol=1e-12)
        wrong = three(kaufman(shape, 1.001 * beta))
        assert all(abs(a - b) > 1e-6 * abs(b) for a, b in zip(wrong[:2], expected[:2], strict=True))


@pytest.mark.parametrize("shape", [(3, 5), (8, 8), (5, 40), (40, 5), (64, 64), (2, 300), (256, 256)])
def test_twelve_digits_against_high_precision(shape, precise_kaufman):
    for beta in (0.01, 0.25, 0.44, BETA_C, 0.4407, 0.5, 1.0):
        np.testing.assert_allclose(three(kaufman(shape, beta)), precise_kaufman(*shape, beta), rtol=1e-12)


def test_twelve_digits_at_1024(precise_kaufman):
    for beta in (0.4, BETA_C):
        np.testing.assert_allclose(three(kaufman((1024, 1024), beta)), precise_kaufman(1024, 1024, beta), rtol=1e-12)


def test_zero_mode_is_negative_above_the_critical_temperature(precise_kaufman, uniform_brute_force):
    """The fault found in a public code, |g_0| for g_0, costs up to ln 2 above T_c and nothing below."""
    truth = uniform_brute_force((4, 4)).at(0.1)["log_partition"]
    faulty = precise_kaufman(4, 4, 0.1, signed=False)[0]
    assert kaufman((4, 4), 0.1).log_partition == pytest.approx(truth, rel=1e-13)
    assert 0.6 < faulty - truth < math.log(2)

    for beta, gap in ((0.2, math.log(2)), (0.35, math.log(2)), (0.5, 0.0)):
        faulty = precise_kaufman(32, 32, beta, signed=False)[0]
        assert faulty - kaufman((32, 32), beta).log_partition == pytest.approx(gap, abs=0.01)


@pytest.mark.parametrize("shape", [(4, 4), (32, 32), (1024, 1024), (7, 512)])
def test_nothing_happens_at_beta_c_itself(shape):
    """Where g_0 passes through zero, log Z, u and c continue: Taylor's formula holds across the point."""
    step = 1e-7
    below, here, above = (kaufman(shape, BETA_C + d) for d in (-step, 0.0, step))
    middle = (below.energy_per_site + above.energy_per_site) / 2
    assert here.energy_per_site == pytest.approx(middle, abs=1e-9)
    slope = (above.energy_per_site - below.energy_per_site) / (2 * step)
    assert here.specific_heat == pytest.approx(-(BETA_C**2) * slope, rel=1e-6)
    assert (below.specific_heat + above.specific_heat) / 2 == pytest.approx(here.specific_heat, rel=1e-6)
    for ulp in range(-4, 5):
        near = kaufman(shape, BETA_C * (1 + ulp * 2.3e-16))
        np.testing.assert_allclose(three(near), three(here), rtol=1e-12)


def test_u_and_c_are_derivatives_of_log_z():
    for beta in (0.1, 0.43, 0.46, 0.9):
        h = 1e-5
        low, here, high = (kaufman((6, 9), beta + d) for d in (-h, 0.0, h))
        assert here.energy_per_site == pytest.approx(-(high.log_partition - low.log_partition) / (2 * h) / 54, rel=1e-8)
        assert here.specific_heat == pytest.approx(
            -(beta**2) * (high.energy_per_site - low.energy_per_site) / (2 * h), rel=1e-7
        )


def test_symmetric_in_the_sides_and_scales_with_the_coupling():
    np.testing.assert_allclose(three(kaufman((6, 11), 0.4)), three(kaufman((11, 6), 0.4)), rtol=1e-14)
    scaled, plain = kaufman((6, 6), 0.2, coupling=2.0), kaufman((6, 6), 0.4)
    assert scaled.log_partition == pytest.approx(plain.log_partition, rel=1e-14)
    assert scaled.energy_per_site == pytest.approx(2 * plain.energy_per_site, rel=1e-14)
    assert scaled.specific_heat == pytest.approx(plain.specific_heat, rel=1e-13)


def test_antiferromagnet(uniform_brute_force):
    """Even sides: the ferromagnet again. An odd side frustrates, and is refused: the values would be others."""
    assert kaufman((4, 6), 0.4, coupling=-1.0) == kaufman((4, 6), 0.4)
    with pytest.raises(ValueError, match="frustrated"):
        kaufman((3, 4), 0.4, coupling=-1.0)
    frustrated = uniform_brute_force((3, 4)).at(-0.4)["log_partition"]
    assert abs(frustrated - kaufman((3, 4), 0.4).log_partition) > 0.1


def test_limits_of_beta():
    infinite = kaufman((6, 6), 0.0)
    assert infinite.log_partition == pytest.approx(36 * math.log(2), rel=1e-15)
    assert abs(infinite.energy_per_site) < 1e-15 and infinite.specific_heat == 0
    assert infinite.free_energy_per_site == -math.inf
    for beta in (5.0, 400.0, 1e6):
        cold = kaufman((1024, 1024), beta)
        assert cold.log_partition == pytest.approx(2 * beta * 1024**2 + math.log(2), rel=1e-14)
        assert cold.energy_per_site == pytest.approx(-2.0, abs=1e-14)
        assert abs(cold.specific_heat) < 1e-13


@pytest.mark.parametrize("beta", [0.05, 0.3, 0.42, 0.46, 0.6, 1.0])
def test_approaches_onsager(beta):
    bulk, large = onsager(beta), kaufman((1024, 1024), beta)
    # Below T_c the two phases leave ln 2 in log Z, and nothing in u or c.
    degeneracy = math.log(2) if beta > BETA_C else 0.0
    assert large.log_partition / 1024**2 == pytest.approx(
        -beta * bulk.free_energy_per_site + degeneracy / 1024**2, rel=1e-13
    )
    assert large.energy_per_site == pytest.approx(bulk.energy_per_site, rel=1e-12)
    assert large.specific_heat == pytest.approx(bulk.specific_heat, rel=1e-11)
    middle = kaufman((256, 256), beta)
    assert middle.energy_per_site == pytest.approx(bulk.energy_per_site, rel=1e-9 if abs(beta - 0.44) > 0.03 else 1e-5)


def test_large_lattices_are_finite_and_smooth():
    betas = np.linspace(0.0, 2.0, 101)
    u, c = np.array([three(kaufman((1024, 1024), b))[1:] for b in betas]).T
    assert np.isfinite(u).all() and np.isfinite(c).all()
    assert (np.diff(u) < 0).all()
    peak = c.argmax()
    assert betas[peak] == pytest.approx(BETA_C, abs=0.02)
    assert (np.diff(c)[:peak] > 0).all() and (np.diff(c)[peak:] < 0).all()
    # At beta_c the specific heat grows by (2/pi) ln^2(1 + sqrt 2) per unit of ln L (Onsager's amplitude).
    growth = kaufman((1024, 1024), BETA_C).specific_heat - kaufman((512, 512), BETA_C).specific_heat
    amplitude = 2 / math.pi * math.log1p(math.sqrt(2)) ** 2
    assert growth == pytest.approx(amplitude * math.log(2), abs=3e-4)


def test_peaks_of_the_specific_heat():
    table = ((8, 0.42337368, 1.1918388198), (16, 0.43149824, 1.5522043600))
    for side, beta, height in (*table, (32, 0.43593316, 1.9045060783), (64, 0.43826356, 2.2523928892)):
        assert kaufman((side, side), beta).specific_heat == pytest.approx(height, abs=1e-10)
        assert all(kaufman((side, side), beta + d).specific_heat < height - 1e-9 for d in (-1e-4, 1e-4))


def test_table_of_the_32_lattice_and_its_ladder_of_divergences():
    temperatures = (1.5, 2, 2.5, 2.75, 3, 4)
    energies = (-1.95111657, -1.74556453, -1.10729166, -0.93483763, -0.81730974, -0.55727224)
    heats = (0.19727454, 0.72487398, 0.88581250, 0.55319448, 0.40138195, 0.17118841)
    for temperature, u, c in zip(temperatures, energies, heats, strict=True):
        solution = kaufman((32, 32), 1 / temperature)
        np.testing.assert_allclose([solution.energy_per_site, solution.specific_heat], [u, c], rtol=0, atol=6e-9)

    def divergence(first, second):  # KL(p_T1 || p_T2) in nats
        p, q = kaufman((32, 32), 1 / first), kaufman((32, 32), 1 / second)
        return (1 / second - 1 / first) * 1024 * p.energy_per_site + q.log_partition - p.log_partition

    ladder = ((2.5, 2.55, 0.169), (2.5, 2.75, 3.36), (2.75, 2.5, 3.06), (4, 2.5, 37.6), (2, 2.5, 28.1), (2.5, 1e9, 263))
    for first, second, nats in ladder:
        assert divergence(first, second) == pytest.approx(nats, rel=4e-3)


@pytest.mark.parametrize(
    ("shape", "beta", "coupling", "message"),
    [
        ((1, 8), 0.4, 1.0, "at least 2"),
        ((8,), 0.4, 1.0, "two sides"),
        ((4, 4), -0.1, 1.0, "beta"),
        ((4, 4), math.nan, 1.0, "beta"),
        ((4, 4), math.inf, 1.0, "beta"),
        ((4, 4), 0.4, math.nan, "coupling"),
    ],
)
def test_bad_input(shape, beta, coupling, message):
    with pytest.raises(ValueError, match=message):
        kaufman(shape, beta, coupling)
