"""Models with q(-v) = q(v) built in: the law, the draws, and a bound that stays one."""

import math

import pytest
import torch

from ebmphys.exact.enumeration import states
from ebmphys.generators import VAE, AutoregressiveVAE
from ebmphys.likelihood import enumerated_log_law, importance_bound, marginal
from ebmphys.rng import generator, uniforms
from ebmphys.units import Bit, Gaussian, Spin
from tests.generators.laws import chi_square_p, strong

N = 7


def rng(*path):
    return generator(23, *path, device="cpu")


def pair(kind=VAE, unit=None):
    """A model, and the same with its law made symmetric."""
    options = {"rng": rng("weights"), "device": "cpu"} | ({} if kind is VAE else {"decoder_hidden": (20,)})
    models = [
        strong(kind(N, (10,), 2, unit or Spin(), symmetric=bool(s), **options)).requires_grad_(False) for s in (0, 1)
    ]
    models[1].load_state_dict(models[0].state_dict())
    return models


def mirrored(law, other):
    return torch.logaddexp(law, other) - math.log(2)


@pytest.mark.parametrize("unit", [Spin(), Bit()])
@pytest.mark.parametrize("kind", [VAE, AutoregressiveVAE])
def test_the_law_is_the_mean_of_a_law_and_its_mirror_image(kind, unit):
    plain, symmetric = pair(kind, unit)
    every = states(unit.values, N)
    base, law = marginal(plain, every), marginal(symmetric, every)
    torch.testing.assert_close(law, mirrored(base, base.flip(0)), atol=1e-6, rtol=0)
    torch.testing.assert_close(law, law.flip(0), atol=1e-6, rtol=0)
    assert float((base - base.flip(0)).abs().max()) > 1
    if kind is VAE:
        torch.testing.assert_close(enumerated_log_law(symmetric, tolerance=1e-8), law, atol=1e-4, rtol=0)


def test_gaussian_configurations_are_as_likely_with_their_sign_changed():
    plain, symmetric = pair(unit=Gaussian(0.6))
    v = torch.randn(50, N, generator=rng("v"))
    torch.testing.assert_close(marginal(symmetric, v), mirrored(marginal(plain, v), marginal(plain, -v)))
    torch.testing.assert_close(marginal(symmetric, v), marginal(symmetric, -v))


@pytest.mark.parametrize("kind", [VAE, AutoregressiveVAE])
def test_draws_follow_the_symmetric_law_and_not_the_plain_one(kind):
    plain, symmetric = pair(kind)
    law = marginal(symmetric, states((-1.0, 1.0), N))
    assert chi_square_p(symmetric.draw(200_000, rng("draws")), law) > 1e-4
    assert chi_square_p(plain.draw(200_000, rng("draws")), law) < 1e-12
    sums = [model.draw(2000, rng("draws"), threshold=True).mean(0).abs().max() for model in (symmetric, plain)]
    assert sums[0] < 0.1 < 0.3 < sums[1]


@pytest.mark.parametrize("unit", [Spin(), Bit(), Gaussian(0.6)])
def test_draws_are_turned_over_with_probability_one_half(unit):
    """Each by its own uniform number, drawn after the plain model's configuration."""
    plain, symmetric = pair(unit=unit)
    stream = rng("draws")
    x, heads = plain.draw(20_000, stream), uniforms((20_000, 1), stream) < 0.5
    expected = torch.where(heads, sum(unit.values) - x, x)
    assert torch.equal(symmetric.draw(20_000, rng("draws")), expected)


@pytest.mark.parametrize("unit", [Spin(), Bit(), Gaussian(0.6)])
def test_a_configuration_and_its_mirror_image_have_one_posterior_and_one_bound(unit):
    plain, symmetric = pair(unit=unit)
    v = states(unit.values, N) if unit.values else torch.randn(40, N, generator=rng("v"))
    other = v.flip(0) if unit.values else -v
    noise = symmetric.noise(len(v), rng("noise"))
    torch.testing.assert_close(symmetric.encode(v).mean, symmetric.encode(other).mean)
    torch.testing.assert_close(symmetric.elbo(v, noise), symmetric.elbo(other, noise))
    assert float((plain.elbo(v, noise) - plain.elbo(other, noise)).abs().max()) > 0.5


def test_without_a_majority_the_first_site_decides():
    symmetric = VAE(4, (6,), 2, symmetric=True, rng=rng("weights"), device="cpu")
    v = torch.tensor([[1.0, -1.0, -1.0, 1.0], [-1.0, 1.0, 1.0, -1.0]])
    assert torch.equal(symmetric.features(v)[0], symmetric.features(v)[1])
    assert torch.equal(symmetric.features(v)[0], v[0])


def test_weights_of_the_symmetric_law_average_to_it():
    _, symmetric = pair()
    v = symmetric.draw(20, rng("v"))
    noise = torch.randn(50_000, 20, 2, generator=rng("noise"))
    ratio = (symmetric.log_importance_weights(v, noise) - marginal(symmetric, v)).exp()
    error = ratio.std(0) / 50_000**0.5
    assert bool(((ratio.mean(0) - 1).abs() < 4.5 * error).all())
    assert bool(((2 * ratio.mean(0) - 1).abs() > 4.5 * error).all())
    bound = importance_bound(symmetric, v, 20, rng("bound")).mean()
    assert float(bound) < float(marginal(symmetric, v).mean())
