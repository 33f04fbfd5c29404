"""Annealing: the schedule that chains really see, ground states by enumeration, and the law at the end."""

import math

import pytest
import torch

from ebmphys.energies import Ising, plus_minus_couplings
from ebmphys.lattice import Lattice
from ebmphys.rng import generator
from ebmphys.samplers import BlockGibbs, Metropolis
from ebmphys.samplers.annealing import anneal, geometric_schedule, ground_state, linear_schedule
from tests.models import small_models
from tests.samplers.laws import all_states, p_value

MODELS = small_models()


def glass(seed):
    torus = Lattice((4, 4))
    return Ising(torus, plus_minus_couplings(torus, generator(seed, "glass", device="cpu")), device="cpu")


def lowest(model):
    return float(model.energy(all_states(model)).min())


class Spy:
    """A sampler that only writes down the inverse temperatures of its steps."""

    def __init__(self, model):
        self.model, self.seen = model, []

    def step(self, chains):
        self.seen.append(chains.beta.clone())
        return {}


def test_schedules():
    assert linear_schedule(0.0, 2.0, 5).tolist() == pytest.approx([0, 0.5, 1, 1.5, 2])
    assert geometric_schedule(0.1, 1.6, 5).tolist() == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6])
    assert linear_schedule(2.0, 0.5, 2).tolist() == [2.0, 0.5]


def test_chains_see_the_schedule():
    model = MODELS["ising 3x4"]
    chains = BlockGibbs(model).init(2, 3, beta=9.0, rng=generator(1, device="cpu"))
    spy = Spy(model)
    yielded = [float(now.beta) for now in anneal(spy, chains, [0.1, 0.2, 0.4], steps=2)]
    assert yielded == pytest.approx([0.1, 0.2, 0.4])
    assert [float(b) for b in spy.seen] == pytest.approx([0.1, 0.1, 0.2, 0.2, 0.4, 0.4])
    spy.seen.clear()
    ground_state(spy, chains, [0.1, 0.2], steps=2, looks=3)
    assert [float(b) for b in spy.seen] == pytest.approx([0.1] * 6 + [0.2] * 6)


def test_a_schedule_for_each_chain():
    model = MODELS["ising 3x4"]
    chains = BlockGibbs(model).init(3, 5, beta=torch.ones(3, 1), rng=generator(1, device="cpu"))
    spy = Spy(model)
    ladders = torch.stack([linear_schedule(0, end, 4) for end in (1.0, 2.0, 3.0)], dim=1)[..., None]
    for now, wanted in zip(anneal(spy, chains, ladders), ladders, strict=True):
        torch.testing.assert_close(now.beta, wanted.float())
    for now in anneal(spy, chains, [0.5]):
        assert now.beta.shape == (3, 1) and bool((now.beta == 0.5).all())


@pytest.mark.parametrize("seed", [2, 5, 6])
def test_most_chains_find_the_ground_state_of_a_glass(seed):
    model = glass(seed)
    chains = Metropolis(model).init(200, rng=generator(seed, "anneal", device="cpu"))
    best = ground_state(Metropolis(model), chains, geometric_schedule(0.1, 3.0, 50), steps=4)
    torch.testing.assert_close(model.energy(best.x), best.energy)
    assert float(best.energy.min()) == lowest(model)
    assert (best.energy == lowest(model)).float().mean() > 0.98
    quenched = Metropolis(model).init(200, rng=generator(seed, "quench", device="cpu"))
    fast = ground_state(Metropolis(model), quenched, [3.0], steps=4)
    assert (fast.energy == lowest(model)).float().mean() < 0.9  # without the way down some are not there yet


def test_the_best_is_kept_while_chains_move_on():
    model = glass(4)
    chains = Metropolis(model).init(100, rng=generator(4, "heat", device="cpu"))
    # Cold, then hot: what was found in the cold must be what comes back.
    best = ground_state(Metropolis(model), chains, [0.5, 1.0, 2.0, 3.0, 0.0], steps=10, looks=3)
    torch.testing.assert_close(model.energy(best.x), best.energy)
    assert float(best.energy.mean()) < lowest(model) + 3
    assert float(chains.energy(model).mean()) > lowest(model) + 10


def test_states_before_the_first_step_count():
    model = glass(5)
    states = all_states(model)
    start = states[model.energy(states).argmin()]
    chains = Metropolis(model).init(10, rng=generator(5, device="cpu"))
    chains.x = start.expand(10, -1).clone()
    best = ground_state(Metropolis(model), chains, [0.0], steps=5)
    assert bool((best.energy == lowest(model)).all()) and bool((best.x == start).all())


@pytest.mark.parametrize("name", ["ising 3x4 field", "+-J 3x4", "rbm spin-bit"])
def test_slow_annealing_ends_in_the_law_of_the_last_beta(name):
    model, beta = MODELS[name], 0.4
    chains = BlockGibbs(model).init(20_000, rng=generator(6, name, device="cpu"))
    for _ in anneal(BlockGibbs(model), chains, linear_schedule(0.0, beta, 5), steps=50):
        pass
    assert p_value(model, beta, chains.x) > 1e-4
    for _ in anneal(BlockGibbs(model), chains, [1.25 * beta], steps=20):
        pass
    assert p_value(model, beta, chains.x) < 1e-4


def test_bad_input():
    model = MODELS["ising 3x4"]
    sampler = Metropolis(model)
    chains = sampler.init(3, beta=0.5, rng=generator(7, device="cpu"))
    before = chains.x.clone()
    for betas in ([], [-0.1, 0.2], [math.nan], torch.tensor(0.3)):
        with pytest.raises(ValueError, match="one or more inverse temperatures"):
            anneal(sampler, chains, betas)
    with pytest.raises(ValueError, match="behind its first axis"):
        anneal(sampler, chains, torch.ones(4, 3))
    with pytest.raises(ValueError, match="1 or more steps"):
        anneal(sampler, chains, [0.5], steps=0)
    with pytest.raises(ValueError, match="1 or more times"):
        ground_state(sampler, chains, [0.5], looks=0)
    assert torch.equal(before, chains.x)
    for ends in ((0.0, 1.0, 1), (-1.0, 1.0, 5), (0.0, math.inf, 5)):
        with pytest.raises(ValueError, match="2 or more betas"):
            linear_schedule(*ends)
    with pytest.raises(ValueError, match="positive"):
        geometric_schedule(0.0, 1.0, 5)
