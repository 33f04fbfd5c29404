"""The latent order parameter where the latent is m: exact by enumeration; peaks and extrapolations of known curves."""

import numpy as np
import pytest
import torch

from ebmphys.energies import ferromagnet
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


def test_the_peak_is_where_the_exact_susceptibility_is_highest(lattice, linear):
    """A finer exact curve says where; so small a lattice has it, without beta, far above T_c."""
    ising, m = ferromagnet((4, 4), device="cpu"), states((-1.0, 1.0), 16).double().mean(-1).abs()
    fine = np.arange(2.6, 3.8, 0.01)
    log_w = log_weights(ising, 1.0)
    laws = [torch.softmax(log_w / t, 0) for t in fine]
    top = fine[np.argmax([float(law @ m**2 - (law @ m) ** 2) for law in laws])]
    peak = susceptibility_peak(curve_of(linear, lattice[1]))
    assert 0 < peak.error < 0.03
    assert abs(peak.temperature - top) < 4 * peak.error + 0.05


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
    peaks = [susceptibility_peak(parabola(0.1, seed)) for seed in range(300)]
    pulls = np.array([(peak.temperature - 2.3) / peak.error for peak in peaks])
    assert abs(pulls.mean()) < 4 / 300**0.5
    assert 0.85 < pulls.std() < 1.15


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
    lopsided = OrderCurve(
        curve.temperature,
        curve.order,
        curve.order_error,
        curve.susceptibility + 30 * (curve.temperature - 2.3) ** 3,
        curve.susceptibility_error,
    )
    assert "no parabola fits" in susceptibility_peak(lopsided).warning
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
