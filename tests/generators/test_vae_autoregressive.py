"""The VAE with an autoregressive decoder against sums over every configuration."""

import json
import math

import pytest
import torch

from ebmphys.energies import ferromagnet
from ebmphys.exact.enumeration import kl_divergence, log_weights, states
from ebmphys.generators import GENERATORS, VAE, AutoregressiveVAE
from ebmphys.likelihood import enumerated_log_law, importance_bound, log_likelihood, marginal
from ebmphys.likelihood.latent import _weighted_laws
from ebmphys.objectives import ELBO
from ebmphys.rng import generator
from ebmphys.train import GlobalFlip, LatticeMoves, Training, fit, suited
from ebmphys.units import Bit, Gaussian, Spin
from tests.generators.laws import chi_square_p, strong

N = 7


def rng(*path):
    return generator(29, *path, device="cpu")


def model_of(n=N, latent=2, unit=None, decoder_hidden=(20, 16), strength=1.3, **options):
    options |= {"decoder_hidden": decoder_hidden, "rng": rng("weights"), "device": "cpu"}
    return strong(AutoregressiveVAE(n, (12,), latent, unit, **options), strength)


def moves(model, x, z):
    """The largest change of the log-odds of site i (row) where site j (column) is turned over."""
    table = torch.zeros(N, N)
    for j in range(N):
        other = x.clone()
        other[:, j] *= -1
        table[:, j] = (model.decoder(other, z) - model.decoder(x, z)).abs().amax(0)
    return table


@pytest.mark.parametrize("hidden", [(20, 16), (5,), (14, 3, 30)])
def test_a_site_sees_the_sites_before_it_and_no_other(hidden):
    model = model_of(decoder_hidden=hidden)
    x = Spin().draw(torch.zeros(30, N), torch.rand(30, N, generator=rng("x")))
    z = model.noise(30, rng("z"))
    with torch.no_grad():
        table = moves(model, x, z)
        before = torch.ones(N, N).tril(-1).bool()
        assert bool((table[~before] == 0).all()) and bool((table[before] > 1e-3).all())
        assert bool(((model.decoder(x, z) - model.decoder(x, z + 1)).abs().amax(0) > 1e-2).all())
        for layer in (*model.decoder.layers, model.decoder.direct):
            layer.mask.fill_(True)
        assert bool((moves(model, x, z)[~before] > 1e-3).all())


def test_hidden_units_see_every_site_before_theirs():
    """Without the direct weights all that a site knows of those before it comes through them."""
    model = model_of()
    x = Spin().draw(torch.zeros(30, N), torch.rand(30, N, generator=rng("x")))
    with torch.no_grad():
        model.decoder.direct.weight.zero_()
        assert bool((moves(model, x, model.noise(30, rng("z")))[torch.ones(N, N).tril(-1).bool()] > 1e-4).all())


def test_the_conditional_law_sums_to_one_for_every_latent():
    model, every = model_of(), states((-1.0, 1.0), N)
    z = model.noise(6, rng("z"))
    with torch.no_grad():
        log_q = model.log_given(every[:, None], z)
        torch.testing.assert_close(log_q.logsumexp(0), torch.zeros(6), atol=1e-5, rtol=0)
        assert float((log_q[:, 0] - log_q[:, 1]).abs().max()) > 0.5
        model.decoder.direct.mask.fill_(True)
        assert float(model.log_given(every[:, None], z).logsumexp(0).abs().min()) > 1e-3


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("latent", [1, 2])
def test_the_law_of_few_latents_is_the_integral_however_poor_the_encoder(latent, symmetric):
    model, every = model_of(latent=latent, symmetric=symmetric, strength=2.5), states((-1.0, 1.0), N)
    law = enumerated_log_law(model)
    assert float(law.exp().sum()) == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(law, log_likelihood(model, every), atol=2e-2, rtol=0)
    # The control: importance weights of the encoder, which knows nothing of this law.
    with torch.no_grad():
        *_, weighted = _weighted_laws(model)
    assert float((weighted - law).abs().max()) > 0.05


@pytest.mark.parametrize("hidden", [(20, 16), (5,), (14, 3, 30)])
def test_every_decision_of_a_draw_is_at_the_threshold_of_one_pass(hidden):
    """u just below P(+1) gives +1 and just above gives -1, site by site, whatever came before."""
    model = model_of(decoder_hidden=hidden)
    every = states((-1.0, 1.0), N)
    z = model.noise(len(every), rng("z"))
    with torch.no_grad():
        p = torch.sigmoid(model.decoder(every, z))
        for shift in (-1e-5, 1e-5):
            for i in range(N):
                # The sites before i are forced to the state's, site i is decided by a hair.
                u = torch.where(every > 0, 0.0, 1.0)
                u[:, i] = p[:, i] + shift
                decided = model.decoder.drawn(z, u)
                assert torch.equal(decided[:, :i], every[:, :i])
                assert bool((decided[:, i] == (1.0 if shift < 0 else -1.0)).all())


@pytest.mark.parametrize("unit", [Spin(), Bit()])
def test_draws_follow_the_law_and_a_wrong_law_is_rejected(unit):
    model = model_of(unit=unit)
    law = marginal(model, states(unit.values, N))
    assert float(law.logsumexp(0)) == pytest.approx(0, abs=1e-9)
    x = model.draw(200_000, rng("draws"))
    assert set(x.unique().tolist()) == set(unit.values)
    assert chi_square_p(x, law) > 1e-4
    assert chi_square_p(model.draw(200_000, rng("draws"), threshold=True), law) < 1e-12
    with torch.no_grad():
        model.decoder.direct.weight *= 1.1
    assert chi_square_p(model.draw(200_000, rng("draws")), law) < 1e-6


def test_a_thresholded_draw_takes_the_likelier_value_given_the_sites_before():
    model = model_of()
    z = model.noise(2000, rng("z"))
    with torch.no_grad():
        likeliest = model.draw_given(z, rng("x"), threshold=True)
        assert torch.equal(likeliest > 0, model.decoder(likeliest, z) > 0)
        drawn = model.draw_given(z, rng("x"))
        assert not torch.equal(drawn > 0, model.decoder(drawn, z) > 0)


def test_the_enumerated_law_of_more_sites_is_importance_weighted_and_scatters_around_one(monkeypatch):
    monkeypatch.setattr("ebmphys.likelihood.latent._MOST_INTEGRATED", (0, 0))
    model = model_of()
    every = states((-1.0, 1.0), N)
    exact, weighted = marginal(model, every), enumerated_log_law(model, tolerance=1e-2)
    assert 1e-9 < abs(float(weighted.logsumexp(0))) < 0.02
    assert 0 < kl_divergence(exact, weighted) < 1e-2
    with torch.no_grad():
        model.decoder.direct.weight *= 1.5
    assert kl_divergence(exact, enumerated_log_law(model, tolerance=1e-2)) > 2e-2
    assert float(importance_bound(model, every, 4, rng("k")).mean()) < float(exact.mean())


def test_gradients_reach_every_parameter_that_a_mask_allows():
    model = model_of(full_covariance=True, latent=3)
    v = states((-1.0, 1.0), N)
    model.elbo(v, model.noise(len(v), rng("noise"))).mean().backward()
    for name, parameter in model.named_parameters():
        assert float(parameter.grad.abs().max()) > 1e-6, name
    for layer in model.decoder.layers:
        assert bool((layer.weight.grad[~layer.mask] == 0).all())


@pytest.mark.parametrize("options", [{}, {"unit": Bit(), "symmetric": True}, {"full_covariance": True}])
def test_config_and_parameters_give_the_model_back(options):
    model = model_of(**options)
    twin = GENERATORS[model.config["model"]].from_config(json.loads(json.dumps(model.config))).to("cpu")
    assert twin.config == model.config
    twin.load_state_dict(model.state_dict())
    v, noise = states(model.unit.values, N), model.noise(2**N, rng("noise"))
    torch.testing.assert_close(twin.elbo(v, noise), model.elbo(v, noise), rtol=0, atol=0)
    assert torch.equal(twin.draw(20, rng("x")), model.draw(20, rng("x")))


def test_a_bound_is_watched_where_the_law_is_out_of_reach():
    target, v = ferromagnet((3, 3), device="cpu"), states((-1.0, 1.0), 9)[::9]
    monitors = suited(model_of(9), ELBO(rng("n")), v, target, 0.4)
    assert "kl_bound" in monitors and not {"kl", "elbo"} & set(monitors)
    assert {"kl", "elbo"} <= set(suited(VAE(9, (8,), device="cpu"), ELBO(rng("n")), v, target, 0.4))
    assert math.isfinite(monitors["kl_bound"](model_of(9), ELBO(rng("n"))))


def test_it_learns_the_energy_that_a_factorised_decoder_cannot():
    ising, beta = ferromagnet((3, 3), device="cpu"), 0.4
    law, every = log_weights(ising, beta).log_softmax(0), states((-1.0, 1.0), 9)
    data = every[torch.multinomial(law.exp(), 5000, replacement=True, generator=rng("data"))]
    found = {}
    for kind, options in ((AutoregressiveVAE, {"decoder_hidden": (64,)}), (VAE, {})):
        model = kind(9, (32,), 2, rng=rng("weights"), device="cpu", **options)
        augment = [GlobalFlip(model.unit), LatticeMoves(ising.graph)]
        settings = Training(epochs=40, batch_size=250, learning_rate=1e-2)
        fit(model, data, ELBO(rng("noise")), settings, rng=rng("fit"), augment=augment)
        log_q = enumerated_log_law(model)
        excess = float((log_q.softmax(0) - law.exp()) @ ising.energy(every).double()) / 9
        found[kind] = kl_divergence(law, log_q), excess
    assert found[AutoregressiveVAE][0] < 0.02 < 0.05 < found[VAE][0]
    assert abs(found[AutoregressiveVAE][1]) < 0.02 < 0.05 < found[VAE][1]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="two-valued visible units"):
        AutoregressiveVAE(9, unit=Gaussian(), device="cpu")
    with pytest.raises(ValueError, match="1 or more hidden layers"):
        AutoregressiveVAE(9, decoder_hidden=(), device="cpu")
    with pytest.raises(ValueError, match="sizes must be 1 or more"):
        AutoregressiveVAE(9, (0,), device="cpu")
