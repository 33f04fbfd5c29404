"""Diffusion models against matrices: the noise, its posterior, every step back, the bound and the whole chain's law."""

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import stats

from ebmphys.energies import ferromagnet
from ebmphys.exact.enumeration import kl_divergence, log_weights
from ebmphys.generators import AbsorbingDiffusion, BitFlipDiffusion
from ebmphys.likelihood import flip_posterior, reverse_chain_law, trajectory_bound
from tests.generators.diffusions import (
    KINDS,
    backward,
    brute_law,
    diffusion,
    divergence,
    every,
    guesses,
    noisings,
    rng,
    site_law,
    site_posterior,
    spins,
)


def p_value(x, law):
    """Chi-square test of draws against a law in the order of ``states``."""
    place = ((x > 0).long() * 2 ** torch.arange(x.shape[-1] - 1, -1, -1)).sum(-1)
    counts, expected = torch.bincount(place, minlength=len(law)).double(), law * len(x)
    common = expected >= 10
    cells = [(counts[common], expected[common]), (counts[~common].sum()[None], expected[~common].sum()[None])]
    observed, expected = (torch.cat(pair) for pair in zip(*cells, strict=True))
    if float(expected[-1]) < 10:
        observed, expected = observed[:-1], expected[:-1] * observed[:-1].sum() / expected[:-1].sum()
    return float(stats.chi2.sf(((observed - expected) ** 2 / expected).sum(), len(expected) - 1))


def test_flips_leave_a_correlation_that_falls_to_zero_and_the_posterior_is_bayes():
    model = diffusion(BitFlipDiffusion, steps=6)
    for t in range(1, 7):
        law = site_law(model, 0, t)
        correlation = float(model.correlation(torch.tensor(t)))
        np.testing.assert_allclose(law, (1 + correlation * np.array([[1, -1], [-1, 1]])) / 2, atol=1e-14)
        for s in range(t):
            if_kept, if_lost = (float(p) for p in model.flip_laws(torch.tensor(t), torch.tensor(s)))
            bayes = site_posterior(model, s, t)  # axes x_0, x_t, x_s
            np.testing.assert_allclose([bayes[0, 0, 1], bayes[1, 1, 0]], if_kept, atol=1e-14)
            np.testing.assert_allclose([bayes[1, 0, 1], bayes[0, 1, 0]], if_lost, atol=1e-14)
    np.testing.assert_allclose(site_law(model, 0, 6), 0.5, atol=1e-14)


def test_a_network_that_says_nothing_leaves_what_a_site_says_itself():
    model = diffusion(BitFlipDiffusion, steps=6)
    model.guess = lambda fields, shared: torch.zeros_like(fields[..., 0, :])
    for t in range(1, 7):
        kept = site_law(model, 0, t)[0, 0]
        np.testing.assert_allclose(guesses(model, [1.0, -1.0, 1.0, 1.0], t), [kept, 1 - kept, kept, kept], atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("symmetric", [False, True])
def test_a_step_back_is_the_posterior_averaged_over_the_guess(kind, symmetric):
    model = diffusion(kind, symmetric=symmetric)
    for t, s in [(5, 4), (3, 2), (1, 0), (5, 2), (4, 0)]:
        x = every(model) if t < 5 or kind is BitFlipDiffusion else np.zeros((1, 4))
        ours = model.transition(torch.as_tensor(x), t, s).numpy()
        np.testing.assert_allclose(ours, [backward(model, row, t, s) for row in x], atol=1e-12)
    # Control: with the guess in place of the average over it, site by site the likelier value of x_0.
    certain = np.stack([1 - guesses(model, x, 3).round(), guesses(model, x, 3).round()], -1)
    assert np.abs(model.transition(torch.as_tensor(x), 3, 0).numpy()[..., :2] - certain).max() > 0.1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("symmetric", [False, True])
def test_each_term_of_the_bound_is_its_divergence(kind, symmetric):
    """Every time and every noisy configuration, so the bound is summed exactly; it stays below log q of every v."""
    model = diffusion(kind, symmetric=symmetric)
    law = reverse_chain_law(model)
    for place in (0, 5, 11, 14):
        v, bound = spins(4)[place].numpy(), 0.0
        for t in range(1, model.steps + 1):
            for probability, x, u in noisings(model, v, t):
                noise = torch.tensor([[(t - 0.5) / model.steps, *u]], dtype=torch.float64)
                term = float(model.elbo(torch.tensor(v)[None], noise).detach())
                bound += probability * term / model.steps
                assert term == pytest.approx(-model.steps * expected_term(model, v, x, t), abs=1e-10)
        assert bound < float(law[place]) - 1e-3
        estimates = model.bound(torch.tensor(v).expand(4000, -1), rng("bound"), 5).double()
        error = float(estimates.std()) / 4000**0.5
        assert abs(float(estimates.mean()) - bound) < 4.5 * error < 0.2


def expected_term(model, v, x, t):
    """What a noisy configuration costs; of the absorbing kind with p and q the same but for what is uncovered."""
    if len(model.symbols) == 2:
        return divergence(model, v, x, t)
    upper = guesses(model, x, t)
    return -(np.log(np.where(v > 0, upper, 1 - upper)) * (x == 0)).sum() / t


def test_what_is_uncovered_is_the_divergence_of_the_step():
    model = diffusion(AbsorbingDiffusion)
    v = np.array([1.0, -1.0, -1.0, 1.0])
    for t in (1, 3, 5):
        for _, x, _ in noisings(model, v, t):
            assert divergence(model, v, x, t) == pytest.approx(expected_term(model, v, x, t), abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_noise_changes_a_site_exactly_at_its_threshold(kind):
    model = diffusion(kind, steps=8).float()
    seen = []
    model.guess = lambda fields, shared: seen.append(fields[..., 0, :]) or torch.zeros_like(fields[..., 0, :])
    for t in range(1, 9):
        kept = (2 - t / 8) / 2 if kind is BitFlipDiffusion else min(t / 8, 1 - 2.0**-24)
        u = torch.tensor([[(t - 1) / 8, kept - 2.0**-24, kept, 0.0, 1 - 2.0**-24]])
        model.elbo(torch.ones(1, 4), u)
    x = torch.cat(seen)
    lost = torch.tensor([False, True, False, True] if kind is BitFlipDiffusion else [True, False, True, False])
    expected = torch.where(lost, -1.0 if kind is BitFlipDiffusion else 0.0, 1.0).expand(8, 4).clone()
    if kind is AbsorbingDiffusion:
        expected[7] = 0.0  # in the last step nothing is seen, whatever the numbers
    torch.testing.assert_close(x, expected)


def test_times_are_uniform_and_evenly_spaced():
    model = diffusion(BitFlipDiffusion, steps=7)
    noise = model.noise(70, rng("times"))
    assert bool((torch.bincount(model.times(noise[:, 0]), minlength=8)[1:] - 10).abs().max() <= 1)
    first = torch.stack([model.noise(3, rng("first", k))[:, 0] for k in range(500)])
    assert stats.kstest(first[:, 1].numpy(), "uniform").pvalue > 1e-4
    assert int(model.times(torch.tensor(1 - 2.0**-24))) == 7 and int(model.times(torch.tensor(0.0))) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [None, 2])
def test_the_chains_law_is_the_product_of_whole_matrices_and_draws_follow_it(kind, steps):
    model = diffusion(kind)
    law = reverse_chain_law(model, steps)
    times = [5, 4, 3, 2, 1, 0] if steps is None else [5, 2, 0]
    np.testing.assert_allclose(law.exp().numpy(), brute_law(model, times), atol=1e-12)
    x = model.draw(40_000, rng("draw"), steps)
    assert p_value(x, law.exp()) > 1e-4
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 1.1
    assert p_value(x, reverse_chain_law(model, steps).exp()) < 1e-8


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_noisings_average_to_the_likelihood(kind):
    model = diffusion(kind, strength=1.0).float()
    v, law = spins(4).float(), reverse_chain_law(model)
    weights = model.log_weights(v.expand(6000, -1, -1), rng("weights of noisings")).double()
    deviation = (weights.exp().mean(0) - law.exp()) / (weights.exp().std(0) / 6000**0.5)
    assert float(deviation.abs().max()) < 4.5
    assert float(((1.05 * weights.exp()).mean(0) / law.exp() - 1).mean()) > 0.03
    elbo, close = weights.mean(0), trajectory_bound(model, v, 200, rng("close"))
    bound = model.bound(v.repeat(2000, 1), rng("bound"), 5).double().reshape(2000, 16)
    error = (weights.mean(-1).var() / 6000 + bound.mean(-1).var() / 2000).sqrt()
    assert float((elbo.mean() - bound.mean()).abs() / error) < 4.5
    assert bool((elbo < law).all()) and float((close - law).abs().max()) < 0.15 < float((law - elbo).max())


class BestFlips(BitFlipDiffusion):
    """The guess that Bayes makes for a known law, in place of the network's."""

    def logits(self, x, t):
        _, upper = flip_posterior(self.log_p, 0.5 * float(t.flatten()[0]) / self.steps)
        return upper.logit()[((x > 0).long() * 2 ** torch.arange(self.n_visible - 1, -1, -1)).sum(-1)]


def best_divergences(beta_of_the_guess):
    target, beta = ferromagnet((2, 3), device="cpu"), 0.44
    found = []
    for steps in (4, 8, 16, 32):
        model = BestFlips(6, steps, device="cpu")
        model.log_p = log_weights(target, beta_of_the_guess)
        found.append(kl_divergence(log_weights(target, beta), reverse_chain_law(model)))
    return np.array(found)


def test_with_the_best_guess_the_divergence_falls_as_the_square_of_the_steps():
    found = best_divergences(0.44)
    assert found[-1] < 1.5e-3
    np.testing.assert_allclose(found[1:-1] / found[2:], 4, rtol=0.3)
    assert best_divergences(0.42)[-1] > 4 * found[-1]  # a guess for a beta too low by 5 % stays off


class BestUncovering(AbsorbingDiffusion):
    def logits(self, x):
        every_v = spins(self.n_visible)
        agrees = ((x[..., None, :] == 0) | (x[..., None, :] == every_v)).all(-1)
        weights = torch.softmax(self.log_p, 0) * agrees
        upper = weights @ (every_v > 0).double() / weights.sum(-1, keepdim=True)
        return upper.logit()


def one_by_one(model, n):
    """The law of uncovering one site after another in random order: a sum over the sets that are seen already."""
    law = torch.zeros(2**n, dtype=torch.float64)
    for place, v in enumerate(spins(n)):
        seen = {frozenset(): 1.0}
        for size in range(n):
            for some in combinations(range(n), size):
                x = torch.zeros(n, dtype=torch.float64)
                x[list(some)] = v[list(some)]
                p = (v * model.logits(x[None])[0]).sigmoid()
                for site in set(range(n)) - set(some):
                    more = frozenset({*some, site})
                    seen[more] = seen.get(more, 0.0) + seen[frozenset(some)] * float(p[site]) / (n - size)
        law[place] = seen[frozenset(range(n))]
    return law


def test_uncovered_one_by_one_with_the_best_guess_the_law_is_exact_and_the_bound_tight():
    model = BestUncovering(4, device="cpu")
    model.log_p = log_weights(ferromagnet((2, 2), device="cpu"), 0.3) + 0.4 * spins(4)[:, 0]
    p = torch.softmax(model.log_p, 0)
    torch.testing.assert_close(one_by_one(model, 4), p, atol=1e-12, rtol=0)
    assert p_value(model.draw(20_000, rng("best")), p) > 1e-4
    weights = model.log_weights(spins(4).expand(50, -1, -1), rng("weights")).double()
    torch.testing.assert_close(weights, p.log().expand(50, -1), atol=1e-5, rtol=0)


def test_one_by_one_is_the_limit_of_many_steps_and_what_is_drawn():
    many, model = diffusion(AbsorbingDiffusion, steps=200), diffusion(AbsorbingDiffusion, steps=None)
    with torch.no_grad():
        law = one_by_one(model, 4)
    assert p_value(model.draw(40_000, rng("limit")), law) > 1e-4
    assert abs(kl_divergence(law.log(), reverse_chain_law(many))) < 1e-4
    coarse = reverse_chain_law(model, 3)
    assert p_value(model.draw(40_000, rng("coarse"), 3), coarse.exp()) > 1e-4
    assert p_value(model.draw(40_000, rng("limit")), coarse.exp()) < 1e-8
    with pytest.raises(ValueError, match="any number"):
        reverse_chain_law(model)
    v = spins(4).float()
    bound = model.float().bound(v.repeat(3000, 1), rng("b"), 4).double().reshape(3000, 16)
    weights = model.log_weights(v.expand(3000, -1, -1), rng("w")).double()
    error = (bound.var(0) / 3000 + weights.var(0) / 3000).sqrt()
    assert float(((bound.mean(0) - weights.mean(0)) / error).abs().max()) < 4.5
