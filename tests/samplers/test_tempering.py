"""Replica exchange against enumerated laws, and its swaps one by one."""

import math

import numpy as np
import pytest
import torch

from ebmphys.energies import Ising
from ebmphys.lattice import Lattice
from ebmphys.rng import generator
from ebmphys.samplers import BlockGibbs, Chains, Metropolis
from ebmphys.samplers.tempering import ReplicaExchange, exchange, swap_accepted
from tests.models import continuous_models
from tests.samplers.laws import all_states, p_value
from tests.samplers.trades import BETAS, MODELS, Still, enumerated_swap_rates, exact_ladders, p_values

LADDERS = 20_000
THRESHOLD = 1e-4
NAMES = ["ising 2x4", "ising 3x4 field", "+-J 3x4", "rbm spin-bit", "rbm bit-bit"]


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
    ],
)
def test_bad_input_says_what_is_wrong_in_one_line(wrong, says):
    rng = generator(1, device="cpu")
    sampler = ReplicaExchange(BlockGibbs(MODELS["ising 2x4"]))
    with pytest.raises(ValueError, match=says) as raised:
        wrong(sampler, sampler.init(3, 4, beta=BETAS, rng=rng), rng)
    assert "\n" not in str(raised.value)
