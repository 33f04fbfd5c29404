"""Ladders of temperatures with known answers, and the walkers and round trips of replica exchange along them."""

import math

import numpy as np
import pytest
import torch
from scipy.special import erf, erfinv

from ebmphys.energies import Ising
from ebmphys.exact import Strip, joint_law
from ebmphys.lattice import Lattice
from ebmphys.rng import generator
from ebmphys.samplers import BlockGibbs, Chains, Enumerated, Metropolis
from ebmphys.samplers.tempering import (
    ReplicaExchange,
    adapt_ladder,
    barrier,
    even_acceptance_ladder,
    geometric_ladder,
    round_trips,
    temperatures_needed,
    walkers,
)
from tests.samplers.trades import BETAS, MODELS, Still, enumerated_swap_rates, exact_swap_rate


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


def test_a_fine_ladder_from_coarse_rates_has_no_kinks():
    # Straight lines between the 8 known places would keep the step of each interval: 0.20 in place of 0.10.
    betas = geometric_ladder(0.1, 0.8, 8)
    for _ in range(5):
        betas = even_acceptance_ladder(betas, rejection_8x8(betas))
    fine = rejection_8x8(even_acceptance_ladder(betas, rejection_8x8(betas), n=64))
    assert fine.std() / fine.mean() < 0.14


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
