"""Each unit against its own definition: sums and integrals done by hand."""

import math

import pytest
import torch

from ebmphys.rng import generator, uniforms
from ebmphys.units import Bit, Gaussian, Spin, build_unit, unit_config

FIELDS = torch.tensor([-40.0, -3.0, -0.5, 0.0, 0.7, 2.0, 50.0], dtype=torch.float64)
BETAS = [0.5, 1.0, 2.0]


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("unit", [Spin(), Bit()])
def test_two_valued_units_are_their_boltzmann_sums(unit, beta):
    values = torch.tensor(unit.values, dtype=torch.float64)
    log_weights = beta * FIELDS[:, None] * values
    eta = beta * unit.natural(FIELDS)
    torch.testing.assert_close(unit.mean(eta), (log_weights.softmax(-1) * values).sum(-1))
    # Up to the weight of the lower value: Spin keeps the symmetric convention, log 2 cosh.
    torch.testing.assert_close(unit.log_partition(eta), log_weights.logsumexp(-1))
    torch.testing.assert_close(eta, log_weights[:, 1] - log_weights[:, 0])  # the log-odds of the upper value


@pytest.mark.parametrize("beta", BETAS)
def test_gaussian_units_are_their_boltzmann_integrals(beta):
    unit, fields = Gaussian(sigma=0.7), FIELDS[1:-1]
    x = torch.linspace(-20, 20, 400_001, dtype=torch.float64)
    log_weights = -beta * (unit.energy(x) - fields[:, None] * x)
    eta = beta * unit.natural(fields)
    log_integral = log_weights.logsumexp(-1) + math.log(x[1] - x[0])
    torch.testing.assert_close(unit.log_partition(eta), log_integral, atol=1e-9, rtol=1e-9)
    mean = (log_weights.softmax(-1) * x).sum(-1)
    torch.testing.assert_close(unit.mean(eta), mean, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("unit", [Spin(), Bit()])
def test_a_draw_flips_exactly_at_its_probability(unit):
    eta = torch.tensor([-2.0, 0.0, 0.3, 4.0])
    p = torch.sigmoid(eta)
    low, high = unit.values
    assert (unit.draw(eta, p - 1e-6) == high).all()
    assert (unit.draw(eta, p + 1e-6) == low).all()


def test_gaussian_draws_have_the_right_law_and_stay_finite():
    unit, beta, field = Gaussian(sigma=2.0), 0.5, 0.3
    eta = beta * unit.natural(torch.full((200_000,), field))
    x = unit.draw(eta, uniforms((200_000,), generator(1, device="cpu"))).double()
    variance = unit.sigma**2 / beta
    assert abs(x.mean() - unit.sigma**2 * field) < 4 * (variance / len(x)) ** 0.5
    assert abs(x.var() / variance - 1) < 4 * (2 / len(x)) ** 0.5
    assert abs(((x - x.mean()) ** 4).mean() / variance**2 - 3) < 4 * (96 / len(x)) ** 0.5
    extremes = unit.draw(eta[:2], torch.tensor([0.0, 1 - 2.0**-24]))
    assert extremes.isfinite().all() and torch.allclose(extremes[0] - 1.2, -(extremes[1] - 1.2), atol=1e-4)


def test_configurations_of_units():
    for unit in (Spin(), Bit(), Gaussian(0.3)):
        assert build_unit(unit_config(unit)) == unit
    assert build_unit("spin") == Spin()
    with pytest.raises(ValueError, match="unit must be one of"):
        build_unit("potts5")
    with pytest.raises(ValueError, match="sigma must be"):
        Gaussian(sigma=-1)
