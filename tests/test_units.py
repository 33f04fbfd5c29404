"""Each unit against its own definition: sums and integrals done by hand."""

import math

import mpmath
import pytest
import torch

from ebmphys.rng import generator, uniforms
from ebmphys.units import Bit, Gaussian, Potts, ReLU, Spin, build_unit, no_field, unit_config

FIELDS = torch.tensor([-40.0, -3.0, -0.5, 0.0, 0.7, 2.0, 50.0], dtype=torch.float64)
BETAS = [0.5, 1.0, 2.0]
EVERY = [Spin(), Bit(), Potts(3), Gaussian(0.3), ReLU(1.5)]
STEP = 2.0**-24  # the grid of uniforms


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
def test_potts_units_are_their_boltzmann_sums(beta):
    unit = Potts(4)
    fields = torch.randn(50, 4, generator=generator(1, device="cpu"), dtype=torch.float64) * 5
    values = torch.tensor(unit.values, dtype=torch.float64)
    log_weights = beta * (unit.statistics(values) @ fields.T).T
    torch.testing.assert_close(log_weights, beta * fields)  # each state feels its own field
    eta = beta * unit.natural(fields)
    torch.testing.assert_close(unit.log_partition(eta), log_weights.exp().sum(-1).log())
    torch.testing.assert_close(unit.mean(eta), (log_weights.softmax(-1) * values).sum(-1))
    torch.testing.assert_close(unit.mean(eta + 3), unit.mean(eta))


def test_three_potts_states_with_one_shut_out_are_a_bit():
    fields = torch.stack([torch.zeros(7).double(), FIELDS, torch.full((7,), -1e6).double()], -1)
    torch.testing.assert_close(Potts(3).log_partition(fields), Bit().log_partition(FIELDS))
    u = torch.linspace(0, 1 - STEP, 5001)[:, None]
    bits = Bit().draw(FIELDS, 1 - STEP - u)  # the upper value has the low uniforms there, the high ones here
    assert (Potts(3).draw(fields.expand(5001, 7, 3), u) != bits).double().mean() < 1e-3


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("unit", [Gaussian(0.7), ReLU(0.7)])
def test_real_units_are_their_boltzmann_integrals(unit, beta):
    fields = FIELDS[1:-1]
    x = torch.linspace(0 if unit.name == "relu" else -20, 20, 400_001, dtype=torch.float64)
    log_weights = -beta * (unit.energy(x) - fields[:, None] * x)
    log_weights[:, 0] -= math.log(2)  # the trapezoidal rule, where the law ends at zero
    eta = beta * unit.natural(fields)
    log_integral = log_weights.logsumexp(-1) + math.log(x[1] - x[0])
    tolerance = {"atol": 1e-8, "rtol": 1e-8}
    torch.testing.assert_close(unit.log_partition(eta), log_integral, **tolerance)
    torch.testing.assert_close(unit.mean(eta), (log_weights.softmax(-1) * x).sum(-1), **tolerance)


@pytest.mark.parametrize("unit", [Gaussian(0.7), ReLU(0.7)])
def test_the_mean_is_the_slope_of_the_log_partition_function(unit):
    eta = unit.natural(torch.linspace(-30, 30, 61)).requires_grad_()
    unit.log_partition(eta).sum().backward()
    torch.testing.assert_close(eta.grad[:, 0], unit.mean(eta.detach()), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("field", [-1e4, -200.0, 300.0])
def test_rectified_units_keep_their_digits_far_from_zero(field):
    """In the tail z^2/2 and log Phi(z) cancel: to float32 accuracy against fifty digits."""
    eta = ReLU(0.5).natural(torch.tensor(field, dtype=torch.float32))
    with mpmath.workdps(50):
        z = mpmath.mpf(field) * 0.5
        tail = mpmath.erfc(-z / mpmath.sqrt(2)) / 2
        log_partition = z**2 / 2 + mpmath.log(tail) + mpmath.log(0.5) + mpmath.log(2 * mpmath.pi) / 2
        mean = (z + mpmath.exp(-(z**2) / 2) / mpmath.sqrt(2 * mpmath.pi) / tail) * 0.5
    assert float(ReLU(0.5).log_partition(eta)) == pytest.approx(float(log_partition), rel=3e-7)
    assert float(ReLU(0.5).mean(eta)) == pytest.approx(float(mean), rel=3e-7)


@pytest.mark.parametrize("unit", [Spin(), Bit()])
def test_a_draw_flips_exactly_at_its_probability(unit):
    eta = torch.tensor([-2.0, 0.0, 0.3, 4.0])
    p = torch.sigmoid(eta)
    low, high = unit.values
    assert (unit.draw(eta, p - 1e-6) == high).all()
    assert (unit.draw(eta, p + 1e-6) == low).all()


def test_a_potts_draw_steps_up_exactly_at_the_cumulated_probabilities():
    eta = torch.randn(100, 5, generator=generator(1, device="cpu")) * 2
    edges = eta.double().softmax(-1).cumsum(-1)
    for state in range(4):
        assert (Potts(5).draw(eta, (edges[:, state] - 1e-6).float()) <= state).all()
        assert (Potts(5).draw(eta, (edges[:, state] + 1e-6).float()) > state).all()
    ends = torch.tensor([0.0, 1 - STEP])[:, None].expand(2, 100)
    assert torch.isin(Potts(5).draw(eta.expand(2, 100, 5), ends), torch.arange(5.0)).all()


def test_gaussian_draws_have_the_right_law_and_stay_finite():
    unit, beta, field = Gaussian(sigma=2.0), 0.5, 0.3
    eta = beta * unit.natural(torch.full((200_000,), field))
    x = unit.draw(eta, uniforms((200_000,), generator(1, device="cpu"))).double()
    variance = unit.sigma**2 / beta
    assert abs(x.mean() - unit.sigma**2 * field) < 4 * (variance / len(x)) ** 0.5
    assert abs(x.var() / variance - 1) < 4 * (2 / len(x)) ** 0.5
    assert abs(((x - x.mean()) ** 4).mean() / variance**2 - 3) < 4 * (96 / len(x)) ** 0.5
    extremes = unit.draw(eta[:2], torch.tensor([0.0, 1 - STEP]))
    assert extremes.isfinite().all() and torch.allclose(extremes[0] - 1.2, -(extremes[1] - 1.2), atol=1e-4)


@pytest.mark.parametrize("z", [-1e4, -100.0, -10.0, -4.001, -3.999, -1.0, 0.0, 2.0, 8.0])
def test_rectified_draws_are_quantiles_in_both_tails(z):
    """P(X <= x) is the uniform that gave x, to one part in a million of either tail, against fifty digits."""
    unit, beta = ReLU(sigma=0.5), 2.0
    scale = unit.sigma / beta**0.5
    eta = beta * unit.natural(torch.tensor(z * scale / unit.sigma**2, dtype=torch.float64))
    for u in (0.0, STEP, 1e-4, 0.3, 0.7, 1 - 1e-4, 1 - STEP):
        x = mpmath.mpf(float(unit.draw(eta, torch.tensor(u, dtype=torch.float64)))) / scale
        with mpmath.workdps(50):
            above = mpmath.erfc((x - z) / mpmath.sqrt(2)) / mpmath.erfc(-mpmath.mpf(z) / mpmath.sqrt(2))
            found = above if u > 0.5 else 1 - above
        wanted = 1 - u - STEP / 2 if u > 0.5 else u + STEP / 2
        assert float(found) == pytest.approx(wanted, rel=2e-6)


@pytest.mark.parametrize("field", [-60.0, -1.0, 3.0])
def test_rectified_draws_have_the_mean_and_variance_of_their_law(field):
    unit = ReLU(sigma=0.8)
    eta = unit.natural(torch.full((100_000,), field))
    x = unit.draw(eta, uniforms((100_000,), generator(2, device="cpu"))).double()
    assert (x >= 0).all()
    one = eta[:1].double().requires_grad_()
    (mean,) = torch.autograd.grad(unit.log_partition(one).sum(), one, create_graph=True)
    (curvature,) = torch.autograd.grad(mean[0, 0], one)
    variance = float(curvature[0, 0])
    assert abs(x.mean() - unit.mean(eta[:1]).double()) < 4 * (variance / len(x)) ** 0.5
    kurtosis = float(((x - x.mean()) ** 4).mean()) / variance**2
    assert abs(x.var() / variance - 1) < 4 * ((kurtosis - 1) / len(x)) ** 0.5


@pytest.mark.parametrize("unit", EVERY, ids=lambda unit: unit.name)
def test_shapes_are_those_promised(unit):
    u = uniforms((3, 5), generator(1, device="cpu"))
    field = no_field(unit, u)
    eta = unit.natural(field)
    x = unit.draw(eta, u)
    one_each = unit.n_parameters == 1
    assert eta.shape == ((3, 5) if one_each else (3, 5, unit.n_parameters))
    assert unit.statistics(x).shape == field.shape
    for numbers in (x, unit.mean(eta), unit.log_partition(eta), unit.energy(x)):
        assert numbers.shape == (3, 5) and numbers.dtype == torch.float32
    if unit.values:
        assert torch.isin(x, torch.tensor(unit.values)).all()


def test_configurations_of_units():
    for unit in EVERY:
        assert build_unit(unit_config(unit)) == unit
    assert build_unit("spin") == Spin()
    assert build_unit({"unit": "potts", "q": 5}) == Potts(5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: build_unit("potts5"), "unit must be one of spin, bit, potts, gaussian, relu, got 'potts5'"),
        (lambda: build_unit("potts"), "a potts unit is set by q, got nothing"),
        (lambda: build_unit({"unit": "bit", "q": 3}), "a bit unit is set by nothing, got q"),
        (lambda: Potts(2), "two are a Bit"),
        (lambda: Potts(True), "3 or more states"),
        (lambda: Gaussian(sigma=-1), "sigma must be"),
        (lambda: ReLU(sigma=math.inf), "sigma must be"),
    ],
)
def test_units_that_cannot_be_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
