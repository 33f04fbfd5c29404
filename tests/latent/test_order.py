"""The latent order parameter where the latent is m: exact by enumeration; peaks and extrapolations of known curves."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from ebmphys.energies import ferromagnet
from ebmphys.exact import Strip, joint_law, magnetization_law
from ebmphys.exact.enumeration import log_weights, states
from ebmphys.generators import VAE
from ebmphys.latent import OrderCurve, Peak, critical_from_sizes, odd_means, order_curve, susceptibility_peak
from ebmphys.rng import generator

TEMPERATURES = np.arange(1.6, 4.3, 0.2)


def rng(*path):
    return generator(29, *path, device="cpu")


@pytest.fixture(scope="module")
def lattice():
    """4 x 4: |m| and m^2 of every state, and draws of each temperature."""
    ising, every = ferromagnet((4, 4), device="cpu"), states((-1.0, 1.0), 16)
    m = every.double().mean(-1).abs()
    exact, draws = [], {}
    for t in TEMPERATURES:
        law = torch.softmax(log_weights(ising, 1 / t), 0)
        exact.append((float(law @ m), 16 * float(law @ m**2 - (law @ m) ** 2)))
        draws[float(t)] = every[torch.multinomial(law, 20_000, replacement=True, generator=rng("v", f"{t:.2f}"))]
    return np.array(exact), draws


@pytest.fixture(scope="module")
def linear():
    """A VAE whose one latent is 3 m + 0.4."""
    model = VAE(16, (), 1, rng=rng("weights"), device="cpu")
    with torch.no_grad():
        model.encoder[0].weight[0].fill_(3 / 16)
        model.encoder[0].bias[0] = 0.4
    return model


def curve_of(model, draws):
    return order_curve({t: odd_means(model, v)[None, :, 0] for t, v in draws.items()}, 16)


def test_a_latent_that_is_m_has_the_exact_order_and_susceptibility(lattice, linear):
    exact, draws = lattice
    curve = curve_of(linear, draws)
    np.testing.assert_allclose(curve.temperature, TEMPERATURES)
    order = (curve.order - 3 * exact[:, 0]) / curve.order_error
    chi = (curve.susceptibility - 9 * exact[:, 1]) / curve.susceptibility_error
    assert np.abs(order).max() < 4 and np.abs(chi).max() < 4
    assert 0.4 < order.std() < 1.6 and 0.4 < chi.std() < 1.6
    assert np.abs((curve.order - 3.06 * exact[:, 0]) / curve.order_error).max() > 4
    assert np.abs((curve.susceptibility - 9.36 * exact[:, 1]) / curve.susceptibility_error).max() > 4
    raw = np.array([np.abs(0.4 + 3 * v.mean(-1).numpy()).mean() for v in draws.values()])
    assert np.abs(raw - 3 * exact[:, 0]).max() > 0.02


def exact_susceptibility(side):
    """chi(T) of |m|, without beta; of 8 x 8 the numbers of states take longer than its law at a few temperatures."""
    strip = Strip.uniform((side, side))
    counts = joint_law(strip) if side < 8 else None

    def chi(t):
        law = magnetization_law(strip, 1 / t).averages() if counts is None else counts.averages(1 / t)
        return t * law["susceptibility"]

    return chi


@pytest.fixture(scope="module")
def exact_peaks():
    """Side -> chi(T) and where it is highest; so small lattices have that, without beta, far above T_c."""
    found = {}
    for side in (4, 6, 8):
        chi = exact_susceptibility(side)
        top = minimize_scalar(lambda t, chi=chi: -chi(t), bounds=(2.3, 3.6), method="bounded", options={"xatol": 1e-4})
        found[side] = chi, float(top.x)
    return found


def test_the_peak_is_where_the_exact_susceptibility_is_highest(lattice, linear, exact_peaks):
    peak = susceptibility_peak(curve_of(linear, lattice[1]))
    assert 0 < peak.error < 0.06 and peak.warning == ""
    assert abs(peak.temperature - exact_peaks[4][1]) < 3 * peak.error


def parabola_above_three_quarters(curve):
    """Control: the vertex and the statistical error of a parabola through all that stands above 3/4 of the peak."""
    y, top = curve.susceptibility, np.argmax(curve.susceptibility)
    near = y > 0.75 * y[top]
    x, weight = curve.temperature[near] - curve.temperature[top], 1 / curve.susceptibility_error[near]
    (c, b, _), covariance = np.polyfit(x, y[near], 2, w=weight, cov="unscaled")
    slope = np.array([b / (2 * c**2), -1 / (2 * c), 0])
    return Peak(curve.temperature[top] - b / (2 * c), float(slope @ covariance @ slope) ** 0.5)


@pytest.mark.parametrize("noise", [0.03, 0.01, 0.003])
@pytest.mark.parametrize(("side", "spacing"), [(4, 0.1), (4, 0.2), (6, 0.05), (6, 0.1), (6, 0.2)])
def test_the_error_of_a_peak_covers_the_exact_temperature(exact_peaks, side, spacing, noise):
    """Two thirds of the error bars and more, 95 % of twice them; those of a parabola do not, however wide the noise."""
    chi, top = exact_peaks[side]
    random = np.random.default_rng(11)
    peaks, parabolas = [], []
    for shift in np.linspace(0, spacing, 4, endpoint=False):
        t = np.arange(1.8 + shift, 4.5, spacing)
        y = np.array([chi(one) for one in t])
        for _ in range(75):
            drawn = y + noise * y * random.standard_normal(len(t))
            curve = OrderCurve(t, y, noise * y, drawn, noise * y)
            peaks.append(susceptibility_peak(curve))
            parabolas.append(parabola_above_three_quarters(curve))
    off = np.array([peak.temperature for peak in peaks]) - top
    error = np.array([peak.error for peak in peaks])
    assert abs(off.mean()) < 0.008 + 4 * off.std() / 300**0.5
    assert np.mean(np.abs(off) < error) > 0.64
    assert np.mean(np.abs(off) < 2 * error) > 0.92
    assert np.median(error) < 0.03 + 2 * off.std()  # no larger than it need be
    control = np.array([abs(peak.temperature - top) / peak.error for peak in parabolas])
    assert np.mean(control < 1) < 0.35 and np.mean(control < 2) < 0.55


def parabola(noise, seed, t=None, centre=2.3):
    t = np.linspace(2.0, 2.6, 9) if t is None else t
    y = 10 - 40 * (t - centre) ** 2
    error = np.full_like(t, noise)
    y = y + noise * np.random.default_rng(seed).standard_normal(len(t))
    return OrderCurve(t, t, error, y, error)


def test_the_vertex_of_a_parabola_is_found_and_its_error_covers():
    exact = susceptibility_peak(parabola(1e-9, 0))
    assert exact.temperature == pytest.approx(2.3, abs=1e-8) and exact.warning == ""
    uneven = susceptibility_peak(parabola(1e-9, 0, np.array([2.1, 2.2, 2.27, 2.36, 2.5])))
    assert uneven.temperature == pytest.approx(2.3, abs=1e-8)
    wide = [susceptibility_peak(parabola(0.1, seed)) for seed in range(300)]
    pulls = np.array([(peak.temperature - 2.3) / peak.error for peak in wide])
    assert abs(pulls.mean()) < 4 / 300**0.5
    assert 0.6 < pulls.std() < 1  # the systematic error of the form has nothing to cover here


def test_three_points_have_the_error_of_a_parabola_and_a_warning():
    peaks = [susceptibility_peak(parabola(0.05, seed, np.array([2.15, 2.28, 2.4]))) for seed in range(400)]
    pulls = np.array([(peak.temperature - 2.3) / peak.error for peak in peaks])
    assert abs(pulls.mean()) < 4 / 400**0.5
    assert 0.87 < pulls.std() < 1.13
    assert {peak.warning.split(",")[0] for peak in peaks} == {"a parabola through three points"}
    assert susceptibility_peak(parabola(1e-9, 0, np.array([2.1, 2.2, 2.32, 2.4]))).warning == ""


def test_of_two_maxima_the_one_at_the_highest_point_is_taken():
    x = np.linspace(-0.9, 0.9, 10)
    y, error = 10 - 10 * (x**2 - 0.36) ** 2 + 0.5 * x, np.full_like(x, 1e-6)
    assert abs(susceptibility_peak(OrderCurve(2.5 + x, y, error, y, error)).temperature - 3.13) < 0.02


def test_the_order_of_slow_chains_has_an_error_bar_that_knows():
    """AR(1) chains with tau = 9.5: the scatter of the order over 200 repeats is what the error bars say."""
    order, error, naive, random = [], [], [], np.random.default_rng(3)
    for _ in range(200):
        noise, z = random.standard_normal((2000, 4)), np.zeros((2000, 4))
        z[0] = noise[0]
        for k in range(1, 2000):
            z[k] = 0.9 * z[k - 1] + 0.19**0.5 * noise[k]
        curve = order_curve({1.0: z + 5, 2.0: z}, 16)
        order.append(curve.order[0])
        error.append(curve.order_error[0])
        naive.append(order_curve({1.0: (z + 5).reshape(1, -1), 2.0: z}, 16).order_error[0])
    assert 0.85 < np.mean(error) / np.std(order) < 1.15
    assert np.mean(naive) < 0.5 * np.std(order)  # control: rows taken as independent


def test_what_is_no_peak_is_refused_or_doubted():
    t = np.linspace(2.0, 2.6, 7)
    with pytest.raises(ValueError, match="end of the temperatures"):
        susceptibility_peak(parabola(1e-9, 0, centre=2.9))
    with pytest.raises(ValueError, match="2 or more temperatures"):
        order_curve({2.0: np.ones(5)}, 16)
    curve = parabola(1e-3, 0)
    cusp = 10 - 20 * np.abs(curve.temperature - 2.3)
    rejected = OrderCurve(curve.temperature, cusp, curve.order_error, cusp, curve.susceptibility_error)
    assert "no quartic fits the peak" in susceptibility_peak(rejected).warning
    valley = np.array([0.9, 0.75, 0.6, 1, 0.6, 0.75, 0.9])
    with pytest.raises(ValueError, match="have no maximum"):
        susceptibility_peak(OrderCurve(t, valley, t, valley, np.where(valley == 1, 100, 0.001)))
    with pytest.raises(ValueError, match="with an error"):
        susceptibility_peak(OrderCurve(t, t, t, 1 - (t - 2.3) ** 2, 0 * t))


def test_sizes_extrapolate_to_the_infinite_lattice():
    def peak(side, nu=1.0, error=0.003):
        return Peak(2.269 + 2.1 * side ** (-1 / nu), error)

    two = critical_from_sizes({16: peak(16), 32: peak(32)})
    assert two.critical_temperature == pytest.approx(2.269, abs=1e-12) and two.slope == pytest.approx(2.1)
    assert two.error == pytest.approx(0.003 * 5**0.5)
    three = critical_from_sizes({side: peak(side) for side in (8, 16, 32)})
    assert three.critical_temperature == pytest.approx(2.269) and three.error < two.error
    cubic = critical_from_sizes({side: peak(side, 0.63) for side in (8, 16)}, nu=0.63)
    assert cubic.critical_temperature == pytest.approx(2.269)
    assert abs(critical_from_sizes({side: peak(side, 0.63) for side in (8, 16)}).critical_temperature - 2.269) > 0.01
    doubtful = critical_from_sizes({16: Peak(2.4, 0.01, "few"), 32: Peak(2.3, 0.01)})
    assert doubtful.warning == "L = 16: few"
    with pytest.raises(ValueError, match="2 or more sizes"):
        critical_from_sizes({16: peak(16)})
    for side, nu, words in ((0, 1.0, "side of a lattice"), (8, 0.0, "nu"), (8, -1.0, "nu"), (8, np.inf, "nu")):
        with pytest.raises(ValueError, match=words):
            critical_from_sizes({side: Peak(2.4, 0.01), 32: Peak(2.3, 0.01)}, nu)
    with pytest.raises(ValueError, match="error at each size"):
        critical_from_sizes({16: Peak(2.4, 0.01), 32: Peak(2.3, 0)})


def test_sizes_too_small_for_the_law_are_warned_of(exact_peaks):
    """The exact T(L) of L = 4, 6, 8 lie on a curve; error bars that are wide enough, or two sizes, do not show it."""

    def found(error, *sides):
        return critical_from_sizes({side: Peak(exact_peaks[side][1], error) for side in sides})

    assert "corrections to scaling, leave the smallest" in found(0.002, 4, 6, 8).warning
    assert found(0.1, 4, 6, 8).warning == "" and found(0.002, 6, 8).warning == ""
    doubtful = critical_from_sizes({side: Peak(exact_peaks[side][1], 0.002, "few") for side in (4, 6, 8)})
    assert doubtful.warning.startswith("L = 4: few; L = 6: few; L = 8: few; the sizes do not follow")
    random, sides, rejected = np.random.default_rng(5), np.array([8, 12, 16, 24]), 0
    for _ in range(1000):
        t = 2.269 + 2.1 / sides + 0.01 * random.standard_normal(4)
        rejected += (
            critical_from_sizes({int(s): Peak(one, 0.01) for s, one in zip(sides, t, strict=True)}).warning != ""
        )
    assert rejected < 8  # one in a thousand is expected


def test_of_three_sizes_one_degree_of_freedom_is_left():
    """chi^2 = 12 has probability 5e-4 with one, 2.5e-3 with two: rejected at 1e-3 with the right number only."""
    x, error = 1 / np.array([4.0, 8.0, 16.0]), 0.01
    across = np.cross(np.ones(3), x)  # no line T_c + a / L reaches in this direction
    for chi_squared, rejected in ((12.0, True), (10.0, False)):
        t = 2.27 + x + error * chi_squared**0.5 * across / np.linalg.norm(across)
        found = critical_from_sizes({int(1 / k): Peak(value, error) for k, value in zip(x, t, strict=True)})
        assert ("corrections to scaling" in found.warning) == rejected
