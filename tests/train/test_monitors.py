"""Monitors against what is known without them: enumerated laws, transition matrices, textbook statistics."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import ttest_ind

from ebmphys.energies import RBM, ConvolutionalRBM, DeepBoltzmannMachine, ferromagnet
from ebmphys.exact.enumeration import log_weights, visible_states
from ebmphys.lattice import Lattice
from ebmphys.likelihood import log_likelihood
from ebmphys.objectives import ContrastiveDivergence, Penalised
from ebmphys.observables import energy_per_site
from ebmphys.rng import generator
from ebmphys.samplers import Chains
from ebmphys.train import BracketedLikelihood, chain_deviation, chain_tau, data_mean, singular_value, suited
from ebmphys.train.monitors import likelihoods
from ebmphys.train.monitors.persistent import absolute, copied_chains, positive
from ebmphys.units import Bit, Gaussian, Spin
from tests.models import random_rbm
from tests.samplers.laws import p_value

BETA_C = 0.44068679
TARGET = ferromagnet((3, 3), device="cpu")


def rng(*path):
    return generator(21, *path, device="cpu")


def draws_of(model, n, *path, beta=1.0):
    """Independent visible configurations of an enumerable model."""
    law = torch.softmax(log_weights(model, beta), 0)
    return visible_states(model)[torch.multinomial(law, n, replacement=True, generator=rng("draws", *path))]


def with_chains(x, k=1):
    """An objective whose persistent chains are the rows of x, all sites."""
    objective = ContrastiveDivergence(k, rng("chains"), n_chains=len(x))
    objective.negative.chains = Chains(x.clone(), torch.tensor(1.0), objective.negative.rng)
    return objective


def full(model, v):
    """Visible configurations with some hidden ones behind them."""
    return torch.cat([v, torch.ones(len(v), model.n_sites - model.n_visible)], -1)


def strong_rbm():
    model = RBM(4, 3, device="cpu")
    with torch.no_grad():
        model.weights.copy_(torch.randn(4, 3, generator=rng("strong")) * 0.9)
        model.visible_bias.copy_(torch.tensor([0.2, -0.1, 0.0, 0.3]))
    return model.requires_grad_(False)


def exact_tau(model):
    """tau_int of F(v) under block Gibbs, from the enumerated transition matrix of the visible layer."""
    v = visible_states(model)
    h = torch.tensor([[(k >> j & 1) * 2 - 1 for j in range(model.n_hidden)] for k in range(2**model.n_hidden)]).float()
    x = torch.cat([v.repeat_interleave(len(h), 0), h.repeat(len(v), 1)], -1)
    joint = (-model.energy(x)).double().exp().reshape(len(v), len(h)).numpy()
    pi = joint.sum(1) / joint.sum()
    step = joint / joint.sum(1, keepdims=True) @ (joint / joint.sum(0)).T
    assert np.allclose(pi @ step, pi, atol=1e-12)
    f = model.free_energy(v).double().numpy()
    f = f - pi @ f
    rho, moved = [], f
    for _ in range(2000):
        rho.append((pi * f) @ moved / ((pi * f) @ f))
        moved = step @ moved
    return 0.5 + sum(rho[1:])


def test_tau_is_that_of_the_transition_matrix():
    model = strong_rbm()
    objective = with_chains(full(model, draws_of(model, 100, "tau")))
    exact = exact_tau(model)
    found = [chain_tau(seed)(model, objective) for seed in range(16)]
    assert exact > 1.5
    # Sums that end at a window are too small, here by some per cent; of 16 the mean scatters by 1.4 %.
    assert 0.88 < np.mean(found) / exact < 1.03
    # The control: at two thirds of the weights the chains are faster, and that is seen.
    model.weights.mul_(2 / 3)
    assert np.mean([chain_tau(seed)(model, objective) for seed in range(4)]) < 0.8 * exact


def test_copies_of_the_chains_settle_into_the_law_of_the_parameters_given():
    model = strong_rbm()
    model.weights.mul_(0.6)  # from all up to both signs in fifty steps
    objective = with_chains(torch.ones(20_000, model.n_sites))
    _, copies = copied_chains(model, objective, 15_000, rng("copies"))
    assert len(copies.x) == 15_000
    assert p_value(model, 1.0, copies.x) > 1e-4
    assert p_value(model, 1.0, objective.negative.chains.x) < 1e-4


def test_tau_of_machines_that_do_not_sum_out_their_hidden_units():
    model = DeepBoltzmannMachine(4, (20, 20), rng=rng("deep"), device="cpu")
    assert 0.4 < chain_tau()(model, with_chains(torch.ones(50, model.n_sites))) < 5 or not model.sums_out_hidden


def test_deviations_are_those_of_welch():
    model = RBM(9, 2, device="cpu")
    chains, data = draws_of(TARGET, 300, "a", beta=0.3), draws_of(TARGET, 2000, "b", beta=0.45)
    objective = with_chains(full(model, chains))
    for observable in (lambda v: energy_per_site(v, TARGET), absolute(model)):
        expected = ttest_ind(observable(chains).double(), observable(data).double(), equal_var=False).statistic
        assert chain_deviation(observable, data)(model, objective) == pytest.approx(float(expected), rel=1e-9)
        assert abs(float(expected)) > 4
    same = torch.ones(5, 9)
    assert chain_deviation(absolute(model), same)(model, with_chains(full(model, same))) == 0.0


@pytest.mark.parametrize("draws, chains", [(400, 3), (60, 40)])
def test_data_of_slow_chains_raise_no_false_alarm(draws, chains):
    """Chains of the very law of the data, which stay where they are nine times out of ten: tau = 9.5."""
    model, honest, naive = RBM(9, 2, device="cpu"), [], []
    for k in range(200):
        source = rng("slow", k)
        fresh = draws_of(TARGET, draws * chains, "slow", k, beta=0.3).reshape(draws, chains, 9)
        stays = torch.rand(draws, chains, generator=source) < 0.9
        rows = fresh.clone()
        for t in range(1, draws):
            rows[t] = torch.where(stays[t, :, None], rows[t - 1], fresh[t])
        v, objective = rows.flatten(0, 1), with_chains(full(model, draws_of(TARGET, 2000, "own", k, beta=0.3)))
        for found, number in ((honest, chains), (naive, None)):
            found.append(chain_deviation(absolute(model), v, number)(model, objective))
    # Of 200 the mean square scatters by 10 %; four times that is let through.
    assert 0.6 < np.mean(np.square(honest)) < 1.45
    assert np.mean(np.square(naive)) > 4  # control: rows taken as independent
    with pytest.raises(ValueError, match="no whole number of draws of 7 chains"):
        chain_deviation(absolute(model), v, 7)


def test_a_single_row_has_no_error_bar_and_deviates_from_nothing():
    model, v = RBM(9, 2, device="cpu"), visible_states(TARGET)
    assert chain_deviation(absolute(model), v[:1])(model, with_chains(full(model, v[:9]))) == 0.0


@pytest.mark.parametrize("unit", [Spin(), Bit()], ids=lambda unit: unit.name)
def test_magnetizations_are_those_of_spins(unit):
    low, high = unit.values
    model = RBM(4, 2, visible=unit, device="cpu")
    spins = torch.tensor([[1.0, 1, 1, 1], [1, 1, 1, -1], [1, 1, -1, -1], [-1, -1, -1, 1]])
    v = low + (high - low) * (spins + 1) / 2
    assert absolute(model)(v).tolist() == [1, 0.5, 0, 0.5]
    assert positive(model)(v).tolist() == [1, 1, 0.5, 0]
    assert data_mean(positive(model), v)(model, None) == 0.625


def test_singular_values_of_every_machine_of_two_layers():
    for model in (
        random_rbm(5, 3, Spin(), Bit(), rng("svd")),
        ConvolutionalRBM(Lattice((3, 3)), 2, rng=rng("filters"), device="cpu"),
    ):
        expected = np.linalg.svd(model.couplings().weights.detach().double().numpy(), compute_uv=False)
        assert [singular_value(k)(model, None) for k in (1, 2, 3)] == pytest.approx(expected[:3])
    with pytest.raises(ValueError, match="Ising has no weights between two layers"):
        singular_value(1)(TARGET, None)
    narrow = suited(RBM(9, 2, device="cpu"), with_chains(torch.ones(5, 11)), visible_states(TARGET))
    assert "singular_value_2" in narrow and "singular_value_3" not in narrow


def test_the_bracket_holds_the_exact_likelihood_and_is_measured_once():
    model = random_rbm(10, 8, Spin(), Spin(), rng("bracket")).requires_grad_(False)
    v = draws_of(model, 300, "bracket")
    monitors, objective = BracketedLikelihood(v), with_chains(full(model, v))
    low, value, high = (monitor(model, objective) for monitor in (monitors.low, monitors.value, monitors.high))
    exact = float(log_likelihood(model, v).mean())
    assert value == pytest.approx(exact, abs=0.05)
    assert low - 0.05 < exact < high + 0.05 and high - low < 0.2
    ends = (monitors.low_error, monitors.high_error)
    assert [error(model, objective) for error in ends] == [
        end.error for end in (monitors._bracket(model, objective).upper, monitors._bracket(model, objective).lower)
    ]
    # A factor of two in the number of states is far outside.
    assert abs(value + math.log(2) - exact) > 0.5
    counted = []
    monitors._bracket._measure = lambda *given: counted.append(given)
    with pytest.raises(AttributeError):
        model.weights.mul_(1.0)  # written to: to be measured anew
        monitors.value(model, objective)
    assert len(counted) == 1


def test_each_end_has_its_own_error_and_divergences_have_them_the_other_way_round():
    target = ferromagnet((5, 5), device="cpu")
    model = RBM(25, 20, rng=rng("ends"), scale=0.5, device="cpu").requires_grad_(False)
    v = (torch.randint(0, 2, (60, 25), generator=rng("data")) * 2 - 1).float()
    objective = with_chains(full(model, v))
    likelihood, divergence = suited(model, objective, v), suited(model, objective, v, target, BETA_C)
    found = {name: monitor(model, objective) for name, monitor in (likelihood | divergence).items()}
    for end, other in (("low", "high"), ("high", "low")):
        assert found[f"kl_estimate_{end}_error"] == found[f"log_likelihood_{other}_error"] > 0
        entropy = found["kl_estimate"] + found["log_likelihood"]
        assert found[f"kl_estimate_{end}"] == pytest.approx(entropy - found[f"log_likelihood_{other}"])
    assert found["kl_estimate_low_error"] != found["kl_estimate_high_error"]


def test_the_errors_of_the_ends_are_their_scatter(monkeypatch):
    monkeypatch.setattr(likelihoods, "_STEPS", 60)
    model = random_rbm(10, 8, Spin(), Spin(), rng("scatter")).requires_grad_(False)
    v = draws_of(model, 50, "scatter")
    ends = []
    for seed in range(30):
        objective = with_chains(full(model, draws_of(model, 200, "scatter", seed)))
        monitors = BracketedLikelihood(v, seed)
        ends.append([getattr(monitors, name)(model, objective) for name in ("low", "high", "low_error", "high_error")])
    low, high, low_error, high_error = np.array(ends).T
    assert 0.6 < low.std(ddof=1) / low_error.mean() < 1.5 and 0.6 < high.std(ddof=1) / high_error.mean() < 1.5


@pytest.mark.parametrize("n_hidden", [8, 20])
def test_watching_leaves_chains_and_generators_as_they_are(n_hidden):
    target = ferromagnet((6, 6), device="cpu")
    model = RBM(36, n_hidden, rng=rng("watch"), scale=0.5, device="cpu").requires_grad_(False)
    data = (torch.randint(0, 2, (60, 36), generator=rng("data")) * 2 - 1).float()
    objective = with_chains(full(model, data))
    monitors = suited(model, objective, data, target, BETA_C)
    bracketed = n_hidden > 16
    assert ("kl_estimate_low" in monitors) is bracketed and "kl_estimate" in monitors
    before = objective.state_dict()
    everywhere = torch.random.get_rng_state()
    first = {name: monitor(model, objective) for name, monitor in monitors.items()}
    after = objective.state_dict()
    assert torch.equal(before["rng"], after["rng"])
    assert torch.equal(before["chains"]["x"], after["chains"]["x"])
    assert torch.equal(everywhere, torch.random.get_rng_state())
    assert {name: monitor(model, objective) for name, monitor in monitors.items()} == first
    if bracketed:
        noise = math.hypot(first["kl_estimate_low_error"], first["kl_estimate_high_error"])
        assert first["kl_estimate_low"] < first["kl_estimate_high"] + 4 * noise
    assert first["data_positive"] == pytest.approx(float(positive(model)(data).mean()))


def test_chains_are_found_behind_penalties_and_not_where_there_are_none():
    model, v = RBM(9, 2, device="cpu"), visible_states(TARGET)
    inside = with_chains(full(model, v[:50]))
    assert "chain_tau" in suited(model, Penalised(inside, l2=1e-3), v)
    none = ContrastiveDivergence(1, rng("cd"), persistent=False)
    assert not [name for name in suited(model, none, v) if name.startswith("chain")]
    fresh = ContrastiveDivergence(1, rng("pcd"))
    for name in ("chain_tau", "chain_positive"):
        with pytest.raises(ValueError, match="keeps no chains"):
            suited(model, fresh, v)[name](model, fresh)


def test_real_data_have_no_energy_of_a_lattice_but_a_magnetization():
    model = RBM(9, 2, visible=Gaussian(), device="cpu")
    v = torch.randn(40, 9, generator=rng("real"))
    monitors = suited(model, with_chains(full(model, v)), v, TARGET, BETA_C)
    assert "chain_energy_per_site" not in monitors
    assert monitors["chain_abs_magnetization"](model, with_chains(full(model, v))) == pytest.approx(
        float(v.double().mean(-1).abs().mean())
    )
