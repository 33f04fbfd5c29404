"""Objectives against exact gradients: enumerated laws, enumerated transition matrices, chains stepped by hand."""

import copy
import dataclasses
import itertools

import pytest
import torch

from ebmphys.energies import RBM, Ising
from ebmphys.exact.enumeration import log_weights, visible_states
from ebmphys.generators import VAE
from ebmphys.lattice import Lattice
from ebmphys.likelihood import log_likelihood
from ebmphys.objectives import (
    ELBO,
    ContrastiveDivergence,
    Draws,
    FromData,
    Persistent,
    Stateful,
    TwoPhase,
)
from ebmphys.samplers import BlockGibbs, Chains, Metropolis, can_flip, offer_flips
from ebmphys.units import Bit, Gaussian, Spin
from tests.objectives.exactly import (
    data_of,
    deviations,
    gradient,
    kl_gradient,
    rng,
    rows_in_proportion,
    small_rbm,
    target_law,
)

UNITS = [(Spin(), Spin()), (Spin(), Bit()), (Bit(), Spin()), (Bit(), Bit())]


@dataclasses.dataclass
class ExactPhase:
    """The model's own law, or that of another beta, in proportion."""

    beta: float = 1.0
    warning: str = ""

    def draw(self, model, v):
        return Draws(rows_in_proportion(torch.softmax(log_weights(model, self.beta), 0), visible_states(model)))

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


@pytest.mark.parametrize("visible, hidden", UNITS)
def test_gradient_with_an_exact_negative_phase_is_that_of_the_kl(visible, hidden):
    model, law = small_rbm(visible, hidden).double(), target_law()
    data = rows_in_proportion(law, visible_states(model))
    exact = kl_gradient(model, law)
    assert exact.abs().max() > 0.1
    torch.testing.assert_close(gradient(model, TwoPhase(ExactPhase())(model, data)), exact, atol=1e-4, rtol=0)
    warm = gradient(model, TwoPhase(ExactPhase(beta=0.99))(model, data))  # control: 1 % in beta is seen
    assert (warm - exact).abs().max() > 1e-3


def step_matrix(model):
    """T(v, v') = sum_h p(h | v) p(v' | h) of an RBM of spins, enumerated."""
    v = visible_states(model)
    h = visible_states(RBM(model.n_hidden, 1, device="cpu"))
    joint = v @ model.weights @ h.T + (v @ model.visible_bias)[:, None] + h @ model.hidden_bias
    return (torch.softmax(joint, 1) @ torch.softmax(joint, 0).T).detach().double()


def test_contrastive_divergence_has_the_gradient_of_one_enumerated_step():
    model = small_rbm()
    states, (data, law) = visible_states(model), data_of(model)

    def expected(steps):
        after = law @ torch.linalg.matrix_power(step_matrix(model), steps)
        return gradient(model, ((law - after) * model.free_energy(states).double()).sum())

    objective = ContrastiveDivergence(1, rng("cd"), persistent=False)
    assert deviations(model, objective, data, expected(1)).abs().max() < 4.5
    assert deviations(model, objective, data, expected(2)).abs().max() > 20  # control: a step more is seen


def test_persistent_chains_reach_the_gradient_of_the_kl():
    model = small_rbm()
    data, law = data_of(model)
    objective = ContrastiveDivergence(10, rng("pcd"), n_chains=20_000)
    objective(model, data)
    exact = kl_gradient(model, law)
    assert deviations(model, objective, data, exact).abs().max() < 4.5
    biased = ContrastiveDivergence(1, rng("cd"), persistent=False)  # control: CD-1 is not the KL's gradient
    assert deviations(model, biased, data, exact).abs().max() > 20


def test_persistent_chains_are_those_of_the_sampler_stepped_by_hand():
    model, data = small_rbm(), visible_states(small_rbm())[:10]
    phase, by_hand = Persistent(3, rng("a"), n_chains=25, flips=False), rng("a")
    sampler = BlockGibbs(model)
    chains = sampler.init(25, rng=by_hand)
    chains.x[:, :6] = data[torch.arange(25) % 10]
    seen = []
    for _ in range(4):
        for _ in range(3):
            sampler.step(chains)
        seen.append(phase.draw(model, data).x[:, :6].clone())
        assert torch.equal(seen[-1], chains.x[:, :6])
    assert all(not torch.equal(one, other) for one, other in itertools.pairwise(seen))


@pytest.mark.parametrize("visible, hidden", UNITS)
def test_offered_flips_leave_the_law_of_the_model_as_it_is(visible, hidden):
    model = small_rbm(visible, hidden, n_visible=4)
    states, law = visible_states(model), torch.softmax(log_weights(model), 0)
    start = rows_in_proportion(law, states).float()
    chains = Chains(torch.cat([start, torch.zeros(len(start), 3)], 1), torch.tensor(1.0), rng("flips"))
    offer_flips(model, chains)
    code = lambda v: ((v == model.visible.values[1]) * 2 ** torch.arange(4)).sum(1)  # noqa: E731
    after = torch.bincount(code(chains.x[:, :4]), minlength=16)[code(states)]
    error = (len(start) * law).sqrt()
    assert ((after - len(start) * law) / error).abs().max() < 4
    moved = float((chains.x[:, :4] != start).all(1).double().mean())
    turned = law[[int((code(states) == c).nonzero()) for c in code(sum(visible.values) - states)]]
    assert moved == pytest.approx(float(torch.minimum(law, turned).sum()) / 2, abs=4e-3)
    assert 0.05 < moved < 0.5


def test_flips_are_offered_only_where_they_are_right():
    assert can_flip(small_rbm()) and can_flip(small_rbm(Bit(), Bit())) and can_flip(Ising(Lattice((3,)), device="cpu"))
    assert can_flip(small_rbm(Spin(), Gaussian())) and not can_flip(small_rbm(Gaussian(), Spin()))


def test_contrastive_divergence_starts_at_the_data():
    model = small_rbm(scale=0.0)
    with torch.no_grad():
        model.weights[:, 0] = 20.0  # two states only, all up and all down: no step leaves them
    data = torch.ones(50, 6) * torch.where(torch.arange(50) < 10, 1.0, -1.0)[:, None]
    assert torch.equal(FromData(5, rng("frozen")).draw(model, data).x[:, :6], data)
    loose = FromData(5, rng("loose")).draw(small_rbm(scale=0.1), data).x[:, :6]
    assert 0.3 < (loose != data).float().mean() < 0.7


class Attached:
    """A sampler that moves along gradients and leaves its graph on the chains."""

    def __init__(self, model):
        self.model = model

    def init(self, *batch, beta=1.0, rng):
        return Chains(torch.zeros(*batch, self.model.n_sites), torch.tensor(beta), rng)

    def step(self, chains):
        with torch.enable_grad():
            chains.x = chains.x + self.model.weights.sum()
        return {}


@pytest.mark.parametrize("phase", [Persistent, FromData])
def test_no_gradient_flows_through_the_draws(phase):
    model = small_rbm(Gaussian(), Spin())
    data = torch.randn(30, 6, generator=rng("data"))
    negative = phase(2, rng("draws"), make_sampler=Attached)
    fixed = copy.deepcopy(negative)
    found = gradient(model, TwoPhase(negative)(model, data))
    draws = fixed.draw(model, data).x[:, :6].detach().clone()
    expected = gradient(model, model.free_energy(data).mean() - model.free_energy(draws).mean())
    torch.testing.assert_close(found, expected)
    assert phase is FromData or not negative.chains.x.requires_grad
    gradient(model, TwoPhase(negative)(model, data))  # a second update needs nothing of the first's graph


@pytest.mark.parametrize("persistent", [True, False])
def test_a_restored_objective_continues_bit_for_bit(persistent):
    model, data = small_rbm(), visible_states(small_rbm())[::3]
    first = ContrastiveDivergence(2, rng("state"), persistent=persistent, n_chains=20)
    assert isinstance(first, Stateful)
    first(model, data)
    state = copy.deepcopy(first.state_dict())
    expected = [first.negative.draw(model, data).x.clone() for _ in range(3)]
    second = ContrastiveDivergence(2, rng("other"), persistent=persistent, n_chains=20)
    second.load_state_dict(state)
    assert all(torch.equal(second.negative.draw(model, data).x, draws) for draws in expected)


def test_elbo_is_minus_the_mean_bound_and_above_the_exact_value():
    model = VAE(6, (8,), 2, rng=rng("vae"), device="cpu")
    data = visible_states(small_rbm())
    loss = ELBO(rng("noise"), draws=3)(model, data)
    noise = model.noise(3 * len(data), rng("noise")).reshape(3, len(data), 2)
    torch.testing.assert_close(loss, -model.elbo(data, noise).mean())
    exact = -float(log_likelihood(model, data).mean())
    many = ELBO(rng("many"), draws=500)(model, data).item()
    assert exact < many < exact + 2
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_bad_settings_and_models_are_refused():
    with pytest.raises(ValueError, match="k must be 1 or more, got 0"):
        ContrastiveDivergence(0, rng())
    with pytest.raises(ValueError, match="n_chains must be 1 or more"):
        ContrastiveDivergence(1, rng(), n_chains=0)
    with pytest.raises(ValueError, match="draws must be 1 or more"):
        ELBO(rng(), draws=0)
    with pytest.raises(ValueError, match="RBM has no ELBO"):
        ELBO(rng())(small_rbm(), torch.ones(2, 6))
    with pytest.raises(ValueError, match="VAE is none: use ELBO"):
        ContrastiveDivergence(1, rng())(VAE(6, (8,), 2, device="cpu"), torch.ones(2, 6))
    phase = Persistent(1, rng(), n_chains=4)
    with pytest.raises(ValueError, match="3 chains are stored"):
        phase.load_state_dict({"rng": rng().get_state(), "chains": {"x": torch.ones(3, 9), "beta": torch.ones(())}})
    with pytest.raises(ValueError, match="not one of a generator on cpu"):
        phase.load_state_dict({"rng": torch.zeros(16, dtype=torch.uint8), "chains": {}})


def test_flips_are_right_before_any_sampler():
    # Metropolis does not draw hidden units anew: stale ones after a flip would be a joint state of the wrong law.
    model = small_rbm(n_visible=4)
    states, law = visible_states(model), torch.softmax(log_weights(model), 0)
    chains = Metropolis(model).init(20_000, rng=rng("any"))
    for _ in range(60):
        offer_flips(model, chains)
        Metropolis(model).step(chains)
    place = ((chains.x[:, :4] > 0) * 2 ** torch.arange(4)).sum(1)
    order = ((states > 0) * 2 ** torch.arange(4)).sum(1)
    counts = torch.bincount(place, minlength=16)[order]
    assert ((counts - 20_000 * law) / (20_000 * law).sqrt()).abs().max() < 4.5
