"""Bennett's acceptance ratio against ratios that are known."""

import math

import numpy as np
import pytest
import torch

from ebmphys.energies import Ising
from ebmphys.lattice import Lattice
from ebmphys.likelihood import bridge, log_partition
from tests.samplers.laws import exact_draws


def normal_ratios(rng, shift, shape_0, shape_1, scale=1.0):
    """Log-ratios of exp(-x^2/2) and scale^-1 exp(2 - (x - shift)^2 / (2 scale^2)), log Z_1 / Z_0 = 2."""

    def ratio(x):
        return 2 - math.log(scale) - (x - shift) ** 2 / (2 * scale**2) + x**2 / 2

    return ratio(rng.normal(size=shape_0)), -ratio(shift + scale * rng.normal(size=shape_1))


@pytest.mark.parametrize(("n_0", "n_1"), [(300, 300), (100, 900), (900, 100)])
@pytest.mark.parametrize("shift", [0.5, 2.0])
def test_the_ratio_of_normal_laws_is_covered_by_its_error(shift, n_0, n_1):
    rng = np.random.default_rng(1)
    runs = [bridge(*normal_ratios(rng, shift, (1, n_0), (1, n_1), 1.3)) for _ in range(200)]
    z = np.array([(run.value - 2) / run.error for run in runs])
    assert abs(z.mean()) < 4 / math.sqrt(200) and 0.8 < z.std() < 1.2
    assert abs(np.mean([(run.value - 2.05) / run.error for run in runs])) > 4 / math.sqrt(200)
    assert not any(run.warning for run in runs)


def test_correlated_draws_are_counted_as_what_they_are():
    """AR(1) chains of tau = 9.5 on both sides; taken for independent, their errors are 4 times too small."""
    rng, rho = np.random.default_rng(2), 0.9
    runs, naive = [], []
    for _ in range(60):
        noise = rng.normal(size=(2, 400, 40))
        x = np.empty_like(noise)
        x[:, 0] = noise[:, 0]
        for k in range(1, 400):
            x[:, k] = rho * x[:, k - 1] + math.sqrt(1 - rho**2) * noise[:, k]
        forward, reverse = x[0] - 0.5, -(x[1] + 1) + 0.5  # exp(-x^2/2) and the same about 1
        runs.append(bridge(forward, reverse))
        naive.append(bridge(forward.reshape(1, -1), reverse.reshape(1, -1)))
    z = np.array([run.value / run.error for run in runs])
    assert abs(z.mean()) < 4 / math.sqrt(60) and 0.75 < z.std() < 1.3
    assert np.std([run.value / run.error for run in naive]) > 3


def test_two_temperatures_of_a_lattice():
    ising, (cold, hot) = Ising(Lattice((3, 4)), 1.0, 0.2, device="cpu"), (0.35, 0.25)
    exact = log_partition(ising, cold) - log_partition(ising, hot)
    up = (hot - cold) * ising.energy(exact_draws(ising, hot, 20_000, 1))
    down = (cold - hot) * ising.energy(exact_draws(ising, cold, 20_000, 2))
    run = bridge(up[None], down[None])
    assert abs(run.value - exact) < 4 * run.error < 0.1
    assert abs(run.value - (log_partition(ising, 1.01 * cold) - log_partition(ising, hot))) > 4 * run.error
    turned = bridge(down[None], up[None])
    assert turned.value == pytest.approx(-run.value, abs=1e-9) and turned.error == pytest.approx(run.error, rel=1e-6)


def test_laws_that_hardly_overlap_are_said():
    rng = np.random.default_rng(3)
    assert "rungs between" in bridge(*normal_ratios(rng, 12.0, (1, 500), (1, 500))).warning
    assert bridge(*normal_ratios(rng, 1.0, (1, 500), (1, 500))).warning == ""


def test_identical_laws_share_every_draw():
    run = bridge(np.full((1, 40), 0.7), np.full((1, 60), -0.7))
    assert run.value == pytest.approx(0.7, abs=1e-9)
    assert run.error == pytest.approx(0, abs=1e-9)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="finite"):
        bridge(torch.tensor([[1.0, math.nan]]), torch.zeros(1, 2))


def test_laws_without_any_overlap_are_warned_of_and_no_failure():
    found = bridge(torch.full((1, 20), 1e8), torch.full((1, 20), 1e8))
    assert "only 0.0 draws lie where the two laws overlap" in found.warning and np.isfinite(found.value)
