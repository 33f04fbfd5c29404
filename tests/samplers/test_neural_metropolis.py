"""Neural Metropolis: its transition matrix, one step from exact draws, and tau against that matrix."""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from ebmphys.energies import Ising, ferromagnet
from ebmphys.exact.enumeration import log_weights, visible_states
from ebmphys.generators import BernoulliMixture
from ebmphys.lattice import Lattice
from ebmphys.likelihood import visible_law
from ebmphys.rng import generator
from ebmphys.samplers import Chains, Metropolis, MultiSpin, NeuralMetropolis, ReplicaExchange, Schedule, draws, record
from ebmphys.stats import tau_int
from ebmphys.units import Bit
from tests.models import small_models
from tests.samplers.laws import exact_draws, p_value

MODELS = small_models()
NAMES = ("ising 2x4", "ising 3x4 field", "+-J 3x4", "bm complete bits")
DRAWS = 100_000
THRESHOLD = 1e-4


def rng(*path):
    return generator(47, *path, device="cpu")


def mixture(target, scale=0.6, **options):
    """A law that is far from the target's and from symmetric, with tails that cover it."""
    model = BernoulliMixture(target.n_visible, 3, target.visible_unit, **options, device="cpu")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=rng("mixture", name)))
    return model


@dataclass(frozen=True)
class Scripted:
    """A proposal whose next draws are given."""

    model: BernoulliMixture
    x: torch.Tensor

    @property
    def n_visible(self):
        return self.model.n_visible

    @property
    def visible_unit(self):
        return self.model.visible_unit

    def draw(self, n, rng):
        assert n == len(self.x)
        return self.x

    def log_prob(self, v):
        return self.model.log_prob(v)


def transitions(target, model, beta):
    """The law, min(1, [p(x') q(x)] / [p(x) q(x')]) of every pair of states and the matrix, in float64; (from, to)."""
    log_p, log_q = log_weights(target, beta).log_softmax(0).numpy(), visible_law(model).numpy()
    weight = log_p - log_q
    accept = np.exp(np.minimum(0, weight[None, :] - weight[:, None]))
    matrix = accept * np.exp(log_q)
    matrix[np.diag_indices(len(matrix))] += 1 - matrix.sum(1)
    return np.exp(log_p), accept, matrix


@pytest.mark.parametrize("name", ["ising 2x4", "bm complete bits"])
def test_every_decision_is_at_its_threshold_and_the_matrix_keeps_the_law(name, monkeypatch):
    target, beta = deepcopy(MODELS[name]).double(), 0.7
    model = mixture(target).double()
    states = visible_states(MODELS[name]).double()
    n = len(states)
    here, there = states.repeat_interleave(n, 0), states.repeat(n, 1)
    p, accept, matrix = transitions(target, model, beta)
    for shift, taken in ((-1e-9, True), (1e-9, False)):
        u = torch.from_numpy(accept.ravel()) + shift
        monkeypatch.setattr("ebmphys.samplers.metropolis.uniforms", lambda shape, rng, u=u: u)
        chains = Chains(here.clone(), torch.tensor(beta, dtype=torch.float64), rng())
        happened = NeuralMetropolis(target, Scripted(model, there)).step(chains)["acceptance"]
        decided = u < 1  # beyond, no uniform is
        assert (happened[decided] == taken).all() and decided.double().mean() > 0.4
        assert torch.equal(chains.x[decided], (there if taken else here)[decided])
    assert np.abs(p @ matrix - p).max() < 1e-12
    assert np.abs(p[:, None] * matrix - (p[:, None] * matrix).T).max() < 1e-12


@pytest.mark.parametrize("beta", [0.15, 0.4])
@pytest.mark.parametrize("name", NAMES)
def test_exact_draws_stay_exact(name, beta):
    target = MODELS[name]
    for local in (None, Metropolis(target)):
        chains = Chains(exact_draws(target, beta, DRAWS, seed=1), torch.tensor(beta), rng(name))
        sampler = NeuralMetropolis(target, mixture(target), local)
        rates = [sampler.step(chains)["acceptance"].mean() for _ in range(3)]
        assert 0.02 < torch.stack(rates).mean() < 0.95
        assert p_value(target, beta, chains.x) > THRESHOLD


class Inverted(NeuralMetropolis):
    def _proposed(self, x, rng):
        proposed, log_ratio = super()._proposed(x, rng)
        return proposed, -log_ratio


class WithoutQ(NeuralMetropolis):
    def _proposed(self, x, rng):
        proposed, log_ratio = super()._proposed(x, rng)
        return proposed, torch.zeros_like(log_ratio)


class OffByAFifth(NeuralMetropolis):
    def _proposed(self, x, rng):
        proposed, log_ratio = super()._proposed(x, rng)
        return proposed, 1.2 * log_ratio


@pytest.mark.parametrize("wrong", [Inverted, WithoutQ, OffByAFifth])
def test_a_wrong_ratio_is_rejected(wrong):
    """The control of the test above."""
    target, beta = MODELS["ising 3x4 field"], 0.3
    chains = Chains(exact_draws(target, beta, 2 * DRAWS, seed=1), torch.tensor(beta), rng())
    for _ in range(5):
        wrong(target, mixture(target)).step(chains)
    assert p_value(target, beta, chains.x) < THRESHOLD


def test_every_chain_keeps_its_own_beta():
    target, betas = MODELS["ising 3x4 field"], [0.1, 0.3, 0.7]
    start = torch.stack([exact_draws(target, beta, DRAWS // 2, seed=5) for beta in betas])
    chains = Chains(start, torch.tensor(betas)[:, None], rng("betas"))
    for _ in range(3):
        NeuralMetropolis(target, mixture(target)).step(chains)
    for beta, x in zip(betas, chains.x, strict=True):
        assert p_value(target, beta, x) > THRESHOLD
    assert p_value(target, betas[0], chains.x[1]) < THRESHOLD


def test_chains_that_something_else_moves_in_between_stay_exact():
    target, beta = MODELS["ising 3x4"], 0.4
    chains = Chains(exact_draws(target, beta, DRAWS, seed=1), torch.tensor(beta), rng("moved"))
    sampler = NeuralMetropolis(target, mixture(target, 1.0))
    for _ in range(3):
        sampler.step(chains)
        chains.x.neg_()
    assert p_value(target, beta, chains.x) > THRESHOLD


def test_a_ladder_of_temperatures_may_trade():
    target, betas = MODELS["ising 3x4"], (0.2, 0.35)
    sampler = ReplicaExchange(NeuralMetropolis(target, mixture(target, 0.2)))
    chains = sampler.init(DRAWS // 2, 2, beta=torch.tensor(betas), rng=rng("ladder"))
    chains.x = torch.stack([exact_draws(target, beta, DRAWS // 2, seed=k) for k, beta in enumerate(betas)], 1)
    for _ in range(3):
        sampler.step(chains)
    for number, beta in enumerate(betas):
        assert p_value(target, beta, chains.x[:, number]) > THRESHOLD


def test_a_proposal_that_is_the_law_is_always_accepted_and_tau_is_a_half():
    target, beta = Ising(Lattice((3, 3)), 0.0, 0.7, device="cpu"), 0.6
    model = BernoulliMixture(9, 1, device="cpu")
    with torch.no_grad():
        model.log_odds.fill_(2 * beta * 0.7)
    sampler = NeuralMetropolis(target, model)
    chains = sampler.init(50, beta=beta, rng=rng("perfect"))
    assert p_value(target, beta, sampler.init(DRAWS, beta=beta, rng=rng("init")).x) > THRESHOLD
    rates = [sampler.step(chains)["acceptance"] for _ in range(20)]
    assert torch.stack(rates).mean() > 0.999
    series = record(sampler, chains, Schedule(200), {"e": target.energy})["e"]
    assert tau_int(series.numpy()).value == pytest.approx(0.5, abs=0.05)
    with torch.no_grad():
        model.log_odds.mul_(0.9)
    assert torch.stack([sampler.step(chains)["acceptance"] for _ in range(20)]).mean() < 0.99


def test_tau_is_that_of_the_transition_matrix():
    target, beta = MODELS["ising 2x4"], 0.25
    model = mixture(target, 0.3)
    p, _, matrix = transitions(target, model, beta)
    e = target.energy(visible_states(target)).double().numpy()
    e -= p @ e
    # sum over t >= 0 of <e(0) e(t)> solves (1 - P) f = e, with <f> = 0.
    f = np.linalg.solve(np.eye(len(p)) - matrix + p, e)
    expected = (p * e) @ f / ((p * e) @ e) - 0.5
    sampler = NeuralMetropolis(target, model)
    chains = Chains(exact_draws(target, beta, 400, seed=2), torch.tensor(beta), rng("tau"))
    series = record(sampler, chains, Schedule(500), {"e": target.energy})["e"]
    found = tau_int(series.numpy())
    assert expected > 1.2
    assert abs(found.value - expected) < 4 * found.error


def test_sweeps_reach_what_the_proposal_never_draws():
    target, beta = ferromagnet((2, 4), device="cpu"), 0.3
    model = BernoulliMixture(8, 1, device="cpu")
    with torch.no_grad():
        model.log_odds.fill_(30.0)  # every spin up
    alone, mixed = NeuralMetropolis(target, model), NeuralMetropolis(target, model, Metropolis(target))
    for sampler, right in ((alone, False), (mixed, True)):
        chains = sampler.init(20_000, beta=beta, rng=rng("reach"))
        assert (chains.x == 1).all()
        for _ in range(60):
            happened = sampler.step(chains)
        assert ("local_acceptance" in happened) is right
        assert (p_value(target, beta, chains.x) > THRESHOLD) is right


@pytest.mark.parametrize("local", [False, True])
def test_stopping_and_going_on_visits_the_same_states(local):
    target = MODELS["ising 3x4"]
    sampler = NeuralMetropolis(target, mixture(target), Metropolis(target) if local else None)
    start = lambda: sampler.init(5, 2, beta=0.3, rng=rng("same"))  # noqa: E731
    whole = [c.x.clone() for c in draws(sampler, start(), Schedule(6, 2, 3))]
    chains = start()
    first = [c.x.clone() for c in draws(sampler, chains, Schedule(2, 2, 3))]
    again = sampler.init(5, 2, beta=0.3, rng=rng("other"))
    again.restore(chains.state())
    rest = [c.x.clone() for c in draws(sampler, again, Schedule(4, 2))]
    assert all(torch.equal(a, b) for a, b in zip(whole, first + rest, strict=True))


def test_bad_input_is_refused():
    target = MODELS["ising 3x4"]
    with pytest.raises(ValueError, match="12 sites and the proposal 8"):
        NeuralMetropolis(target, mixture(MODELS["ising 2x4"]))
    with pytest.raises(ValueError, match="draws a bit"):
        NeuralMetropolis(target, BernoulliMixture(12, 2, Bit(), device="cpu"))
    with pytest.raises(ValueError, match="4 hidden sites"):
        NeuralMetropolis(MODELS["rbm spin-spin"], BernoulliMixture(6, 2, device="cpu"))
    other = ferromagnet((3, 4), device="cpu")
    for sampler in (Metropolis(other), MultiSpin(other)):
        with pytest.raises(ValueError, match="same target"):
            NeuralMetropolis(target, mixture(target), sampler)
    broken = mixture(target)
    with torch.no_grad():
        broken.log_odds[0, 0] = float("nan")
    chains = Chains(torch.ones(4, 12), torch.tensor(0.3), rng())
    with pytest.raises(ValueError, match="not a number"):
        NeuralMetropolis(target, broken).step(chains)
