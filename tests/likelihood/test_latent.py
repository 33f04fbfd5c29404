"""Laws of latent variable models against an independent quadrature and each other."""

import itertools
import math
import warnings

import numpy as np
import pytest
import torch

from ebmphys.exact.enumeration import states
from ebmphys.generators import FactorisedModel, Posterior
from ebmphys.likelihood import enumerated_log_law, importance_bound, log_likelihood, marginal
from ebmphys.objectives import ELBO
from ebmphys.train import suited
from ebmphys.units import Spin
from tests.likelihood.builders import rng, vae


@pytest.mark.parametrize(("hidden", "latent"), [((16,), 1), ((16,), 2), ((), 2), ((8, 8), 2)])
def test_the_law_of_a_vae_sums_to_one_and_agrees_with_an_independent_quadrature(hidden, latent):
    model = vae(hidden=hidden, latent=latent)
    v = states((-1.0, 1.0), 9)
    log_q = marginal(model, v)
    assert float(torch.logsumexp(log_q, 0)) == pytest.approx(0, abs=1e-9)
    torch.testing.assert_close(enumerated_log_law(model, tolerance=1e-8), log_q, atol=1e-4, rtol=0)
    x, w = np.polynomial.hermite_e.hermegauss(120)
    z = torch.from_numpy(np.stack(np.meshgrid(*[x] * latent, indexing="ij"), -1).reshape(-1, latent)).float()
    weight = torch.from_numpy(np.prod(np.meshgrid(*[w / w.sum()] * latent, indexing="ij"), 0).ravel())
    with torch.no_grad():
        table = torch.stack([model.log_conditional(v, point.expand(512, latent)) for point in z[weight > 1e-14]])
    hermite = torch.logsumexp(table.double() + weight[weight > 1e-14].log()[:, None], 0)
    torch.testing.assert_close(log_q, hermite, atol=3e-4, rtol=0)


def test_elbo_and_importance_bounds_rise_to_log_q():
    model = vae()
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter *= 0.3  # near the prior: a poor encoder, but one that a few thousand draws make up for
    v = model.draw(200, rng("v"))
    exact = float(log_likelihood(model, v).mean())
    levels = [1, 4, 16, 4096]
    bounds = [[float(importance_bound(model, v, k, rng(k, r)).mean()) for r in range(10)] for k in levels]
    means, errors = np.mean(bounds, 1), np.std(bounds, 1, ddof=1) / math.sqrt(10)
    for (low, e), (high, f) in itertools.pairwise(zip(means, errors, strict=True)):
        assert high - low > 3 * math.hypot(e, f)
    assert exact - means[0] > 0.1
    assert -4 * errors[-1] < exact - means[-1] < 0.02
    with torch.no_grad():
        elbo = model.elbo(v, torch.randn(2000, 200, 2, generator=rng("elbo"))).mean()
    assert float(elbo) == pytest.approx(means[0], abs=4 * errors[0] + 0.02)


def test_importance_bound_is_the_same_sum_in_chunks(monkeypatch):
    model = vae()
    v, noise = model.draw(10, rng("v")), torch.randn(50, 10, 2, generator=rng("noise"))
    rows = iter(noise.reshape(500, 2))
    monkeypatch.setattr(model, "noise", lambda n, rng: torch.stack([next(rows) for _ in range(n)]))
    monkeypatch.setattr("ebmphys.likelihood.latent._CHUNK", 7 * 16 * 9 * 10)
    with torch.no_grad():
        expected = model.log_importance_weights(v, noise).double().logsumexp(0) - math.log(50)
    torch.testing.assert_close(importance_bound(model, v, 50, rng()), expected, atol=1e-5, rtol=0)


def test_random_nodes_for_many_latents_agree_with_the_grid():
    two, four = vae(latent=2), vae(latent=4)
    with torch.no_grad():
        first, second = four.decoder[0], two.decoder[0]
        first.weight.zero_()
        first.weight[:, [1, 3]] = second.weight
        for ours, theirs in zip(four.decoder[1:].parameters(), two.decoder[1:].parameters(), strict=True):
            ours.copy_(theirs)
    grid, random = enumerated_log_law(two), enumerated_log_law(four, tolerance=1e-4)
    assert float(torch.logsumexp(random, 0)) == pytest.approx(0, abs=1e-9)
    assert float((grid.exp() * (grid - random)).sum()) < 1e-4


class Pair(FactorisedModel):
    """Two sites that share one sign, z itself their field: as small as a latent variable model can be."""

    def __init__(self, sharpness):
        super().__init__()
        self.n_visible, self.latent, self.unit = 2, 1, Spin()
        self.sharpness = torch.nn.Parameter(torch.tensor(sharpness))

    visible_unit, config = Spin(), {}

    @classmethod
    def from_config(cls, config):
        return cls(1.0)

    def encode(self, v):
        return Posterior(v.mean(-1, keepdim=True), torch.zeros(*v.shape[:-1], 1))

    def decode(self, z):
        return 2 * self.sharpness * z.expand(*z.shape[:-1], 2)


def test_any_latent_variable_model_has_its_law_its_bound_and_its_monitors():
    """P(both alike) = (1 + <tanh^2(a z)>) / 2, the average over a normal law of z."""
    model = Pair(1.5)
    x, w = np.polynomial.hermite_e.hermegauss(150)
    alike = float((1 + (w / w.sum()) @ np.tanh(1.5 * x) ** 2) / 2)
    v = states((-1.0, 1.0), 2)
    exact = torch.tensor([alike / 2, (1 - alike) / 2, (1 - alike) / 2, alike / 2], dtype=torch.float64).log()
    torch.testing.assert_close(marginal(model, v), exact, atol=1e-5, rtol=0)
    torch.testing.assert_close(enumerated_log_law(model, tolerance=1e-9), exact, atol=1e-4, rtol=0)
    rows = v.repeat(500, 1)
    few, many = (float(importance_bound(model, rows, draws, rng("k")).mean()) for draws in (3, 2000))
    assert few < float(exact.mean()) - 0.05 and many == pytest.approx(float(exact.mean()), abs=0.01)
    torch.testing.assert_close(model.draw(100_000, rng("x")).prod(-1).mean().item(), 2 * alike - 1, atol=0.015, rtol=0)
    monitors = suited(model, ELBO(rng("elbo")), rows)
    with torch.no_grad():
        assert "elbo" in monitors and monitors["elbo"](model, None) < float(exact.mean())


def test_a_grid_that_is_too_coarse_is_admitted():
    sharp = vae(strength=1.0)
    with torch.no_grad():
        sharp.decoder[0].weight *= 3000
    with pytest.warns(RuntimeWarning, match="still moves"):
        marginal(sharp, states((-1.0, 1.0), 9)[:4], tolerance=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        marginal(vae(), states((-1.0, 1.0), 9)[:4], tolerance=1e-6)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="use importance_bound"):
        log_likelihood(vae(latent=3), states((-1.0, 1.0), 9)[:5])
    with pytest.raises(ValueError, match="1 or more draws"):
        importance_bound(vae(), states((-1.0, 1.0), 9)[:5], 0, rng())
