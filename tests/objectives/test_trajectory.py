"""Parallel trajectory tempering: trades between machines, the ladder that grows, log Z along it."""

import copy
import math

import pytest
import torch

from ebmphys.energies import RBM, BoltzmannMachine, Ising
from ebmphys.exact.enumeration import log_partition, log_weights, visible_states
from ebmphys.lattice import Lattice
from ebmphys.objectives import TrajectoryTempered, TwoPhase
from ebmphys.objectives.trades import resampled, trade, trade_chance
from ebmphys.samplers import Chains
from ebmphys.units import Bit, Spin
from tests.objectives.exactly import randomised, rng, small_rbm
from tests.samplers.laws import all_states, exact_draws, p_value

N_CHAINS = 60_000


def rbm(scale):
    return small_rbm(Spin(), Bit(), scale=scale, n_visible=4)


def boltzmann(scale):
    return randomised(BoltzmannMachine(6, 2, device="cpu"), scale)


def chains_of(model, seed, beta=1.0, n=N_CHAINS):
    return Chains(exact_draws(model, beta, n, seed), torch.tensor(1.0), rng("chains", seed))


@pytest.mark.parametrize("make", [rbm, boltzmann])
def test_trades_keep_the_law_of_both_machines(make):
    one, other = make(0.5), make(1.0)
    at_one, at_other = chains_of(one, 1), chains_of(other, 2)
    before = at_one.x.clone()
    rate = trade(one, other, at_one, at_other)
    assert 0.2 < rate < 0.8 and not torch.equal(before, at_one.x)
    assert p_value(one, 1.0, at_one.x) > 1e-4 and p_value(other, 1.0, at_other.x) > 1e-4
    assert p_value(one, 1.05, at_one.x) < 1e-6  # control


class Miscounted(RBM):
    """An RBM whose free energy is off by five per cent."""

    def free_energy(self, v, beta=1.0):
        return 1.05 * super().free_energy(v, beta)


def test_trades_by_a_free_energy_that_is_off_are_seen():
    one, other = rbm(0.5), rbm(1.5)
    wrong = Miscounted(4, 3, Spin(), Bit(), device="cpu")
    wrong.load_state_dict(other.state_dict())
    at_one, at_other = chains_of(one, 1, n=400_000), chains_of(other, 2, n=400_000)
    trade(one, wrong, at_one, at_other)
    assert min(p_value(one, 1.0, at_one.x), p_value(other, 1.0, at_other.x)) < 1e-6


@pytest.mark.parametrize("make", [rbm, boltzmann])
def test_every_pair_of_configurations_trades_in_detailed_balance(make):
    one, other = make(0.5), make(1.0)
    states = all_states(one)
    if one.sums_out_hidden:
        states = states[:: 2 ** (one.n_sites - one.n_visible)]
        log_p, log_q = ((-m.free_energy(states[:, : m.n_visible])).detach().double() for m in (one, other))
    else:
        log_p, log_q = ((-m.energy(states)).detach().double() for m in (one, other))
    first, second = (grid.flatten() for grid in torch.meshgrid(*[torch.arange(len(states))] * 2, indexing="ij"))
    chance = trade_chance(one, other, states[first], states[second]).reshape(len(states), -1)
    flow = (log_p[:, None] + log_q[None, :]).softmax(1).log() + log_p.log_softmax(0)[:, None]
    flow = flow.exp() * chance  # from (x, y) to (y, x)
    torch.testing.assert_close(flow, flow.T, atol=1e-9, rtol=1e-5)
    assert ((chance == 1) | (chance.T == 1)).all()  # and no smaller than it has to be
    skewed = flow / chance * chance**1.01  # control: 1 % in the exponent is seen
    assert ((skewed - skewed.T).abs() > 1e-5 * skewed + 1e-9).any()


def test_energies_that_are_no_numbers_are_refused():
    broken = rbm(0.5)
    with torch.no_grad():
        broken.weights[0, 0] = math.nan
    with pytest.raises(ValueError, match="not a number"):
        trade(rbm(0.5), broken, chains_of(rbm(0.5), 1, n=10), chains_of(rbm(0.5), 2, n=10))


def trained(phase, steps, growth=0.08, start=0.05, data=None):
    """A phase along a training that is nothing but weights that grow, and its model."""
    model = two_modes(start)
    data = torch.ones(20, 6) if data is None else data
    for _ in range(steps):
        phase.draw(model, data)
        with torch.no_grad():
            model.weights[:, 0] += growth
    return model


def two_modes(strength):
    model = RBM(6, 2, device="cpu")
    with torch.no_grad():
        model.weights[:, 0] = strength
        model.visible_bias.fill_(0.02)
    return model


class Unmended(TrajectoryTempered):
    """A ladder whose links are left to sag."""

    def _mend(self, models):
        return False


class Unshortened(TrajectoryTempered):
    """A ladder that keeps its way through where the training has come back from."""

    def _cut_short(self, models):
        return False


class AtTheFall(Unmended, Unshortened):
    """A ladder whose rungs are the models that no longer trade with the last one."""

    def _last_to_trade(self, model):
        return {name: value.clone() for name, value in model.state_dict().items()}, self.chains.x


def learned(make, rate, updates=40):
    """The phase of a machine that learns the 4 x 4 Ising model at T = 2.5 in large steps, and the machine."""
    ising = Ising(Lattice((4, 4)), device="cpu")
    data = exact_draws(ising, 1 / 2.5, 200, 5)
    model = small_rbm(scale=0.01, n_visible=16, n_hidden=8)
    objective = TwoPhase(make(2, rng("learned"), 500))
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for _ in range(updates):
        optimizer.zero_grad()
        objective(model, data).backward()
        optimizer.step()
    return objective.negative, model


def links(phase, model, updates=60):
    """The mean acceptance between neighbouring rungs in equilibrium; (n_rungs - 1,), the link to the model apart."""
    phase.acceptance, rates = 1e-9, []
    for _ in range(updates):
        phase.draw(model, torch.ones(1, model.n_visible))
        rates.append(phase.swap_rate[:-1])
    return torch.stack(rates[updates // 3 :]).mean(0)


def test_every_link_holds_after_a_training_in_large_steps():
    whole, broken = (links(*learned(make, 0.05)) for make in (TrajectoryTempered, AtTheFall))
    assert len(whole) >= 4 and whole.min() > 0.3
    assert broken.min() < 0.4 / 2  # control


def test_the_first_model_alone_is_followed_by_the_present_one():
    phase = TrajectoryTempered(2, rng("leap"), 300)
    model = trained(phase, 1, growth=2.0)
    phase.draw(model, torch.ones(20, 6))
    assert phase.swap_rate < 0.4 and len(phase.rungs()) == 2
    assert torch.equal(phase.rungs()[-1]["weights"], model.weights)


def test_a_broken_link_is_said():
    phase = TrajectoryTempered(2, rng("broken"), 300)
    assert phase.warning == ""
    model = trained(phase, 10)
    assert phase.warning == "" and phase.swap_rate.min() > 0.05
    with torch.no_grad():
        model.weights[:, 0] = 8.0
    phase.ladder[0].x[:, :6] = torch.tensor([1.0, -1.0]).repeat(3)
    phase.draw(model, torch.ones(20, 6))
    assert phase.swap_rate.min() < 0.05 and "do not travel" in phase.warning
    again = TrajectoryTempered(2, rng("other"), 300)
    again.load_state_dict(phase.state_dict())
    assert again.warning == phase.warning


def test_a_rung_is_added_where_the_acceptance_falls_below_the_threshold():
    phase = TrajectoryTempered(2, rng("rungs"), 500, acceptance=0.6)
    model, rates, counts = two_modes(0.05), [], []
    learned_before = model.weights.detach().clone()
    for _ in range(25):
        x = None if phase.chains is None else phase.chains.x.clone()
        before = len(phase.rungs())
        phase.draw(model, torch.ones(20, 6))
        rates.append(float(phase.swap_rate[-1]))
        counts.append(len(phase.rungs()) - max(before, 1))
        if counts[-1]:
            assert torch.equal(phase.rungs()[-1]["weights"], learned_before)
            assert torch.equal(phase.ladder[-2].x, x)
        learned_before = model.weights.detach().clone()
        with torch.no_grad():
            model.weights[:, 0] += 0.08
    assert sum(counts) >= 2 and counts == [int(rate < 0.6) for rate in rates]
    strengths = [float(rung["weights"][0, 0]) for rung in phase.rungs()]
    assert strengths == sorted(strengths) and strengths[0] == pytest.approx(0.05)
    assert len(phase.ladder) == len(phase.rungs()) + 1


def test_the_trajectory_carries_chains_between_modes():
    phase = TrajectoryTempered(1, rng("cross"), 400, acceptance=0.6, flips=False)
    model = trained(phase, 25)
    phase.ladder[-1].x[:, :6] = 1.0  # all in one mode of the last model
    for _ in range(80):
        phase.draw(model, torch.ones(20, 6))
    up = float(torch.softmax(log_weights(model), 0)[visible_states(model).sum(1) > 0].sum())
    share = float((phase.chains.x[:, :6].sum(1) > 0).double().mean())
    assert 0.5 < up < 0.7 and abs(share - up) < 5 * 0.5 / 20
    alone = TrajectoryTempered(1, rng("alone"), 400, acceptance=0.01, flips=False)
    alone.draw(model, torch.ones(20, 6))  # control: a ladder that begins at this model has nowhere to cross
    for _ in range(80):
        alone.draw(model, torch.ones(20, 6))
    assert float((alone.chains.x[:, :6].sum(1) > 0).double().mean()) > 0.95


@pytest.mark.parametrize("make", [rbm, boltzmann])
def test_chains_made_from_anothers_follow_the_new_law(make):
    one, other = make(0.5), make(0.8)
    at_one = chains_of(one, 1, n=400_000)
    x = resampled(one, other, at_one).x[:20_000]  # few of many, so that hardly one is there twice
    assert p_value(other, 1.0, x) > 1e-4
    assert p_value(other, 1.0, at_one.x[:20_000]) < 1e-6  # control: taken as they are
    assert p_value(other, 1.03, x) < p_value(other, 1.0, x)


def without_middle(kind):
    """A ladder along growing weights from which all rungs but the first and the last were taken out, and its model."""
    phase = kind(3, rng("sag"), 3000, acceptance=0.6)
    model = trained(phase, 25)
    for _ in range(len(phase.rungs()) - 2):
        phase._drop(1)
    return phase, model


def test_a_link_that_sags_is_mended_and_every_rung_keeps_its_law():
    phase, model = without_middle(TrajectoryTempered)
    ends = [rung["weights"] for rung in phase.rungs()]
    for count in range(30):
        phase.draw(model, torch.ones(20, 6))
        if count == 0:
            assert torch.equal(phase.rungs()[1]["weights"], (ends[0] + ends[1]) / 2)
    assert len(phase.rungs()) >= 3 and phase.swap_rate.min() > 0.3
    strengths = [float(rung["weights"][0, 0]) for rung in phase.rungs()]
    assert strengths == sorted(strengths) and len(phase._models) == len(strengths) == len(phase.ladder) - 1
    for rung, chains, parameters in zip(phase._models, phase.ladder, phase.rungs(), strict=False):
        assert torch.equal(rung.weights, parameters["weights"])
        assert p_value(rung, 1.0, chains.x) > 1e-4
    assert p_value(phase._models[-1], 1.0, phase.ladder[-3].x) < 1e-6  # control: the law of another rung
    sagging, model = without_middle(Unmended)
    for _ in range(30):
        sagging.draw(model, torch.ones(20, 6))
    assert sagging.swap_rate.min() < 0.2  # control


def test_at_the_most_rungs_a_link_is_mended_only_in_place_of_a_rung_that_is_not_needed():
    phase = TrajectoryTempered(1, rng("most mended"), 300, acceptance=0.8, most=4)
    model = trained(phase, 25)
    phase._rung_models(model)
    assert len(phase.rungs()) == 4
    needed, chains = [rung["weights"].clone() for rung in phase.rungs()], list(phase.ladder)
    phase.swap_rate = torch.tensor([0.1, 0.85, 0.85, 0.85])
    assert not phase._mend([*phase._models, model])  # 0.85 * 0.85 < 0.8
    phase.swap_rate = torch.tensor([0.1, 0.85, 0.95, 0.95])
    assert phase._mend([*phase._models, model])  # the last rung, between 0.95 and 0.95, is left out
    strengths = [rung["weights"] for rung in phase.rungs()]
    expected = [needed[0], (needed[0] + needed[1]) / 2, needed[1], needed[2]]
    assert all(map(torch.equal, strengths, expected)) and len(phase.ladder) == 5
    assert all(phase.ladder[at] is chains[was] for at, was in ((0, 0), (2, 1), (3, 2), (4, 4)))
    # One that is left out below the link moves it down.
    phase.swap_rate = torch.tensor([0.95, 0.95, 0.1, 0.85])
    assert phase._mend([*phase._models, model])
    assert all(
        map(
            torch.equal,
            [rung["weights"] for rung in phase.rungs()],
            [expected[0], expected[2], (expected[2] + expected[3]) / 2, expected[3]],
        )
    )


def there_and_back(kind):
    phase = kind(3, rng("back"), 1000, acceptance=0.8)
    model = trained(phase, 20)
    far = len(phase.rungs())
    for _ in range(12):
        with torch.no_grad():
            model.weights[:, 0] -= 0.08
        phase.draw(model, torch.ones(20, 6))
    return phase, model, far


def test_a_training_that_comes_back_leaves_no_loop_in_the_ladder():
    phase, model, far = there_and_back(TrajectoryTempered)
    strengths = [float(rung["weights"][0, 0]) for rung in phase.rungs()]
    assert (
        strengths == sorted(strengths)
        and strengths[-1] < float(model.weights[0, 0].detach()) + 0.3
        and len(strengths) < far
    )
    assert phase.swap_rate[-1] > 0.6 and len(phase._models) == len(strengths) == len(phase.ladder) - 1
    for _ in range(10):
        phase.draw(model, torch.ones(20, 6))
    assert p_value(model, 1.0, phase.chains.x) > 1e-4
    loop, _, far = there_and_back(Unshortened)
    assert len(loop.rungs()) > far  # control


@pytest.mark.parametrize("lost", [("before",), ("before", "swap_rate")])
def test_a_ladder_of_another_version_is_refused_in_one_line(lost):
    phase = TrajectoryTempered(1, rng("old"), 50)
    trained(phase, 3)
    state = {name: value for name, value in phase.state_dict().items() if name not in lost}
    with pytest.raises(ValueError, match=f"another version, without {', '.join(lost)}"):
        TrajectoryTempered(1, rng("new"), 50).load_state_dict(state)


def bennett(forward, reverse):
    """log (Z' / Z) from log weight ratios at draws of both: the root of sum f(forward - c) = sum f(reverse + c)."""
    low, high = -50.0, 50.0
    for _ in range(80):
        c = (low + high) / 2
        low, high = (c, high) if torch.sigmoid(forward - c).sum() > torch.sigmoid(reverse + c).sum() else (low, c)
    return (low + high) / 2


def test_log_z_of_the_model_follows_along_the_rungs():
    phase = TrajectoryTempered(3, rng("log z"), 2000, acceptance=0.6)
    model = trained(phase, 20)
    for _ in range(10):
        phase.draw(model, torch.ones(20, 6))
    first = two_modes(0.0)
    first.load_state_dict(phase.rungs()[0])
    pairs = phase.log_ratios(model)
    assert len(pairs) == len(phase.rungs()) >= 2
    estimate = log_partition(first) + sum(bennett(forward, reverse) for forward, reverse in pairs)
    assert abs(estimate - log_partition(model)) < 0.1 < log_partition(model) - log_partition(first)
    turned = log_partition(first) + sum(bennett(reverse, forward) for forward, reverse in pairs)
    assert abs(turned - log_partition(model)) > 1  # control: ratios the wrong way round


def test_the_chains_follow_a_model_that_is_not_the_last_one_learned():
    phase = TrajectoryTempered(5, rng("average"), 4000)
    latest = trained(phase, 12)
    given = two_modes(float(latest.weights[0, 0].detach()) - 0.4)  # as an average lags behind
    before = [chains.x.clone() for chains in phase.ladder], phase.rng.get_state()
    forward, reverse = phase.log_ratios(given)[-1]
    assert all(torch.equal(x, chains.x) for x, chains in zip(before[0], phase.ladder, strict=True))
    assert torch.equal(before[1], phase.rng.get_state())
    last = two_modes(0.0)
    last.load_state_dict(phase.rungs()[-1])
    exact = log_partition(given) - log_partition(last)
    own, other = (model.free_energy(phase.chains.x[:, :6]).detach().double() for model in (last, given))
    unsettled = bennett(forward, other - own)
    assert abs(bennett(forward, reverse) - exact) < 0.05 < abs(unsettled - exact)  # control: the latest model's chains


def test_beyond_the_most_rungs_the_easiest_is_dropped():
    phase = TrajectoryTempered(1, rng("most"), 300, acceptance=0.9, most=3)
    model = trained(phase, 30)
    strengths = [float(rung["weights"][0, 0]) for rung in phase.rungs()]
    assert len(strengths) == 3 and len(phase.ladder) == 4 and strengths == sorted(strengths)
    assert strengths[0] == pytest.approx(0.05) and strengths[-1] > 1.5
    phase.draw(model, torch.ones(20, 6))
    assert len(phase._models) == 3
    for rung, parameters in zip(phase._models, phase.rungs(), strict=True):
        assert torch.equal(rung.weights, parameters["weights"])


def test_a_restored_ladder_adds_the_same_rungs():
    phase = TrajectoryTempered(1, rng("grows"), 50, acceptance=0.7)
    model = trained(phase, 9)
    again, forgetful = (TrajectoryTempered(1, rng(name), 50, acceptance=0.7) for name in ("a", "b"))
    state = copy.deepcopy(phase.state_dict())
    again.load_state_dict(state)
    forgetful.load_state_dict(state | {"before": {}})
    count = len(phase.rungs())
    while len(phase.rungs()) == count:
        for each in (phase, again, forgetful):
            each.draw(model, torch.ones(4, 6))
        with torch.no_grad():
            model.weights[:, 0] += 0.4
    for _ in range(5):
        assert torch.equal(again.draw(model, torch.ones(4, 6)).x, phase.draw(model, torch.ones(4, 6)).x)
        assert all(torch.equal(one.x, two.x) for one, two in zip(phase.ladder, again.ladder, strict=True))
        assert torch.equal(phase.swap_rate, again.swap_rate)
    for one, two in zip(phase.rungs(), again.rungs(), strict=True):
        assert torch.equal(one["weights"], two["weights"])
    assert len(forgetful.rungs()) == count + 1


def test_a_restored_ladder_is_the_same_ladder():
    phase = TrajectoryTempered(1, rng("whole"), 50, acceptance=0.7)
    model = trained(phase, 12)
    state = copy.deepcopy(phase.state_dict())
    again = TrajectoryTempered(1, rng("again"), 50, acceptance=0.7)
    again.load_state_dict(state)
    assert len(again.rungs()) == len(phase.rungs()) >= 2
    for _ in range(3):
        assert torch.equal(again.draw(model, torch.ones(4, 6)).x, phase.draw(model, torch.ones(4, 6)).x)
        assert torch.equal(again.swap_rate, phase.swap_rate)
    losses = [float(TwoPhase(each)(model, torch.ones(4, 6)).detach()) for each in (phase, again)]
    assert losses[0] == losses[1]
