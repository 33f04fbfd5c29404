"""Exact phases against autograd of the exact KL, for every kind of machine."""

import pytest
import torch

from ebmphys.energies import RBM
from ebmphys.exact.enumeration import visible_states
from ebmphys.objectives import Clamped, ContrastiveDivergence, Exact, FromData, MeanField, TwoPhase
from ebmphys.samplers.mean_field import mean_field
from ebmphys.units import Bit, Gaussian, Spin
from tests.objectives.exactly import (
    data_of,
    deviations,
    gradient,
    kl_gradient,
    machines,
    rng,
    rows_in_proportion,
    small_rbm,
    target_law,
)

SUMMED = ["visible", "visible bits", "rbm", "rbm bits"]
FILLED = ["hidden", "deep"]


def exact_case(name):
    model = machines()[name].double()
    data, law = data_of(model, 4000)
    return model, data.double(), law


@pytest.mark.parametrize("name", SUMMED)
def test_the_exact_phase_has_the_gradient_of_the_kl_to_rounding(name):
    model, data, law = exact_case(name)
    objective, exact = TwoPhase(Exact()), kl_gradient(model, law)
    assert exact.abs().max() > 0.1
    torch.testing.assert_close(gradient(model, objective(model, data)), exact, atol=1e-12, rtol=0)
    assert float(objective.draws.weights.sum()) == pytest.approx(1, abs=1e-12)


class Posterior:
    """Hidden configurations in proportion to p(h | v), by enumeration: a positive phase without noise to 1e-5."""

    def fill(self, model, v):
        rows, count = [], 100_000
        hidden = Exact().draw(model, v).x[: 2 ** (model.n_sites - model.n_visible), model.n_visible :]
        for one in v:
            x = torch.cat([one.expand(len(hidden), -1), hidden], 1)
            law = torch.softmax(-model.energy(x).detach(), 0)
            # Two rows of one configuration pull with equal weights, so proportions do.
            rows.append(x.repeat_interleave((law * count).round().long(), 0))
        return torch.cat(rows)


@pytest.mark.parametrize("name", FILLED)
def test_joint_energies_in_both_phases_have_the_gradient_of_the_kl(name):
    model, _, _ = exact_case(name)
    v = visible_states(model)[5:6].double()
    law = torch.zeros(64, dtype=torch.float64)
    law[5] = 1
    exact = kl_gradient(model, law)
    x = Posterior().fill(model, v)
    draws = Exact().draw(model, v)
    found = gradient(model, model.energy(x).mean() - draws.mean(model.energy(draws.x)))
    torch.testing.assert_close(found, exact, atol=2e-4, rtol=0)


@pytest.mark.parametrize("name", FILLED)
def test_clamped_gibbs_reaches_the_gradient_of_the_kl(name):
    model = machines()[name]
    data, law = data_of(model)
    exact = kl_gradient(model, law)
    assert deviations(model, TwoPhase(Exact(), Clamped(30, rng("clamped"))), data, exact).abs().max() < 4.5
    # Controls: one sweep from random hidden units is not enough, nor are means where units act on each other.
    assert deviations(model, TwoPhase(Exact(), Clamped(1, rng("short"))), data, exact).abs().max() > 10
    assert deviations(model, TwoPhase(Exact(), MeanField(30)), data, exact, 2).abs().max() > 10
    starts = [MeanField(10), None]  # a start nearby leaves less to one sweep
    near, far = (TwoPhase(Exact(), Clamped(1, rng("start"), start)) for start in starts)
    gap = [(gradient(model, objective(model, data)) - exact).norm() for objective in (near, far)]
    assert gap[0] < gap[1] / 2


@pytest.mark.parametrize("name", FILLED)
def test_both_phases_sampled_reach_the_gradient_of_the_kl(name):
    model = machines()[name]
    data, law = data_of(model)
    objective = ContrastiveDivergence(20, rng("both"), n_chains=20_000)
    objective(model, data)
    exact = kl_gradient(model, law)
    assert deviations(model, objective, data, exact, 20).abs().max() < 4.8
    biased = ContrastiveDivergence(1, rng("cd"), persistent=False)
    assert deviations(model, biased, data, exact, 20).abs().max() > 20


@pytest.mark.parametrize("name", FILLED)
def test_mean_field_has_the_gradient_of_the_variational_bound(name):
    model, data, law = exact_case(name)
    objective = TwoPhase(Exact(), MeanField(50))
    found = gradient(model, objective(model, data))
    v = visible_states(model).double()
    means = mean_field(model, v, 50)[:, model.n_visible :]
    hidden = Exact().draw(model, v).x[: 2 ** means.shape[1], model.n_visible :]
    low, high = (hidden.amin(0), hidden.amax(0))
    up = (means - low) / (high - low)
    q = torch.where(hidden == high, up[:, None], 1 - up[:, None]).prod(-1)  # (v, h)
    x = torch.cat([v[:, None].expand(-1, len(hidden), -1), hidden.expand(len(v), -1, -1)], -1)
    joint = model.energy(x)
    entropy = -torch.special.xlogy(q, q).sum(1)
    log_z = torch.logsumexp(-joint.flatten(), 0)
    bound = entropy - (q * joint).sum(1) - log_z
    torch.testing.assert_close(found, gradient(model, -(law @ bound)), atol=1e-6, rtol=0)
    loss = (-model.free_energy(v) - log_z - bound).detach()
    assert float(loss.min()) > -1e-9 and float(loss.max()) > 1e-3


def test_mean_field_is_exact_where_hidden_units_are_independent():
    model = small_rbm(Spin(), Bit()).double()
    v = visible_states(model).double()
    x = MeanField(1).fill(model, v)
    torch.testing.assert_close(x[:, 6:], torch.sigmoid(v @ model.weights + model.hidden_bias).detach())
    assert torch.equal(x[:, :6], v)


def test_clamped_leaves_the_data_as_they_are_and_draws_the_posterior():
    model = machines()["deep"]
    v = visible_states(model)[17:18].expand(40_000, -1)
    x = Clamped(30, rng("posterior")).fill(model, v)
    assert torch.equal(x[:, :6], v)
    joint = Exact().draw(model, v)
    here = (joint.x[:, :6] == v[0]).all(1)
    law = joint.weights[here] / joint.weights[here].sum()
    match = (x[:, None, 6:] == joint.x[here][:, 6:]).all(-1).sum(0)
    error = (len(v) * law * (1 - law)).sqrt()
    assert ((match - len(v) * law) / error).abs().max() < 4.5
    weaker = torch.softmax(0.9 * law.log(), 0)  # control: 10 % in beta is seen
    assert ((match - len(v) * weaker) / error).abs().max() > 8


def test_machines_that_these_phases_are_not_for_say_so():
    deep = machines()["deep"]
    with pytest.raises(ValueError, match="give a positive phase, Clamped or MeanField"):
        TwoPhase(FromData(1, rng()))(deep, torch.ones(2, 6))
    with pytest.raises(ValueError, match="k must be 1 or more"):
        Clamped(0, rng())
    with pytest.raises(ValueError, match="steps must be 1 or more"):
        MeanField(0)
    with pytest.raises(ValueError, match="two-valued hidden units"):
        MeanField().fill(small_rbm(Spin(), Gaussian()), torch.ones(2, 6))
    with pytest.raises(ValueError, match="two values"):
        Exact().draw(small_rbm(Gaussian(), Spin()), torch.ones(2, 6))
    with pytest.raises(ValueError, match="1 to 24 visible sites"):
        Exact().draw(RBM(30, 4, device="cpu"), torch.ones(2, 30))


def test_positive_and_negative_phases_are_restored_together():
    model = machines()["deep"]
    data, _ = data_of(model, 200)
    whole = TwoPhase(FromData(2, rng("n")), Clamped(2, rng("p")))
    whole(model, data)
    state = whole.state_dict()
    state = {"rng": state["rng"].clone(), "positive": {"rng": state["positive"]["rng"].clone()}}
    expected = [float(whole(model, data).detach()) for _ in range(2)]
    again = TwoPhase(FromData(2, rng("x")), Clamped(2, rng("y")))
    again.load_state_dict(state)
    assert [float(again(model, data).detach()) for _ in range(2)] == expected
    again.load_state_dict(state | {"positive": {"rng": rng("z").get_state()}})
    assert float(again(model, data).detach()) != expected[0]  # control
    with pytest.raises(ValueError, match="without a positive phase"):
        again.load_state_dict({"rng": state["rng"]})


def test_rows_in_proportion_have_the_law_they_stand_for():
    law = target_law()
    rows = rows_in_proportion(law, visible_states(small_rbm()))
    assert abs(len(rows) - 400_000) < 64
