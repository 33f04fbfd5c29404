"""Mixtures of independent sites: the law by a sum written out, its symmetries, and draws against it."""

import json

import numpy as np
import pytest
import torch
from scipy import stats

from ebmphys.checkpoint import Checkpoint, load_model, save
from ebmphys.energies import ferromagnet
from ebmphys.exact.enumeration import kl_divergence, log_weights, states
from ebmphys.generators import GENERATORS, BernoulliMixture
from ebmphys.likelihood import kl_to_exact, log_likelihood, visible_law
from ebmphys.rng import generator
from ebmphys.units import Bit, Gaussian, Spin

DRAWS = 100_000
KINDS = {
    "plain": {},
    "even": {"even": True},
    "translations": {"shape": (2, 3)},
    "both": {"even": True, "shape": (2, 3)},
}


def rng(*path):
    return generator(41, *path, device="cpu")


def mixture(kind="plain", n=6, k=3, unit=None, scale=1.5):
    model = BernoulliMixture(n, k, unit, **KINDS[kind], device="cpu").double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=rng(kind, name)))
    return model


def written_out(model, v):
    """q of each row, component after component, image after image, site after site."""
    weights = model.log_weights.detach().softmax(0).numpy()
    upper = (v > 0).numpy()
    total = np.zeros(len(v))
    for weight, odds in zip(weights, model.log_odds.detach().numpy(), strict=True):
        grid = odds.reshape(model.shape or (1, -1))
        moves = [(i, j) for i in range(grid.shape[0]) for j in range(grid.shape[1])] if model.shape else [(0, 0)]
        images = [s * np.roll(grid, m, (0, 1)).ravel() for m in moves for s in ((1, -1) if model.even else (1,))]
        for image in images:
            p = 1 / (1 + np.exp(-image))
            total += weight / len(images) * np.where(upper, p, 1 - p).prod(1)
    return total


@pytest.mark.parametrize("unit", [Spin(), Bit()])
@pytest.mark.parametrize("kind", KINDS)
def test_the_law_is_the_sum_written_out_and_is_one_in_all(kind, unit):
    model = mixture(kind, unit=unit)
    v = states(unit.values, 6, dtype=torch.float64)
    law = model.log_prob(v).detach().exp()
    np.testing.assert_allclose(law, written_out(model, v), rtol=1e-12)
    assert float(law.sum()) == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(visible_law(model), law.log(), rtol=0, atol=1e-12)
    torch.testing.assert_close(log_likelihood(model, v), law.log(), rtol=0, atol=1e-12)
    torch.testing.assert_close(model.log_prob(torch.where(v > 0, 1.0, -1.0)), model.log_prob((v > 0).double()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_law_has_the_symmetries_that_are_built_in_and_no_others(kind):
    law = mixture(kind).log_prob(states((-1.0, 1.0), 6, dtype=torch.float64)).detach()
    by_site = law.reshape([2] * 6)
    along, across = by_site.permute(1, 2, 0, 4, 5, 3).flatten(), by_site.permute(3, 4, 5, 0, 1, 2).flatten()
    for name, image in (("even", law.flip(0)), ("shape", along), ("shape", across)):
        furthest = float((law - image).abs().max())
        assert furthest < 1e-12 if KINDS[kind].get(name) else furthest > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_responsibilities_are_bayes_theorem(kind):
    model = mixture(kind)
    v = states((-1.0, 1.0), 6, dtype=torch.float64).reshape(8, 8, 6)
    found = model.responsibilities(v).detach()
    weights = model.log_weights.detach().softmax(0)
    for k in range(3):
        one = mixture(kind)
        with torch.no_grad():
            one.log_weights.copy_(torch.tensor([0.0 if j == k else -1e3 for j in range(3)]))
        expected = weights[k] * one.log_prob(v).detach().exp() / model.log_prob(v).detach().exp()
        torch.testing.assert_close(found[..., k], expected)


def p_value(model, x, unit):
    law = visible_law(model).exp().numpy()
    index = ((x > unit.values[0]).long() * 2 ** torch.arange(5, -1, -1)).sum(-1)
    counts = np.bincount(index.numpy(), minlength=64)
    return float(stats.chisquare(counts, law * len(x)).pvalue)


@pytest.mark.parametrize("unit", [Spin(), Bit()])
@pytest.mark.parametrize("kind", KINDS)
def test_draws_have_the_law_and_ten_percent_of_the_odds_are_noticed(kind, unit):
    model = mixture(kind, unit=unit, scale=2.5)
    x = model.draw(DRAWS, rng("draw", kind))
    assert x.shape == (DRAWS, 6) and set(x.unique().tolist()) == set(unit.values)
    assert p_value(model, x, unit) > 1e-4
    with torch.no_grad():
        model.log_odds *= 1.1
    assert p_value(model, x, unit) < 1e-4


def test_rows_in_parts_give_the_same(monkeypatch):
    model, v = mixture("both"), states((-1.0, 1.0), 6, dtype=torch.float64)
    whole, shares = model.log_prob(v), model.responsibilities(v)
    monkeypatch.setattr("ebmphys.generators.mixture._CHUNK", 5 * 3 * 12)
    assert model.rows_at_once == 5
    torch.testing.assert_close(model.log_prob(v.reshape(2, 32, 6)).flatten(), whole, rtol=0, atol=1e-14)
    torch.testing.assert_close(model.responsibilities(v), shares, rtol=0, atol=1e-14)


def test_divergence_from_an_exact_law_is_the_sum_over_states():
    target, model = ferromagnet((2, 3), device="cpu"), mixture("both")
    expected = kl_divergence(log_weights(target, 0.4), visible_law(model))
    assert kl_to_exact(target, 0.4, model) == pytest.approx(expected, abs=1e-12)


def test_config_and_parameters_give_the_mixture_back(tmp_path):
    model = mixture("both", unit=Bit()).float()
    twin = GENERATORS["mixture"].from_config(json.loads(json.dumps(model.config))).to("cpu")
    assert twin.config == model.config and isinstance(twin, BernoulliMixture)
    save(tmp_path / "a.pt", Checkpoint(model.config, dict(model.state_dict())))
    loaded = load_model(tmp_path / "a.pt", "cpu")
    assert torch.equal(loaded.draw(9, rng("x")), model.draw(9, rng("x")))
    before = torch.get_rng_state()
    first = BernoulliMixture(6, 3, rng=rng("w"), device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.log_odds, BernoulliMixture(6, 3, rng=rng("w"), device="cpu").log_odds)
    assert 0.3 < float(first.log_odds.detach().std()) < 2
    assert float(first.log_weights.detach().exp().sum()) == pytest.approx(1)


def test_bad_input_is_refused():
    for sizes in ((0, 3), (6, 0)):
        with pytest.raises(ValueError, match="1 or more sites and components"):
            BernoulliMixture(*sizes, device="cpu")
    with pytest.raises(ValueError, match="two-valued"):
        BernoulliMixture(6, 3, Gaussian(), device="cpu")
    with pytest.raises(ValueError, match="has not 6 sites"):
        BernoulliMixture(6, 3, shape=(2, 2), device="cpu")
    with pytest.raises(ValueError, match="1 or more, got 0"):
        mixture().draw(0, rng())
