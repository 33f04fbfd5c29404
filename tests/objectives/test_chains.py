"""Negative phases of chains: what they draw from, and what they keep."""

import copy

import pytest
import torch

from ebmphys.energies import RBM
from ebmphys.exact.enumeration import log_weights, visible_states
from ebmphys.objectives import FastPersistent, FromData, Persistent, RandomStart, Tempered, TrajectoryTempered, TwoPhase
from ebmphys.samplers import BlockGibbs, Chains, Metropolis
from ebmphys.train.monitors.persistent import copied_chains
from ebmphys.units import Bit, Spin
from tests.objectives.exactly import data_of, deviations, gradient, kl_gradient, rng, small_rbm
from tests.samplers.laws import exact_draws, p_value

BETAS = (0.3, 0.65, 1.0)


def two_modes(strength=4.0):
    """A machine whose chains do not cross from all up to all down by Gibbs steps."""
    model = RBM(6, 2, device="cpu")
    with torch.no_grad():
        model.weights[:, 0] = strength
    return model


def crossings(phase, updates=60):
    """The share of chains that are down after updates on a frozen two-mode machine, all having started up.

    The data are down, so that what learns from the difference has a reason to move.
    """
    model, objective = two_modes(), TwoPhase(phase)
    objective(model, torch.ones(50, 6))
    for _ in range(updates):
        objective(model, -torch.ones(50, 6))
    return float((phase.chains.x[:, :6].sum(1) < 0).double().mean())


def steps_from_noise(model, k):
    """The law of k sweeps (hidden, then visible) from uniform visible spins, enumerated."""
    v, h = visible_states(model), visible_states(RBM(model.n_hidden, 1, device="cpu"))
    joint = v @ model.weights @ h.T + (v @ model.visible_bias)[:, None] + h @ model.hidden_bias
    matrix = (torch.softmax(joint, 1) @ torch.softmax(joint, 0).T).detach().double()
    return torch.full((len(v),), 1 / len(v), dtype=torch.float64) @ torch.linalg.matrix_power(matrix, k)


def chi_square(x, law):
    """(sum (observed - expected)^2 / expected - degrees) / sqrt(2 degrees) of visible spins."""
    place = ((x > 0).long() * 2 ** torch.arange(x.shape[1] - 1, -1, -1)).sum(1)
    expected = law * len(x)
    observed = torch.bincount(place, minlength=len(law))
    degrees = len(law) - 1
    return float((((observed - expected) ** 2 / expected).sum() - degrees) / (2 * degrees) ** 0.5)


def test_random_starts_draw_from_k_steps_off_noise():
    model = small_rbm(scale=0.8)
    x = RandomStart(2, rng("noise"), n_chains=40_000).draw(model, torch.ones(3, 6)).x[:, :6]
    assert abs(chi_square(x, steps_from_noise(model, 2))) < 4.5
    assert chi_square(x, steps_from_noise(model, 3)) > 20  # control: a step more is seen
    assert chi_square(x, torch.softmax(log_weights(model), 0)) > 20  # nor is it the model's law


def test_only_random_starts_warn():
    phase = RandomStart(7, rng(), 10)
    assert "7 steps off noise" in phase.warning and "not to be trusted" in phase.warning
    assert not any(kind(1, rng()).warning for kind in (FromData, Persistent, FastPersistent, Tempered))
    with pytest.raises(ValueError, match="n_chains must be 1 or more"):
        RandomStart(1, rng(), 0)


def test_fast_weights_at_rate_zero_change_nothing():
    model, (data, _) = small_rbm(), data_of(small_rbm(), 200)
    slow, fast = Persistent(2, rng("same"), 30), FastPersistent(2, rng("same"), 30, rate=0.0)
    for _ in range(3):
        one, other = (gradient(model, TwoPhase(phase)(model, data)) for phase in (slow, fast))
        assert torch.equal(one, other) and torch.equal(slow.chains.x, fast.chains.x)


def test_fast_weights_tell_what_steps_their_chains():
    phase = FastPersistent(1, rng("stepped"), 10, make_sampler=Metropolis)
    model = small_rbm()
    phase.draw(model, torch.ones(4, 6))
    sampler, copies = copied_chains(model, TwoPhase(phase), 5, rng("copies"))
    assert type(sampler) is Metropolis and len(copies.x) == 5
    assert FastPersistent(1, rng(), 10).make_sampler is BlockGibbs


def test_fast_weights_follow_the_gradient_and_decay():
    model, (data, _) = small_rbm(), data_of(small_rbm(), 200)
    before = copy.deepcopy(model.state_dict())
    objective = TwoPhase(FastPersistent(2, rng("fast"), 30, rate=0.3, decay=0.9))
    expected = [torch.zeros_like(p) for p in model.parameters()]
    for _ in range(4):
        driven = copy.deepcopy(model)  # the energy that the chains should see
        with torch.no_grad():
            for p, f in zip(driven.parameters(), expected, strict=True):
                p.add_(f)
        by_hand = copy.deepcopy(objective.negative.slow)
        by_hand.rng = rng("fast")
        by_hand.rng.set_state(objective.negative.slow.rng.get_state())
        if by_hand.chains is not None:
            by_hand.chains.rng = by_hand.rng
        wanted = by_hand.draw(driven, data).x
        grads = torch.autograd.grad(objective(model, data), list(model.parameters()))
        assert torch.equal(objective.draws.x, wanted)
        expected = [0.9 * f - 0.3 * g for f, g in zip(expected, grads, strict=True)]
        for f, (name, _) in zip(expected, model.named_parameters(), strict=True):
            torch.testing.assert_close(objective.negative.fast[name], f)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_fast_weights_and_tempering_cross_between_modes():
    options = {"n_chains": 400, "flips": False}
    assert crossings(Persistent(1, rng("stuck"), **options)) == 0
    assert crossings(FastPersistent(1, rng("driven"), rate=0.2, **options)) > 0.1
    share = crossings(Tempered(2, rng("tempered"), betas=(0.02, 0.08, 0.2, 0.4, 0.7, 1.0), **options))
    assert abs(share - 0.5) < 4 * 0.5 / 20


class MarginalEnergy(Chains):
    """Chains that trade by F_1(v), as if beta F_1(v) were what a chain at beta samples."""

    def energy(self, model):
        return model.free_energy(self.x[..., : model.n_visible])


def tempered_draws(kind, model, n=60_000):
    phase = Tempered(1, rng("exchange", kind.__name__), n_chains=n, betas=BETAS, flips=kind is Chains)
    x = torch.stack([exact_draws(model, beta, n, seed) for seed, beta in enumerate(BETAS)], 1)
    phase.ladders = kind(x, torch.tensor(BETAS), phase.rng)
    draws = phase.draw(model, torch.ones(1, model.n_visible))
    assert torch.equal(draws.x, phase.chains.x) and phase.chains.beta == 1
    return phase


@pytest.mark.parametrize("hidden", [Spin(), Bit()])
def test_tempered_chains_keep_the_law_of_every_temperature(hidden):
    model = small_rbm(Spin(), hidden, scale=1.0, n_visible=4)
    phase = tempered_draws(Chains, model)
    assert all(p_value(model, beta, phase.ladders.x[:, k]) > 1e-4 for k, beta in enumerate(BETAS))
    assert p_value(model, 1.05, phase.chains.x) < 1e-6  # control: 5 % in beta is seen
    rate = phase.swap_rate
    assert ((rate > 0.05) & (rate < 0.95)).all()
    longer = Tempered(3, phase.rng, n_chains=len(phase.chains.x), betas=BETAS)
    longer.load_state_dict(phase.state_dict())
    longer.draw(model, torch.ones(1, 4))
    torch.testing.assert_close(longer.swap_rate, rate, atol=0.01, rtol=0)  # a mean over steps, not a sum


def test_trades_by_the_free_energy_at_beta_one_are_seen_to_be_wrong():
    model = small_rbm(scale=1.0, n_visible=4)
    phase = tempered_draws(MarginalEnergy, model)
    assert min(p_value(model, beta, phase.ladders.x[:, k]) for k, beta in enumerate(BETAS)) < 1e-6


@pytest.mark.parametrize("make", [Tempered, TrajectoryTempered])
def test_tempered_chains_reach_the_gradient_of_the_kl(make):
    model = small_rbm()
    data, law = data_of(model)
    objective = TwoPhase(make(5, rng("gradient", make.__name__), n_chains=5000))
    for _ in range(3):
        objective(model, data)
    assert deviations(model, objective, data, kl_gradient(model, law), 30).abs().max() < 4.5
    assert deviations(model, objective, data, kl_gradient(small_rbm(scale=0.55), law), 30).abs().max() > 15


@pytest.mark.parametrize("make", [RandomStart, FastPersistent, Tempered, TrajectoryTempered])
def test_a_restored_phase_continues_bit_for_bit(make):
    model, (data, _) = small_rbm(), data_of(small_rbm(), 100)
    first = TwoPhase(make(2, rng("state"), 20))
    for _ in range(2):
        first(model, data)
    state = copy.deepcopy(first.state_dict())

    def go_on(objective):
        found = []
        for _ in range(3):
            objective(model, data)
            found.append(objective.draws.x.clone())
        return found

    expected = go_on(first)
    second = TwoPhase(make(2, rng("other"), 20))
    assert not all(torch.equal(one, two) for one, two in zip(go_on(copy_of(second)), expected, strict=True))
    second.load_state_dict(state)
    assert all(torch.equal(one, two) for one, two in zip(go_on(second), expected, strict=True))


def copy_of(objective):
    """The same phase with a generator of its own: generators cannot be copied."""
    return TwoPhase(type(objective.negative)(2, rng("other"), 20))


@pytest.mark.parametrize("make", [Persistent, FastPersistent, Tempered, TrajectoryTempered])
def test_another_number_of_chains_is_not_taken_up(make):
    model, (data, _) = small_rbm(), data_of(small_rbm(), 100)
    phase = make(1, rng(), 20)
    TwoPhase(phase)(model, data)
    with pytest.raises(ValueError, match="20 chains are stored, the negative phase has n_chains = 30"):
        make(1, rng(), 30).load_state_dict(phase.state_dict())


def test_ladders_and_rates_that_make_no_phase_are_refused():
    for betas in [(1.0,), (0.5, 0.9), (0.9, 0.5, 1.0), (-0.1, 1.0)]:
        with pytest.raises(ValueError, match="betas must rise"):
            Tempered(1, rng(), betas=betas)
    with pytest.raises(ValueError, match="rate >= 0 and 0 <= decay < 1"):
        FastPersistent(1, rng(), decay=1.0)
    with pytest.raises(ValueError, match="acceptance must lie between 0 and 1"):
        TrajectoryTempered(1, rng(), acceptance=1.0)
    with pytest.raises(ValueError, match="most must be 2 or more"):
        TrajectoryTempered(1, rng(), most=1)
    phase = Tempered(1, rng(), 20, betas=BETAS)
    phase.draw(small_rbm(), torch.ones(4, 6))
    with pytest.raises(ValueError, match="3 temperatures are stored, the negative phase has 2"):
        Tempered(1, rng(), 20, betas=(0.5, 1.0)).load_state_dict(phase.state_dict())
