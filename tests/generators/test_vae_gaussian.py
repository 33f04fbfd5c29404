"""Divergences between normal laws, and the encoder's posterior, against integration and Monte Carlo."""

import math

import pytest
import torch
from scipy import integrate, stats

from ebmphys.generators import Posterior, gaussian_kl, gaussian_kl_full, gaussian_kl_per_latent
from ebmphys.rng import generator

PAIRS = [((0.3, -1.2), (-0.5, 0.7)), ((-2.0, 1.0), (1.0, -0.3)), ((0.0, 0.0), (0.0, 0.0))]


def rng(*path):
    return generator(17, *path, device="cpu")


def normal(d, name, batch=()):
    """A mean and a covariance far from diagonal."""
    a = torch.randn(*batch, d, d, generator=rng(name), dtype=torch.float64)
    mean = torch.randn(*batch, d, generator=rng(name, "mean"), dtype=torch.float64)
    return mean, a @ a.mT + 0.3 * torch.eye(d, dtype=torch.float64)


def column(*numbers):
    return torch.tensor([numbers], dtype=torch.float64)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_the_diagonal_divergence_is_the_integral(one, other):
    p, q = (stats.norm(mean, math.exp(0.5 * log_variance)) for mean, log_variance in (one, other))
    integral = integrate.quad(lambda z: p.pdf(z) * (p.logpdf(z) - q.logpdf(z)), -25, 25, epsabs=1e-11, limit=400)[0]
    ours = gaussian_kl(*(column(number) for number in (*one, *other)))
    assert float(ours) == pytest.approx(integral, abs=1e-9)
    if one != other:
        assert abs(float(gaussian_kl(*(column(number) for number in (*other, *one)))) - integral) > 0.05


def test_the_diagonal_divergence_sums_over_latents_and_takes_either_law_alone():
    m, s, mm, ss = torch.randn(4, 5, 3, generator=rng("diagonal"), dtype=torch.float64)
    p, q = (torch.distributions.Normal(mean, (0.5 * lv).exp()) for mean, lv in ((m, s), (mm, ss)))
    torch.testing.assert_close(gaussian_kl(m, s, mm, ss), torch.distributions.kl_divergence(p, q).sum(-1))
    torch.testing.assert_close(gaussian_kl(m, s, torch.zeros_like(m), torch.zeros_like(m)), gaussian_kl(m, s))
    torch.testing.assert_close(gaussian_kl(m, s, other_mean=mm), gaussian_kl(m, s, mm, torch.zeros_like(m)))
    torch.testing.assert_close(gaussian_kl(m, s), gaussian_kl_per_latent(m, s).sum(-1))


def test_the_full_divergence_is_the_integral_over_the_plane():
    (m, c), (mm, cc) = normal(2, "p"), normal(2, "q")
    p, q = (torch.distributions.MultivariateNormal(mean, cov) for mean, cov in ((m, c), (mm, cc)))
    # In the eigenbasis of p, where the trapezoidal rule on a normal law converges faster than any power.
    values, vectors = torch.linalg.eigh(c)
    t = torch.arange(-80, 81, dtype=torch.float64) / 8
    grid = torch.cartesian_prod(t, t)
    z = m + (grid * values.sqrt()) @ vectors.T
    integral = float((p.log_prob(z).exp() * (p.log_prob(z) - q.log_prob(z))).sum() * values.prod().sqrt() / 64)
    assert float(gaussian_kl_full(m, c, mm, cc)) == pytest.approx(integral, abs=1e-9)
    diagonal = gaussian_kl_full(m, c.diagonal().diag(), mm, cc.diagonal().diag())
    torch.testing.assert_close(diagonal, gaussian_kl(m, c.diagonal().log(), mm, cc.diagonal().log()))
    assert abs(float(diagonal) - integral) > 0.1


def test_the_full_divergence_agrees_with_draws_in_batches():
    (m, c), (mm, cc) = normal(4, "p", (3,)), normal(4, "q", (3,))
    p, q = (torch.distributions.MultivariateNormal(mean, cov) for mean, cov in ((m, c), (mm, cc)))
    ours = gaussian_kl_full(m, c, mm, cc)
    torch.testing.assert_close(ours, torch.distributions.kl_divergence(p, q))
    noise = torch.randn(100_000, 3, 4, generator=rng("draws"), dtype=torch.float64)
    z = m + (torch.linalg.cholesky(c) @ noise[..., None]).squeeze(-1)
    ratio = p.log_prob(z) - q.log_prob(z)
    error = ratio.std(0) / 100_000**0.5
    assert bool(((ratio.mean(0) - ours).abs() < 4 * error).all())
    assert bool(((ratio.mean(0) - gaussian_kl_full(mm, cc, m, c)).abs() > 4 * error).all())


def test_a_full_posterior_is_the_normal_law_that_its_noise_makes():
    latent = 3
    outputs = torch.randn(2, 2 * latent + 3, generator=rng("outputs"), dtype=torch.float64)
    posterior = Posterior.from_outputs(outputs, latent)
    columns = posterior.at(torch.eye(latent, dtype=torch.float64)[:, None].expand(latent, 2, latent)) - posterior.mean
    factor = columns.permute(1, 2, 0)
    torch.testing.assert_close(factor, factor.tril())
    torch.testing.assert_close(posterior.covariance, factor @ factor.mT)
    zero, one = torch.zeros(latent, dtype=torch.float64), torch.eye(latent, dtype=torch.float64)
    for k in range(1, latent + 1):  # of the first k latents alone
        marginal = gaussian_kl_full(posterior.mean[:, :k], posterior.covariance[:, :k, :k], zero[:k], one[:k, :k])
        torch.testing.assert_close(posterior.kl_per_latent()[:, :k].sum(-1), marginal)
    noise = torch.randn(5, 2, latent, generator=rng("noise"), dtype=torch.float64)
    law = torch.distributions.MultivariateNormal(posterior.mean, posterior.covariance)
    prior = torch.distributions.MultivariateNormal(zero, one)
    z = posterior.at(noise)
    torch.testing.assert_close(posterior.log_prior_over(noise), prior.log_prob(z) - law.log_prob(z))
    assert float((posterior.kl_per_latent() - gaussian_kl_per_latent(*posterior[:2])).abs().max()) > 0.1


def test_a_diagonal_posterior_is_the_full_one_without_mixing():
    outputs = torch.randn(4, 6, generator=rng("outputs"))
    diagonal = Posterior.from_outputs(outputs, 3)
    full = Posterior.from_outputs(torch.cat([outputs, torch.zeros(4, 3)], -1), 3)
    noise = torch.randn(7, 4, 3, generator=rng("noise"))
    assert diagonal.mixing is None and full.mixing is not None
    torch.testing.assert_close(diagonal.at(noise), full.at(noise))
    torch.testing.assert_close(diagonal.kl_per_latent(), full.kl_per_latent())
    torch.testing.assert_close(diagonal.covariance, full.covariance)


@pytest.mark.parametrize("matrix", [[[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.5], [0.0, 1.0]], [[0.0, 0.0], [0.0, 1.0]]])
def test_what_is_no_covariance_is_refused(matrix):
    with pytest.raises(ValueError, match="symmetric and positive definite"):
        gaussian_kl_full(torch.zeros(2), torch.tensor(matrix), torch.zeros(2), torch.eye(2))
