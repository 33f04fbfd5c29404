"""Replica exchange against enumerated laws, its swaps one by one, its walkers, and ladders with known answers."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.special import erf, erfinv

from ebmphys.energies import EnergyModel, Ising
from ebmphys.exact import Strip, joint_law
from ebmphys.lattice import Lattice
from ebmphys.rng import generator
from ebmphys.samplers import BlockGibbs, Chains, Enumerated, Metropolis
from ebmphys.samplers.base import random_chains
from ebmphys.samplers.tempering import (
    ReplicaExchange,
    adapt_ladder,
    barrier,
    even_acceptance_ladder,
    exchange,
    geometric_ladder,
    round_trips,
    swap_accepted,
    temperatures_needed,
    walkers,
)
from tests.models import continuous_models, small_models
from tests.samplers.laws import all_states, exact_draws, p_value

MODELS = small_models()
LADDERS = 20_000
THRESHOLD = 1e-4
BETAS = torch.tensor([0.15, 0.35, 0.6, 1.0])
NAMES = ["ising 2x4", "ising 3x4 field", "+-J 3x4", "rbm spin-bit", "rbm bit-bit"]


@dataclass(frozen=True)
class Still:
    """A sampler that leaves everything where it is, so that only trades move configurations."""

    model: EnergyModel

    def init(self, *batch, beta=1.0, rng):
        return random_chains(self.model, batch, beta, rng)

    def step(self, chains):
        return {}


def exact_ladders(model, betas, count, name):
    x = torch.stack([exact_draws(model, b, count, seed=20 + k) for k, b in enumerate(betas.tolist())], 1)
    return Chains(x, betas, generator(2, name, device="cpu"))


def p_values(model, chains):
    return [p_value(model, b, chains.x[:, k]) for k, b in enumerate(chains.beta.tolist())]


@pytest.mark.parametrize("kind", [BlockGibbs, Metropolis, Still])
@pytest.mark.parametrize("name", NAMES)
def test_every_temperature_keeps_its_law(name, kind):
    model = MODELS[name]
    chains = exact_ladders(model, BETAS, LADDERS, name)
    for _ in range(3):
        ReplicaExchange(kind(model)).step(chains)
    assert min(p_values(model, chains)) > THRESHOLD


def per_spin(betas, energies, u, parity):
    return swap_accepted(betas, energies / 12, u, parity)


def wrong_sign(betas, energies, u, parity):
    return swap_accepted(-betas, energies, u, parity)


@pytest.mark.parametrize("fault", [per_spin, wrong_sign])
@pytest.mark.parametrize("name", ["ising 3x4 field", "+-J 3x4", "rbm spin-bit"])
def test_wrong_swaps_are_noticed(name, fault, monkeypatch):
    monkeypatch.setattr(exchange, "swap_accepted", fault)
    chains = exact_ladders(MODELS[name], BETAS, LADDERS, name)
    for _ in range(3):
        ReplicaExchange(BlockGibbs(MODELS[name])).step(chains)
    assert min(p_values(MODELS[name], chains)) < THRESHOLD


class VisibleChains(Chains):
    """Chains that trade by the free energy of the visible sites at beta = 1."""

    def energy(self, model):
        return model.free_energy(self.x[..., : model.n_visible], 1.0)


@pytest.mark.parametrize(("name", "kind"), [("rbm spin-bit", BlockGibbs), ("rbm bit-bit", BlockGibbs)])
def test_swaps_by_the_free_energy_at_beta_one_are_noticed(name, kind):
    right = exact_ladders(MODELS[name], BETAS, LADDERS, name)
    wrong = VisibleChains(right.x.clone(), right.beta, generator(2, name, device="cpu"))
    for chains in (right, wrong):
        for _ in range(3):
            ReplicaExchange(kind(MODELS[name])).step(chains)
    assert min(p_values(MODELS[name], right)) > THRESHOLD > min(p_values(MODELS[name], wrong))


@pytest.mark.parametrize("name", [*NAMES, "triangular 3x3 antiferromagnet", "Edwards-Anderson 3x4"])
def test_ladders_from_random_starts_reach_every_law(name):
    sampler = ReplicaExchange(BlockGibbs(MODELS[name]))
    betas = torch.tensor([0.6, 0.3, 0.1])
    chains = sampler.init(LADDERS // 2, 3, beta=betas, rng=generator(3, name, device="cpu"))
    for _ in range(40):
        sampler.step(chains)
    assert min(p_values(MODELS[name], chains)) > THRESHOLD


@pytest.mark.parametrize("name", NAMES)
def test_swap_decisions(name):
    # Between all pairs of states, each decision changes exactly at exp(dbeta dE).
    model, eps = MODELS[name], 2e-6
    energy = model.energy(all_states(model)[:: 2 ** (model.n_sites - 7)]).detach().double()
    pairs = torch.cartesian_prod(energy, energy)
    for n, parity in ((2, 0), (3, 1), (4, 0), (5, 1), (6, 0)):
        betas = torch.linspace(0.2, 1.1, n, dtype=torch.float64)
        energies = torch.full((len(pairs), n), 17.0, dtype=torch.float64)
        places = range(parity, n - 1, 2)
        for k in places:
            energies[:, k], energies[:, k + 1] = pairs[:, 0], pairs[:, 1]
        step = torch.stack([betas[k] - betas[k + 1] for k in places])
        p = torch.exp(step * (pairs[:, :1] - pairs[:, 1:]))
        assert (p > 1).any() and (p < 1).any()
        below = swap_accepted(betas, energies, (p - eps).clamp(max=1 - 1e-7), parity)
        above = swap_accepted(betas, energies, p + eps, parity)
        assert below.shape == p.shape and below.all() and not above.any()


def test_trades_move_configurations_and_not_temperatures():
    model = MODELS["ising 3x4 field"]
    chains = ReplicaExchange(Still(model)).init(3, 50, 4, beta=BETAS, rng=generator(4, device="cpu"))
    before = chains.x.clone()
    outcome = ReplicaExchange(Still(model)).step(chains)
    source = outcome["source"]
    assert torch.equal(chains.x, before.gather(2, source[..., None].expand_as(before)))
    assert torch.equal(source.sort(-1).values, torch.arange(4).expand(3, 50, 4))
    assert torch.equal(outcome["energy"], model.energy(chains.x)) and torch.equal(chains.beta, BETAS)
    assert outcome["swap_rate"].shape == (3, 50, 3)
    # Pair (1, 2) trades what the pairs (0, 1) and (2, 3) have left there.
    even, middle = outcome["swap_rate"][..., 0] == 1, outcome["swap_rate"][..., 1] == 1
    assert torch.equal(source[..., 2][middle] <= 1, torch.ones_like(even[middle]))
    assert torch.equal(source[..., 0], even.long())
    assert {0.0, 1.0} == set(outcome["swap_rate"].flatten().tolist())


def test_ladders_are_independent_and_keep_their_own_betas():
    model = MODELS["ising 3x4 field"]
    betas = torch.stack([BETAS, BETAS.flip(0)])
    x = torch.stack([exact_ladders(model, row, LADDERS, "own").x for row in betas], 1)
    chains = Chains(x, betas, generator(5, device="cpu"))
    for _ in range(3):
        outcome = ReplicaExchange(BlockGibbs(model)).step(chains)
    for number, row in enumerate(betas):
        for k, beta in enumerate(row.tolist()):
            assert p_value(model, beta, chains.x[:, number, k]) > THRESHOLD
    assert p_value(model, 0.15, chains.x[:, 1, 0]) < THRESHOLD
    for series in (outcome["swap_rate"].flatten(0, 1), outcome["energy"][:, 0]):
        for number in range(series.shape[-1]):
            neighbours = torch.stack([series[0::2, number], series[1::2, number]])
            assert abs(torch.corrcoef(neighbours)[0, 1]) < 4 / neighbours.shape[1] ** 0.5


def exact_swap_rate(levels, log_weight, first, second):
    """sum over levels p_1(E) p_2(E') min(1, exp((beta_1 - beta_2)(E - E')))."""
    laws = []
    for beta in (first, second):
        log_p = log_weight - beta * levels
        p = np.exp(log_p - log_p.max())
        laws.append(p / p.sum())
    accept = np.exp(np.minimum((first - second) * (levels[:, None] - levels), 0))
    return float(laws[0] @ accept @ laws[1])


def enumerated_swap_rates(model, betas):
    levels, count = np.unique(model.energy(all_states(model)).detach().double().numpy(), return_counts=True)
    pairs = zip(betas[:-1].tolist(), betas[1:].tolist(), strict=True)
    return np.array([exact_swap_rate(levels, np.log(count), *pair) for pair in pairs])


@pytest.mark.parametrize("name", NAMES)
def test_swap_rates_are_the_exact_ones(name):
    model = MODELS[name]
    rates = enumerated_swap_rates(model, BETAS)
    chains = exact_ladders(model, BETAS, 5 * LADDERS, name)
    measured = ReplicaExchange(BlockGibbs(model)).step(chains)["swap_rate"].mean(0).numpy()
    sigma = np.sqrt(rates * (1 - rates) / (5 * LADDERS))
    assert (abs(measured - rates) < 4 * sigma).all()
    assert (abs(measured - rates[::-1]) > 4 * sigma)[[0, 2]].all()


@pytest.mark.parametrize("field", [0.05, -0.05])
def test_a_ladder_crosses_a_barrier_that_stops_single_chains(field):
    # At beta = 1 one sweep in 400,000 leaves the wrong sign of m, which the field makes 3 times less likely.
    model, betas = Ising(Lattice((3, 4)), field=field, device="cpu"), torch.tensor([0.1, 0.25, 0.45, 0.7, 1.0])
    sampler = ReplicaExchange(BlockGibbs(model))
    together = sampler.init(4000, 5, beta=betas, rng=generator(6, device="cpu"))
    apart = sampler.init(4000, 5, beta=betas, rng=generator(7, device="cpu"))
    for _ in range(60):
        sampler.step(together)
        BlockGibbs(model).step(apart)
        BlockGibbs(model).step(apart)
    assert min(p_values(model, together)) > THRESHOLD
    assert p_values(model, apart)[0] > THRESHOLD > p_values(model, apart)[-1]


def test_continuous_units_keep_their_energies():
    # <E> of every temperature, chains run apart beside chains that trade: a Gaussian layer enters the joint energy.
    model, betas = continuous_models()["rbm spin-gaussian"], torch.tensor([0.4, 0.7, 1.0])
    sampler, means = ReplicaExchange(BlockGibbs(model)), []
    for inner in (sampler, BlockGibbs(model)):
        chains = sampler.init(LADDERS, 3, beta=betas, rng=generator(8, device="cpu"))
        for _ in range(40):
            inner.step(chains)
        energy = chains.energy(model).double()
        means.append((energy.mean(0), energy.var(0) / LADDERS))
    (a, a_var), (b, b_var) = means
    assert ((a - b).abs() < 4 * (a_var + b_var).sqrt()).all()


def test_restart_bit_for_bit():
    model = MODELS["rbm spin-bit"]
    sampler = ReplicaExchange(BlockGibbs(model), steps_between=2)
    chains = sampler.init(7, 4, beta=BETAS, rng=generator(9, device="cpu"))
    for _ in range(5):
        sampler.step(chains)
    state = {name: value.copy() for name, value in chains.state().items()}
    whole = [sampler.step(chains) for _ in range(5)]
    again = sampler.init(7, 4, beta=BETAS, rng=generator(1, device="cpu"))
    again.restore(state)
    parts = [sampler.step(again) for _ in range(5)]
    assert torch.equal(chains.x, again.x)
    assert all(torch.equal(a[name], b[name]) for a, b in zip(whole, parts, strict=True) for name in a)


def test_steps_between_and_a_single_ladder():
    class Counting(Still):
        def step(self, chains):
            chains.x += 1
            return {}

    model = Ising(Lattice((2, 2)), 0.0, device="cpu")
    sampler = ReplicaExchange(Counting(model), steps_between=3)
    chains = sampler.init(2, beta=torch.tensor([0.3, 0.4]), rng=generator(1, device="cpu"))
    chains.x.zero_()
    outcome = sampler.step(chains)
    assert (chains.x == 6).all()
    assert outcome["source"].tolist() == [1, 0] and outcome["swap_rate"].tolist() == [1.0]


def sources_of(sampler, chains, steps):
    return torch.stack([sampler.step(chains)["source"] for _ in range(steps)])


@pytest.mark.parametrize("n", [2, 3, 4, 7])
@pytest.mark.parametrize("rising", [True, False])
def test_without_rejections_walkers_go_straight(n, rising):
    # Every swap is accepted where all energies are equal: a round trip of n temperatures takes 2 n trades, n steps.
    model, betas = Ising(Lattice((2, 2)), 0.0, device="cpu"), torch.linspace(0.1, 1, n)
    betas = betas if rising else betas.flip(0)
    sampler = ReplicaExchange(Still(model))
    chains = sampler.init(3, n, beta=betas, rng=generator(1, device="cpu"))
    labels = walkers(sources_of(sampler, chains, 40 * n))
    found = round_trips(labels, betas)
    if n == 2:  # one pair: it trades once a step
        assert (found.trips >= 39).all() and found.mean_time == 2
    else:
        assert ((found.trips == 39) | (found.trips == 40)).all() and found.mean_time == n
        assert abs(found.rate - 1) < 1.5 / 40
    assert found.flow[0 if rising else -1] == 1 and found.flow[-1 if rising else 0] == 0


def test_round_trips_of_series_made_by_hand():
    betas = torch.tensor([0.1, 0.5, 1.0])
    # Walker 0 stays in the middle, 1 goes hot, cold, hot, cold, hot; 2 is opposite, so its first arrival is cold.
    labels = torch.tensor([[1, 0, 2], [1, 0, 2], [2, 0, 1], [1, 0, 2], [1, 0, 2], [2, 0, 1], [1, 0, 2]])
    found = round_trips(labels[:, None], betas)
    assert found.trips.tolist() == [[0, 2, 1]]
    assert found.rate == 3 / 7 and found.mean_time == (6 + 3) / 3
    assert found.flow[[0, 2]].tolist() == [1, 0] and found.flow[1].isnan()
    assert round_trips(labels, betas.flip(0)).trips.tolist() == [0, 1, 2]
    # Back and forth at one end is no trip, nor is half of one.
    still = torch.tensor([[0, 1, 2], [1, 0, 2], [0, 1, 2], [0, 2, 1], [2, 0, 1]])
    found = round_trips(still, betas)
    assert found.trips.sum() == 0 and math.isnan(found.mean_time) and found.rate == 0
    # Walker 0 is in the middle coming from the hot end, walker 1 too, walker 2 from the cold end.
    assert round_trips(still, betas).flow[1] == 3 / 4


def test_walkers_follow_the_configurations():
    model = MODELS["ising 3x4 field"]
    sampler = ReplicaExchange(Still(model))
    chains = sampler.init(50, 4, beta=BETAS, rng=generator(4, device="cpu"))
    start = chains.x.clone()
    labels = walkers(sources_of(sampler, chains, 9))
    assert torch.equal(chains.x, start.gather(1, labels[-1][..., None].expand_as(start)))
    assert not torch.equal(labels[-1], labels[-2])


def test_round_trip_rate_of_independent_draws():
    # With independent draws between trades the rate of the even-odd scheme is 1 / (1 + sum r / (1 - r)) a step.
    model, betas = MODELS["ising 3x4"], torch.tensor([0.05, 0.3, 0.45, 0.7])
    sampler, steps, ladders = ReplicaExchange(Enumerated(model)), 1000, 150
    chains = sampler.init(ladders, 4, beta=betas, rng=generator(10, device="cpu"))
    found = round_trips(walkers(sources_of(sampler, chains, steps)), betas)
    expected = barrier(1 - enumerated_swap_rates(model, betas)).round_trip_rate
    # A trip that has begun and not ended is not counted: half a trip of each walker at each end of the record.
    per_ladder = found.trips.sum(-1).double() / steps
    missing = 4 / steps
    error = per_ladder.std() / ladders**0.5
    assert expected - missing - 4 * error < found.rate < expected + 4 * error
    assert missing < 0.05 * expected and error < 0.01 * expected


LAW_8 = joint_law(Strip.uniform((8, 8)))


def rejection_8x8(betas):
    levels = LAW_8.levels_energy
    counts = np.log(LAW_8.count.astype(np.float64).sum(1).clip(min=1e-300))
    pairs = zip(betas[:-1].tolist(), betas[1:].tolist(), strict=True)
    return 1 - np.array([exact_swap_rate(levels, counts, *pair) for pair in pairs])


def test_gaussian_energies_give_an_even_ladder():
    # Energies of variance sigma^2 at every beta: r = erf(sigma dbeta / 2), so equal steps of beta are even.
    sigma, betas = 4.0, geometric_ladder(0.2, 1.0, 9)

    def rejection(ladder):
        return erf(sigma * ladder.diff().numpy() / 2)

    assert torch.allclose(betas[1:] / betas[:-1], betas[1] / betas[0])
    for _ in range(4):
        betas = even_acceptance_ladder(betas, rejection(betas))
    assert torch.allclose(betas.diff(), torch.tensor(0.1, dtype=torch.float64), rtol=2e-3)
    rates = rejection(betas)
    assert math.isclose(barrier(rates).total, sigma * 0.8 / math.pi**0.5, rel_tol=0.02)
    # Twice as fine, each pair rejects half as often; and the number needed for a given acceptance agrees.
    fine = even_acceptance_ladder(betas, rates, n=17)
    assert np.allclose(rejection(fine), rates.mean() / 2, rtol=0.03)
    true = 1 + math.ceil(0.8 * sigma / (2 * erfinv(1 - 0.7)))
    assert abs(temperatures_needed(rates, 0.7) - true) <= 1


@pytest.mark.parametrize("falling", [False, True])
def test_acceptance_is_evened_across_the_transition(falling):
    betas = geometric_ladder(0.1, 0.8, 12)
    betas = betas.flip(0) if falling else betas
    before = rejection_8x8(betas)
    for _ in range(5):
        betas = even_acceptance_ladder(betas, rejection_8x8(betas))
    after = rejection_8x8(betas)
    assert before.std() / before.mean() > 0.3
    assert after.std() / after.mean() < 0.01
    assert abs(temperatures_needed(after, 1 - after.mean()) - 12) == 0
    assert barrier(after).round_trip_rate > barrier(before).round_trip_rate


def test_pilot_rounds_even_the_acceptance():
    model, betas = Ising(Lattice((8, 8)), device="cpu"), geometric_ladder(0.1, 0.7, 8)
    sampler = ReplicaExchange(Metropolis(model))
    chains = sampler.init(40, 8, beta=betas, rng=generator(11, device="cpu"))
    adapted = adapt_ladder(sampler, chains, rounds=4, steps=20)
    before, after = rejection_8x8(betas), rejection_8x8(adapted)
    assert before.std() / before.mean() > 0.25 and after.std() / after.mean() < 0.05
    assert torch.equal(chains.beta, adapted.float()) and torch.equal(adapted[[0, -1]], betas[[0, -1]].float().double())


def test_ladders_without_or_with_only_rejections():
    betas = torch.tensor([0.1, 0.2, 0.4])
    assert torch.allclose(even_acceptance_ladder(betas, [0.0, 0.0]), betas.double(), atol=1e-7)
    assert barrier([0.0, 0.0]).round_trip_rate == 1 and barrier([0.0, 1.0]).round_trip_rate == 0
    assert barrier([0.2, 0.6]).cumulated.tolist() == pytest.approx([0, 0.2, 0.8])
    assert barrier([0.5, 0.5]).round_trip_rate == pytest.approx(1 / 3)
    assert barrier([0.5, 0.5]).optimal_round_trip_rate == pytest.approx(1 / 2)
    assert temperatures_needed([0.0], 0.5) == 2 and temperatures_needed([0.5, 0.5], 0.75) == 5


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda s, c, g: ReplicaExchange(BlockGibbs(s.model), 0), "steps_between"),
        (lambda s, c, g: s.init(3, 4, beta=0.5, rng=g), "last axis"),
        (lambda s, c, g: s.init(3, 4, beta=BETAS[:, None], rng=g), "last axis"),
        (lambda s, c, g: s.init(beta=BETAS, rng=g), "last axis"),
        (lambda s, c, g: s.init(3, 1, beta=torch.ones(1), rng=g), "two or more"),
        (lambda s, c, g: s.init(3, 3, beta=torch.ones(3), rng=g), "two or more"),
        (lambda s, c, g: s.init(3, 3, beta=torch.tensor([0.1, 0.3, 0.2]), rng=g), "two or more"),
        (lambda s, c, g: s.init(3, 2, beta=torch.tensor([0.1, math.nan]), rng=g), "two or more"),
        (lambda s, c, g: s.init(3, 2, beta=torch.tensor([-0.1, 0.1]), rng=g), "not negative"),
        (lambda s, c, g: swap_accepted(BETAS, torch.full((4,), math.nan), torch.ones(2), 0), "not a number"),
        (lambda s, c, g: geometric_ladder(0.0, 1.0, 4), "0 < beta_min"),
        (lambda s, c, g: geometric_ladder(0.1, 1.0, 1), "n >= 2"),
        (lambda s, c, g: barrier([0.1, math.nan]), "between 0 and 1"),
        (lambda s, c, g: barrier([]), "between 0 and 1"),
        (lambda s, c, g: temperatures_needed([0.1], 1.0), "acceptance"),
        (lambda s, c, g: even_acceptance_ladder(BETAS, [0.1, 0.2]), "4 betas have 3 pairs"),
        (lambda s, c, g: even_acceptance_ladder([0.1, 0.1], [0.1]), "rise, or fall"),
        (lambda s, c, g: even_acceptance_ladder(BETAS, [0.1] * 3, n=1), "two or more"),
        (lambda s, c, g: adapt_ladder(s, c, rounds=0), "rounds and steps"),
        (lambda s, c, g: adapt_ladder(s, Chains(c.x, c.beta.expand(3, 4), g)), "share their betas"),
        (lambda s, c, g: round_trips(torch.zeros(5, 3, dtype=torch.int64), BETAS), "as many betas"),
    ],
)
def test_bad_input_says_what_is_wrong_in_one_line(wrong, says):
    rng = generator(1, device="cpu")
    sampler = ReplicaExchange(BlockGibbs(MODELS["ising 2x4"]))
    with pytest.raises(ValueError, match=says) as raised:
        wrong(sampler, sampler.init(3, 4, beta=BETAS, rng=rng), rng)
    assert "\n" not in str(raised.value)
