"""Bit-packed chains: what is read from bits, moved with them, kept and refused; and the samplers that move chains."""

import copy

import numpy as np
import pytest
import torch

from ebmphys.energies import Ising, gaussian_couplings
from ebmphys.exact import log_partition
from ebmphys.lattice import Lattice
from ebmphys.rng import generator
from ebmphys.samplers import Chains, ReplicaExchange, advance, population_annealing
from ebmphys.samplers.multispin import MultiSpin
from tests.samplers.laws import all_states, exact_draws, p_value
from tests.samplers.packed import MODELS, glass

THRESHOLD = 1e-4


def test_energies_bits_and_magnetizations_without_unpacking():
    for name, model in MODELS.items():
        sampler = MultiSpin(model)
        chains = sampler.init(3, 200, beta=0.5, rng=generator(8, name, device="cpu"))
        sampler.advance(chains, 5)
        x = chains.x
        assert torch.allclose(chains.energy(model), model.energy(x).double(), atol=1e-4)
        assert torch.allclose(chains.magnetization(model.n_sites), x.mean(-1, dtype=torch.float64), atol=1e-14)
        assert np.array_equal(chains.bits(model.n_sites), np.packbits(x.numpy() > 0, axis=-1))


@pytest.mark.parametrize("shape", [(128, 16), (24, 192), (4, 16, 128)])
def test_packed_sites_read_back(shape):
    model = glass(Lattice(shape), 0.3)
    sampler = MultiSpin(model, packing="sites")
    chains = sampler.init(3, beta=0.4, rng=generator(8, device="cpu"))
    sampler.advance(chains, 3)
    x = chains.x
    assert torch.allclose(chains.energy(model), model.energy(x).double(), atol=1e-2)
    assert torch.allclose(chains.magnetization(model.n_sites), x.mean(-1, dtype=torch.float64), atol=1e-14)
    words = chains.words.copy()
    chains.x = x
    assert np.array_equal(chains.words, words)


def test_threads_change_nothing():
    model = Ising(Lattice((8, 8)), device="cpu")
    sampler, found = MultiSpin(model), []
    threads = torch.get_num_threads()
    for count in (1, 3):
        torch.set_num_threads(count)
        chains = sampler.init(2000, beta=0.4, rng=generator(11, device="cpu"))
        sampler.advance(chains, 20)
        found.append(chains.words)
    torch.set_num_threads(threads)
    assert np.array_equal(*found)


def test_stopping_and_going_on_visits_the_same_states():
    sampler = MultiSpin(MODELS["3x4 +-J"], "metropolis")
    chains = sampler.init(600, beta=0.4, rng=generator(12, device="cpu"))
    sampler.advance(chains, 3)
    chains.reorder(torch.randperm(600, generator=generator(1, device="cpu")))
    state = copy.deepcopy(chains.state())
    advance(sampler, chains, 4)
    other = sampler.init(600, beta=0.4, rng=generator(13, device="cpu"))
    other.restore(state)
    for _ in range(4):
        sampler.step(other)
    assert torch.equal(chains.x, other.x)


@pytest.mark.parametrize("packing", ["replicas", "sites"])
def test_reordering_and_turning_over(packing):
    shape, count = ((3, 4), 600) if packing == "replicas" else ((128, 16), 5)
    model = Ising(Lattice(shape), 1.0, 0.1, device="cpu")
    sampler = MultiSpin(model, packing=packing)
    chains = sampler.init(count, beta=torch.linspace(0.1, 0.9, count), rng=generator(14, device="cpu"))
    x, rng = chains.x, generator(15, device="cpu")
    for source in (torch.randperm(count, generator=rng), torch.randint(count, (count,), generator=rng)):
        chains.reorder(source)
        x = x[source]
        assert torch.equal(chains.x, x)
        assert torch.allclose(chains.energy(model), model.energy(x).double(), atol=1e-4)
    chosen = torch.rand(count, generator=rng) < 0.5
    chains.turn_over(chosen)
    x[chosen] *= -1
    assert torch.equal(chains.x, x)
    sampler.advance(chains, 1)
    assert torch.allclose(chains.energy(model), model.energy(chains.x).double(), atol=1e-4)


def test_after_a_swap_of_temperatures_each_chain_keeps_its_beta():
    model, betas = MODELS["3x4"], torch.tensor([0.1, 0.6], dtype=torch.float64)
    sampler = MultiSpin(model)
    chains = sampler.init(40_000, 2, beta=betas, rng=generator(16, device="cpu"))
    sampler.advance(chains, 50)
    pairs = torch.arange(80_000).reshape(-1, 2).flip(1).reshape(-1)
    chains.reorder(pairs)
    assert p_value(model, 0.1, chains.x[:, 0]) < THRESHOLD  # hot and cold have changed places
    sampler.advance(chains, 50)
    for place, beta in enumerate(betas.tolist()):
        assert p_value(model, beta, chains.x[:, place]) > THRESHOLD


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: MultiSpin(Ising(Lattice((4, 4), periodic=False), device="cpu")), "neighbours"),
        (
            lambda: MultiSpin(Ising(Lattice((4, 4)), gaussian_couplings(Lattice((4, 4)), generator(1)), device="cpu")),
            "J",
        ),
        (lambda: MultiSpin(Ising(Lattice((2, 2)), 1.0, torch.tensor([0.0, 1, 2, 3]), device="cpu")), "field"),
        (lambda: MultiSpin(Ising(Lattice((4, 4)), device="cpu"), attempt=1.0), "attempt"),
        (lambda: MultiSpin(Ising(Lattice((4, 4)), device="cpu"), "kawasaki"), "kawasaki"),
        (lambda: MultiSpin(Ising(Lattice((64, 64)), device="cpu"), packing="sites").layout, "128"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(make, says):
    with pytest.raises(ValueError, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_other_chains_are_refused():
    model = MODELS["3x4"]
    with pytest.raises(ValueError, match="own init"):
        MultiSpin(model).step(Chains(all_states(model), torch.tensor(0.3), generator(1, device="cpu")))


def test_replica_exchange_of_bits_keeps_every_temperature():
    # Trades move no spins here, only which bit is whose; so the thresholds of the bits have to follow.
    model, betas = MODELS["3x4 field"], torch.tensor([0.1, 0.35, 0.6, 1.0], dtype=torch.float64)
    exchange = ReplicaExchange(MultiSpin(model))
    chains = exchange.init(20_000, 4, beta=betas, rng=generator(17, device="cpu"))
    chains.x = torch.stack([exact_draws(model, beta, 20_000, seed=18) for beta in betas.tolist()], 1)
    traded = torch.stack([exchange.step(chains)["swap_rate"].mean() for _ in range(4)])
    assert (traded > 0.2).all()
    for place, beta in enumerate(betas.tolist()):
        assert p_value(model, beta, chains.x[:, place]) > THRESHOLD


def test_population_annealing_of_bits():
    # Resampling copies configurations, which bits have to be moved for.
    model, beta = MODELS["3x4"], 0.44
    sampler, found = MultiSpin(model), []
    for seed in range(8):
        rng = generator(19, seed, device="cpu")
        *_, last = population_annealing(sampler, 1024, torch.linspace(0, beta, 8), 10, rng=rng)
        found.append(last.log_partition)
    exact = log_partition(model, beta)
    found = np.array(found)
    assert abs(found.mean() - exact) < 4 * found.std(ddof=1) / len(found) ** 0.5 + 1e-3


def test_counts_of_ordered_configurations():
    # Where every spin is up, every counter of the read-out is filled to the brim.
    for shape, packing in (((4, 6), "replicas"), ((128, 16), "sites")):
        for coupling in (1.0, -1.0):
            model = Ising(Lattice(shape), coupling, device="cpu")
            chains = MultiSpin(model, packing=packing).init(2, rng=generator(24, device="cpu"))
            chains.x = torch.ones(2, model.n_sites)
            assert chains.energy(model).tolist() == [-coupling * model.graph.n_bonds] * 2
            assert chains.magnetization(model.n_sites).tolist() == [1.0] * 2


def test_beta_changed_in_place_is_noticed_and_nobody_elses():
    model, betas = MODELS["3x4"], torch.full((20_000,), 1.0, dtype=torch.float64)
    sampler = MultiSpin(model)
    chains = sampler.init(20_000, beta=betas, rng=generator(26, device="cpu"))
    sampler.advance(chains, 5)
    betas.fill_(0.9)
    assert (chains.beta == 1).all()
    chains.beta.fill_(0.3)
    sampler.advance(chains, 80)
    assert p_value(model, 0.3, chains.x) > THRESHOLD


def test_configurations_of_another_shape_are_refused():
    chains = MultiSpin(MODELS["3x4"]).init(5, rng=generator(27, device="cpu"))
    with pytest.raises(ValueError, match="shape"):
        chains.x = torch.ones(12)
