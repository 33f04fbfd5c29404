"""log Z, log p(v) and divergences against brute force, closed forms and each other."""

import itertools
import math
import warnings

import numpy as np
import pytest
import torch

from ebmphys.energies import RBM, Ising, ferromagnet
from ebmphys.exact.enumeration import log_partition as visible_sum
from ebmphys.exact.enumeration import log_weights, states
from ebmphys.generators import VAE
from ebmphys.lattice import Lattice
from ebmphys.likelihood import (
    ais,
    enumerated_log_law,
    importance_bound,
    kl_to_exact,
    log_likelihood,
    log_partition,
    marginal,
)
from ebmphys.rng import generator
from ebmphys.units import Bit, Gaussian, Spin

BETA_C = math.log(1 + math.sqrt(2)) / 2
TWO_VALUED = list(itertools.product((Spin(), Bit()), repeat=2))


def rng(*path):
    return generator(11, *path, device="cpu")


def rbm(n_visible=5, n_hidden=3, visible=None, hidden=None, scale=2.0, bias=0.5):
    model = RBM(n_visible, n_hidden, visible, hidden, rng=rng("weights"), scale=scale, device="cpu")
    model.requires_grad_(False)
    with torch.no_grad():
        model.visible_bias.copy_(bias * torch.randn(n_visible, generator=rng("visible")))
        model.hidden_bias.copy_(bias * torch.randn(n_hidden, generator=rng("hidden")))
    return model


def brute_force(model, beta):
    """log sum over every joint state of exp(-beta E)."""
    values = [model.visible.values] * model.n_visible + [model.hidden.values] * model.n_hidden
    x = torch.tensor(list(itertools.product(*values)))
    return float(torch.logsumexp(-beta * model.energy(x).double(), 0))


def vae(n=9, hidden=(16,), latent=2, strength=2.0, unit=None):
    model = VAE(n, hidden, latent, unit, rng=rng("vae"), device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= strength
    return model


@pytest.mark.parametrize(("visible", "hidden"), TWO_VALUED)
@pytest.mark.parametrize(("n", "m"), [(6, 3), (3, 6)])
@pytest.mark.parametrize("beta", [0.7, 1.0])
def test_log_partition_is_the_sum_over_all_states_from_either_side(visible, hidden, n, m, beta):
    model = rbm(n, m, visible, hidden)
    expected = brute_force(model, beta)
    assert log_partition(model, beta) == pytest.approx(expected, abs=1e-5)
    assert visible_sum(model, beta) == pytest.approx(expected, abs=1e-5)
    assert abs(brute_force(model, 1.01 * beta) - expected) > 1e-3


def test_log_partition_takes_the_smaller_side_of_a_large_machine():
    wide, tall = rbm(200, 8), rbm(8, 200)
    with torch.no_grad():
        tall.weights.copy_(wide.weights.T)
        tall.visible_bias.copy_(wide.hidden_bias)
        tall.hidden_bias.copy_(wide.visible_bias)
    assert log_partition(wide) == pytest.approx(log_partition(tall), rel=1e-12)


@pytest.mark.parametrize("beta", [0.8, 1.0])
def test_log_partition_with_gaussian_visible_units_is_the_integral(beta):
    model = rbm(2, 4, Gaussian(0.8), Bit(), scale=1.0)
    axis = torch.arange(-12, 12.001, 0.05, dtype=torch.float64)
    v = torch.cartesian_prod(axis, axis)
    integral = float(torch.logsumexp(-beta * model.double().free_energy(v, beta), 0)) + 2 * math.log(0.05)
    assert log_partition(model.float(), beta) == pytest.approx(integral, abs=1e-6)


def test_log_partition_of_large_lattices_is_the_closed_form():
    assert log_partition(ferromagnet((32, 32), device="cpu"), 0.4) / 1024 == pytest.approx(0.879373347425, abs=1e-11)
    assert log_partition(ferromagnet((4, 4), device="cpu"), BETA_C) / 16 == pytest.approx(0.970119716172, abs=1e-11)
    with pytest.raises(ValueError, match="estimate it by ais"):
        log_partition(rbm(30, 30))
    with pytest.raises(ValueError, match="estimate it by ais"):
        log_partition(Ising(Lattice((6, 6, 6)), device="cpu"))


def test_log_likelihood_of_an_energy_is_normalised():
    for model, beta in ((rbm(6, 4, Bit(), Spin()), 1.0), (rbm(6, 4), 0.6), (ferromagnet((2, 3), device="cpu"), 0.4)):
        v = states(model.visible_unit.values, 6)
        assert float(torch.logsumexp(log_likelihood(model, v, beta), 0)) == pytest.approx(0, abs=1e-9)
        shifted = log_likelihood(model, v.reshape(8, 8, 6), beta, log_partition=log_partition(model, beta) + 1)
        torch.testing.assert_close(shifted.flatten(), log_likelihood(model, v, beta) - 1)


AIS_CASES = {
    "bits": (lambda: rbm(12, 6, Bit(), Bit(), scale=6.0), 1.0),
    "spins": (lambda: rbm(10, 6, Spin(), Spin(), scale=1.5), 0.8),
    "gaussian": (lambda: rbm(8, 6, Gaussian(0.9), Bit(), scale=1.0), 1.0),
    "lattice": (lambda: ferromagnet((4, 4), device="cpu"), 0.3),
}


@pytest.mark.parametrize("based", [False, True])
@pytest.mark.parametrize("case", AIS_CASES)
def test_ais_is_within_its_error_of_log_z(case, based):
    """Over 24 seeds z should scatter by 1 about 0, and a log Z off by 1 % of beta must be seen."""
    build, beta = AIS_CASES[case]
    model = build()
    exact = log_partition(model, beta)
    base = 0.4 * torch.randn(model.n_visible, generator=rng("base")) if based else None
    options = {"steps": 60, "chains": 100, "base": base}
    runs = [ais(model, beta, rng=rng("ais", seed), **options) for seed in range(24)]
    error = np.array([run.error for run in runs])
    value = np.array([run.value for run in runs])
    z = (value - exact) / error
    assert abs(z.mean()) < 4 / math.sqrt(24)
    assert 0.6 < z.std(ddof=1) < 1.5
    wrong = (value - log_partition(model, 1.03 * beta)) / error
    assert abs(wrong.mean()) > 4 / math.sqrt(24)
    assert all(run.warning == "" and 10 < run.effective_sample_size <= 100 for run in runs)


def test_ais_says_when_it_cannot_be_trusted():
    model = rbm(40, 16, scale=12.0)
    hasty = ais(model, rng=rng("hasty"), steps=3, chains=200)
    assert "more steps" in hasty.warning and hasty.effective_sample_size < 20
    assert hasty.value < log_partition(model)
    patient = ais(rbm(40, 16, scale=3.0), rng=rng("patient"), steps=400, chains=200)
    assert patient.warning == ""
    assert abs(patient.value - log_partition(rbm(40, 16, scale=3.0))) < 4 * patient.error < 0.5


def test_ais_of_independent_units_is_exact():
    """From the model's own base the path never moves, so every weight is Z."""
    model = rbm(7, 4, scale=0.0)
    with torch.no_grad():
        model.hidden_bias.zero_()
    run = ais(model, rng=rng("own"), steps=5, chains=10, base=model.visible_bias.detach())
    assert run.value == pytest.approx(log_partition(model), abs=1e-9)
    assert run.error == pytest.approx(0, abs=1e-6)


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
        table = torch.stack([model.reconstruction(v, point.expand(512, latent)) for point in z[weight > 1e-14]])
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
    monkeypatch.setattr("ebmphys.likelihood.latent._CHUNK", 7 * 16 * 10)
    with torch.no_grad():
        expected = model.log_importance_weights(v, noise).double().logsumexp(0) - math.log(50)
    torch.testing.assert_close(importance_bound(model, v, 50, rng()), expected, atol=1e-5, rtol=0)


def test_divergence_of_a_uniform_model_is_the_missing_entropy():
    """KL(p || uniform) = N log 2 - S, S = 4.482720 on the critical 4 x 4 lattice."""
    ising = ferromagnet((4, 4), device="cpu")
    expected = 16 * math.log(2) - 4.482720
    uniform = VAE(16, (4,), 2, Bit(), rng=rng(), device="cpu")
    with torch.no_grad():
        for parameter in uniform.decoder.parameters():
            parameter.zero_()
    for model in (RBM(16, 16, device="cpu"), RBM(16, 3, Bit(), device="cpu"), uniform):
        assert kl_to_exact(ising, BETA_C, model) == pytest.approx(expected, abs=1e-6)
    assert abs(expected - kl_to_exact(ising, 1.01 * BETA_C, uniform)) > 0.01


def test_an_rbm_with_one_hidden_spin_a_bond_is_the_ising_model():
    """cosh(2w) = exp(2 beta J) makes sum_h exp(w h (s + s')) proportional to exp(beta J s s')."""
    ising, beta = ferromagnet((3, 4), device="cpu"), 0.42
    model = RBM(12, ising.graph.n_bonds, device="cpu")
    with torch.no_grad():
        for bond, sites in enumerate(ising.graph.bonds):
            model.weights[sites, bond] = 0.5 * math.acosh(math.exp(2 * beta))
    assert kl_to_exact(ising, beta, model) == pytest.approx(0, abs=1e-6)
    weights = log_weights(ising, 0.43)
    energy = float((torch.softmax(weights, 0) * weights).sum()) / -0.43
    known = (beta - 0.43) * energy + log_partition(ising, beta) - log_partition(ising, 0.43)
    assert known > 1e-4
    assert kl_to_exact(ising, 0.43, model) == pytest.approx(known, rel=1e-3)


def test_divergence_from_a_vae_is_the_sum_over_states_and_never_negative():
    ising, model = ferromagnet((3, 3), device="cpu"), vae()
    log_p = log_likelihood(ising, states((-1.0, 1.0), 9), 0.4)
    expected = float((log_p.exp() * (log_p - marginal(model, states((-1.0, 1.0), 9)))).sum())
    assert kl_to_exact(ising, 0.4, model) == pytest.approx(expected, abs=1e-4)


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
    ising, spins = ferromagnet((3, 3), device="cpu"), states((-1.0, 1.0), 9)[:5]
    with pytest.raises(ValueError, match="take the values"):
        log_likelihood(ising, (spins + 1) / 2)
    with pytest.raises(ValueError, match="has 9 visible sites"):
        log_likelihood(ising, spins[:, :8])
    with pytest.raises(ValueError, match="use importance_bound"):
        log_likelihood(vae(latent=3), spins)
    with pytest.raises(ValueError, match="the model 8"):
        kl_to_exact(ising, 0.4, rbm(8, 2))
    with pytest.raises(ValueError, match="two-valued"):
        kl_to_exact(ising, 0.4, vae(unit=Gaussian()))
    with pytest.raises(ValueError, match="steps"):
        ais(ising, 0.4, rng=rng(), steps=0)
    with pytest.raises(ValueError, match="one field a visible site"):
        ais(ising, 0.4, rng=rng(), base=torch.zeros(4))
    with pytest.raises(ValueError, match="finite number of values"):
        ais(rbm(3, 2, Spin(), Gaussian()), rng=rng())
    with pytest.raises(ValueError, match="1 or more draws"):
        importance_bound(vae(), spins, 0, rng())
    broken = vae()
    with torch.no_grad():
        broken.decoder[0].bias[0] = math.nan
    with pytest.raises(ValueError, match="not a number"):
        kl_to_exact(ising, 0.4, broken)
