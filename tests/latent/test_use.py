"""What is said of latents against codes made by hand, normal laws and exact divergences."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from ebmphys.generators import VAE, AutoregressiveVAE
from ebmphys.latent import Codes, aggregate, codes, correlations, interpolation, latent_use, odd_means, traversal
from ebmphys.rng import generator
from ebmphys.units import Bit, Spin
from tests.generators.laws import strong

N = 20_000


def rng(*path):
    return generator(23, *path, device="cpu")


def normal(*shape):
    return np.random.default_rng(3).standard_normal(shape)


def spins(count, n=6):
    return torch.where(torch.rand(count, n, generator=rng("spins")) < 0.5, -1.0, 1.0)


def vae(**options):
    return strong(VAE(6, (12,), 3, rng=rng("weights"), device="cpu", **options))


@pytest.mark.parametrize("full", [False, True])
def test_codes_are_the_posteriors_marginal_means_and_variances(full):
    model, v = vae(full_covariance=full), spins(5000)
    found = codes(model, v)
    with torch.no_grad():
        posterior, few = model.encode(v), model.encode(v[-5:])
        z = few.at(torch.randn(20_000, 5, 3, generator=rng("noise")))
    np.testing.assert_allclose(found.mean, posterior.mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.variance[-5:], z.var(0), rtol=0.05)
    assert full == bool(abs(found.variance / posterior.log_variance.exp().numpy() - 1).max() > 0.2)


def test_an_aggregate_that_is_the_prior_has_no_divergence_and_a_used_latent_has_information():
    """Codes of a linear normal model, v = z + noise: mean v s^2, variance 1 - s^2 with v ~ N(0, 1 / s^2)."""
    s2 = np.array([0.9, 0.5, 0.0])
    found = Codes(normal(N, 3) * s2**0.5, np.broadcast_to(1 - s2, (N, 3)).copy())
    law = aggregate(found)
    exact = -0.5 * np.log(1 - s2)
    assert (np.abs(law.kl) < 4 * law.kl_error + 1e-9).all() and (law.kl_error[:2] < 3e-3).all()
    assert (np.abs(law.mean) < 4 * law.mean_error + 1e-9).all()
    assert (np.abs(law.variance - 1) < 4 * law.variance_error + 1e-9).all()
    assert (np.abs(law.information - exact) < 4 * law.information_error + 1e-9).all()
    assert (np.abs(law.information - 1.1 * exact) > 4 * law.information_error)[:2].all()
    use = latent_use(found)
    assert (np.abs(use.activity - s2) < 4 * use.activity_error + 1e-9).all()
    assert use.active.tolist() == [True, True, False] and use.n_active == 2
    assert "1 of 3 latents are not in use (number 2)" in use.warning


@pytest.mark.parametrize(("shift", "scale"), [(0.5, 1.0), (0.0, 1.4), (-1.0, 0.6)])
def test_the_aggregates_divergence_is_that_of_normal_laws(shift, scale):
    spread = 0.6 * scale
    found = Codes(shift + normal(N, 1) * (scale**2 - spread**2) ** 0.5, np.full((N, 1), spread**2))
    law = aggregate(found)
    exact = 0.5 * (shift**2 + scale**2 - 1) - math.log(scale)
    assert abs(law.kl[0] - exact) < 4 * law.kl_error[0] + 1e-3
    assert abs(law.kl[0] - 1.1 * exact) > 4 * law.kl_error[0]
    assert abs(law.variance[0] - scale**2) < 4 * law.variance_error[0]
    assert abs(law.information[0] - math.log(1 / 0.6)) < 4 * law.information_error[0] + 1e-3


def test_errors_cover_the_scatter_of_repeated_data():
    generator = np.random.default_rng(5)
    pulls = []
    for _ in range(60):
        found = Codes(generator.standard_normal((1000, 1)) * 0.8 + 0.3, np.full((1000, 1), 0.36))
        law = aggregate(found)
        pulls.append([(law.kl[0] - 0.045) / law.kl_error[0], (law.mean[0] - 0.3) / law.mean_error[0]])
    spread = np.std(pulls, axis=0)
    assert (np.abs(np.mean(pulls, axis=0)) < 4 / 60**0.5).all() and (spread > 0.7).all() and (spread < 1.4).all()


def test_rows_sorted_by_temperature_do_not_widen_the_error():
    mean = np.repeat([-1.0, 0.0, 1.0], 1000)[:, None] + 0.1 * normal(3000, 1)
    sorted_rows, shuffled = (aggregate(Codes(m, np.full((3000, 1), 0.2))) for m in (mean, mean[::-1].copy()))
    assert sorted_rows.mean_error[0] == pytest.approx(0.1 / 3000**0.5, rel=0.4)
    assert shuffled.mean[0] == pytest.approx(sorted_rows.mean[0])


def test_collapse_is_said_in_words():
    zero = Codes(np.zeros((100, 2)), np.ones((100, 2)))
    assert "no latent is in use" in latent_use(zero).warning
    assert latent_use(zero).n_active == 0
    assert latent_use(Codes(normal(100, 2), np.full((100, 2), 0.1))).warning == ""


def test_correlations_are_pearsons_and_find_the_latent_that_is_m():
    m, e = normal(N), np.random.default_rng(4).standard_normal(N)
    mean = np.stack([3 + 0.1 * e, -2 * m + 0.5 * e, np.ones(N)], 1)
    found = correlations(Codes(mean, np.ones((N, 3))), {"m": m, "e": 1000 + 0.01 * e})
    for j, k, q in ((0, 0, m), (0, 1, e), (1, 0, m), (1, 1, e)):
        assert found.value[j, k] == pytest.approx(stats.pearsonr(mean[:, j], q).statistic, abs=1e-4)
    exact = -2 / 4.25**0.5
    assert abs(found.value[1, 0] - exact) < 4 * found.error[1, 0] < 0.01
    assert np.isnan(found.value[2]).all()
    assert found.best("m") == 1 and found.best("e") == 0
    assert found.error[1, 0] == pytest.approx((1 - exact**2) / N**0.5, rel=0.5)


@pytest.mark.parametrize("unit", [Spin(), Bit()])
def test_odd_means_turn_with_the_configuration(unit):
    model, v = vae(unit=unit), spins(50)
    turned = -v
    if isinstance(unit, Bit):
        v, turned = (v + 1) / 2, (1 - v) / 2
    odd, opposite, raw = odd_means(model, v), odd_means(model, turned), codes(model, v).mean
    np.testing.assert_allclose(odd, -opposite, atol=1e-6)
    assert np.abs(raw + codes(model, turned).mean).max() > 0.1
    np.testing.assert_allclose(odd, (raw - codes(model, turned).mean) / 2, atol=1e-6)
    with pytest.raises(ValueError, match="do not know the sign"):
        odd_means(vae(symmetric=True), v)


def test_traversals_and_interpolations_are_decoded_means():
    model, v = vae(), spins(2)
    path = traversal(model, 1, [-2.0, 0.0, 3.0], [0.5, 9.0, -0.5])
    np.testing.assert_allclose(path.z, [[0.5, -2, -0.5], [0.5, 0, -0.5], [0.5, 3, -0.5]])
    with torch.no_grad():
        expected = torch.tanh(model.decode(torch.tensor(path.z, dtype=torch.float32)) / 2)
        ends = model.encode(v).mean
    np.testing.assert_allclose(path.means, expected, atol=1e-6)
    assert (traversal(model, 1, [0.0]).z == 0).all()
    between = interpolation(model, v[0], v[1], 5)
    np.testing.assert_allclose(between.z[[0, 2, 4]], np.stack([ends[0], ends.mean(0), ends[1]]), atol=1e-6)
    assert between.means.shape == (5, 6)
    for_draws = AutoregressiveVAE(6, (8,), 3, decoder_hidden=(8,), rng=rng("w"), device="cpu")
    with pytest.raises(ValueError, match="draw them instead"):
        traversal(for_draws, 0, [0.0])


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="2 or more rows of 6"):
        codes(vae(), spins(1))
    with pytest.raises(ValueError, match="latents 0 to 2"):
        traversal(vae(), 3, [0.0])
    with pytest.raises(ValueError, match="3 numbers"):
        traversal(vae(), 0, [0.0], [1.0])
    with pytest.raises(ValueError, match="2 or more steps"):
        interpolation(vae(), *spins(2), 1)
    with pytest.raises(ValueError, match="100 finite numbers"):
        correlations(Codes(normal(100, 1), np.ones((100, 1))), {"m": normal(99)})
