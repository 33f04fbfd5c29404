"""Packed sweeps of two layers: sums and decisions against the plain ones, the law against enumeration, and nothing that
depends on threads, batches or how many steps are asked for at once."""

import numpy as np
import pytest
import torch
from numba import njit

from ebmphys.energies import RBM, ConvolutionalRBM
from ebmphys.lattice import Lattice
from ebmphys.rng import generator
from ebmphys.samplers import BlockGibbs, Chains
from ebmphys.samplers.compiled import seeds
from ebmphys.samplers.layered import LocalSweeps, TabulatedSweeps, packed_sweeps
from ebmphys.samplers.layered import local as by_bond
from ebmphys.samplers.layered.floats import heat_bath_bits, load_floats
from ebmphys.samplers.layered.tables import TILE, _pack, _tabulate, _unpack
from ebmphys.samplers.multispin.vector import load
from ebmphys.samplers.two_valued import PER_NAT, decide
from ebmphys.units import Bit, Gaussian, Spin
from tests.models import random_rbm
from tests.samplers.laws import exact_draws, p_value

UNITS = [(Spin(), Spin()), (Spin(), Bit()), (Bit(), Spin()), (Bit(), Bit())]
EACH = {"argvalues": UNITS, "ids": lambda pair: "-".join(unit.name for unit in pair)}


def rng_of(*path):
    return generator(1, "layered", *path, device="cpu")


def random_filters(shape, n_filters, visible, hidden, rng, reach=1.0):
    """A convolutional machine without any symmetry but that of translations."""
    model = ConvolutionalRBM(Lattice(shape), n_filters, reach, visible, hidden, rng=rng, scale=1.5, device="cpu")
    for bias in (model.visible_bias, model.hidden_bias):
        bias.data = torch.randn(bias.shape, generator=rng)
    return model


@njit
def sixteen(fields, rate, words):
    """The decision for sixteen units, as the sweep makes it."""
    return heat_bath_bits(load_floats(fields, 0), rate, load(words, 0))


@pytest.mark.parametrize("beta", [0.0, 0.7, 3.0])
def test_sixteen_decisions_at_once_are_those_of_one_by_one(beta):
    random = np.random.default_rng(1)
    rate, out = PER_NAT * np.float32(beta), np.empty(16, np.float32)
    different = 0
    for _ in range(3000):
        fields = (4 * random.standard_normal(16)).astype(np.float32)
        words = random.integers(0, 2**64, 8, dtype=np.uint64)
        decide(words.view(np.uint32), fields, rate, np.float32(0), np.float32(1), out)
        found = int(sixteen(fields, rate, words))
        different += ((found >> np.arange(16) & 1) != out).sum()
    assert different == 0


def test_each_of_sixteen_decisions_turns_where_the_logistic_function_has_it():
    random = np.random.default_rng(2)
    for _ in range(200):
        eta = (5 * random.standard_normal(16)).astype(np.float32)
        p = 1 / (1 + np.exp(-eta.astype(np.float64)))
        for step, upper in ((-8, True), (8, False)):
            u = np.clip(np.round(p * 2**24) + step, 0, 2**24 - 1)
            inside = np.abs(u / 2**24 - p) > 4 / 2**24
            words = (u.astype(np.uint32) << np.uint32(8)).view(np.uint64)
            found = (int(sixteen(eta, PER_NAT, words)) >> np.arange(16) & 1).astype(bool)
            assert (found == upper)[inside].all()


def test_fields_without_bounds_are_certain_and_no_number_gives_the_lower_value():
    fields = np.array([1e30, np.inf, -1e30, -np.inf, np.nan, 3e38, -3e38, 0] * 2, np.float32)
    words = np.full(8, (2**31 << 32) + 2**31 - 256, np.uint64)  # u just above and just below one half, in turn
    bits = int(sixteen(fields, PER_NAT, words)) >> np.arange(8) & 1
    assert bits[:7].tolist() == [1, 1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize("shape", [(4, 64), (64, 64), (128, 192)])
def test_rows_of_the_table_add_up_to_the_product(shape):
    random = np.random.default_rng(3)
    weights = random.standard_normal(shape).astype(np.float32)
    low, high = np.float32(-1), np.float32(1)
    padded = np.zeros((-(-shape[0] // TILE) * TILE, shape[1]), np.float32)
    padded[: shape[0]] = weights
    table = np.empty(padded.shape[0] // 4 * 16 * shape[1], np.float32)
    _tabulate(padded, low, high, table)
    entries = table.reshape(shape[1] // TILE, padded.shape[0] // 4, 16, TILE)
    bits = random.integers(0, 2, padded.shape[0])
    states = (bits.reshape(-1, 4) << np.arange(4)).sum(1)
    total = entries[:, np.arange(len(states)), states].sum(1).ravel()
    assert np.allclose(total, np.where(bits, high, low) @ padded, atol=1e-4)


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 200])
def test_packing_by_chains_is_undone_by_unpacking(rows):
    x = np.random.default_rng(rows).integers(0, 2, (rows, 9)).astype(np.float32) * 2 - 1
    words, back = np.empty((-(-rows // 64), 6), np.uint64), np.zeros_like(x)
    by_bond._pack(x, 2, words)
    by_bond._unpack(words, back, 2, np.float32(-1), np.float32(1))
    assert np.array_equal(back[:, 2:8], x[:, 2:8])
    assert not back[:, :2].any() and not back[:, 8:].any()


@pytest.mark.parametrize("n", [1, 3, 63, 64, 65, 200])
def test_packing_is_undone_by_unpacking(n):
    x = np.random.default_rng(n).integers(0, 2, (7, n + 5)).astype(np.float32) * 2 - 1
    words, back = np.empty((7, -(-n // TILE)), np.uint64), np.zeros_like(x)
    _pack(x, 2, n + 2, words)
    _unpack(words, back, 2, n + 2, np.float32(-1), np.float32(1))
    assert np.array_equal(back[:, 2 : n + 2], x[:, 2 : n + 2])
    assert not back[:, :2].any() and not back[:, n + 2 :].any()


def machine_of(sizes, units):
    """Of (visible, hidden) sizes an RBM, of (shape, filters) a convolutional one."""
    return (random_filters if isinstance(sizes[0], tuple) else random_rbm)(*sizes, *units, rng_of(str(sizes)))


@pytest.mark.parametrize("units", **EACH)
@pytest.mark.parametrize("sizes", [(1, 1), (5, 70), (64, 64), (130, 67), ((5, 7), 1), ((8, 6), 3), ((3, 4, 5), 2)])
def test_without_noise_each_unit_follows_the_sign_of_its_field(sizes, units):
    """At a large beta the drawn layer is certain: every weight and bias has to be where it belongs."""
    model = machine_of(sizes, units)
    sampler, n = BlockGibbs(model), model.n_visible
    chains = sampler.init(300, rng=rng_of("start"))
    kind = LocalSweeps if isinstance(sizes[0], tuple) else TabulatedSweeps
    assert type(packed_sweeps(model, chains.beta, chains.x)) is kind
    chains.beta = torch.tensor(1e5)
    v = chains.x[:, :n].clone()
    sampler.advance(chains, 1)
    up = model.conditional(torch.cat([v, chains.x[:, n:]], 1), "hidden")
    down = model.conditional(chains.x, "visible")
    for eta, values, unit in ((up, chains.x[:, n:], units[1]), (down, chains.x[:, :n], units[0])):
        clear = eta.abs() > 1e-3
        assert clear.float().mean() > 0.9
        assert torch.equal((values == unit.values[1])[clear], (eta > 0)[clear])


@pytest.mark.parametrize("units", **EACH)
@pytest.mark.parametrize("beta", [0.6, 1.3])
def test_three_sweeps_from_exact_draws_keep_the_law(units, beta):
    model = random_rbm(5, 3, *units, rng_of("law"))
    chains = Chains(exact_draws(model, beta, 200_000, seed=2), torch.tensor(beta), rng_of("steps"))
    BlockGibbs(model).advance(chains, 3)
    assert p_value(model, beta, chains.x) > 1e-4


def test_sweeps_at_another_beta_do_not_keep_it():
    # The negative control, for a beta off by a twentieth.
    model = random_rbm(5, 3, *UNITS[1], rng_of("law"))
    chains = Chains(exact_draws(model, 0.6, 200_000, seed=2), torch.tensor(0.63), rng_of("steps"))
    BlockGibbs(model).advance(chains, 3)
    assert p_value(model, 0.6, chains.x) < 1e-4


def test_each_chain_has_its_beta():
    model = random_rbm(5, 3, *UNITS[0], rng_of("law"))
    betas = torch.tensor([0.2, 0.7, 1.5])
    start = torch.stack([exact_draws(model, float(beta), 60_000, seed=k) for k, beta in enumerate(betas)])
    chains = Chains(start, betas[:, None], rng_of("steps"))
    BlockGibbs(model).advance(chains, 2)
    for beta, x in zip(betas.tolist(), chains.x, strict=True):
        assert p_value(model, beta, x) > 1e-4


@pytest.mark.parametrize("kind", [LocalSweeps, TabulatedSweeps])
@pytest.mark.parametrize("units", **EACH)
def test_two_sweeps_of_a_convolutional_machine_keep_the_law(units, kind):
    model = random_filters((2, 3), 1, *units, rng_of("filters"))
    x = exact_draws(model, 0.8, 200_000, seed=2)
    kind(model, torch.tensor(0.8), x).advance(2, rng_of("steps"))
    assert p_value(model, 0.8, x) > 1e-4


@pytest.mark.parametrize("kind", [LocalSweeps, TabulatedSweeps])
def test_a_filter_turned_about_does_not_keep_it(kind):
    # The negative control: weights that reach back where they should reach ahead.
    model = random_filters((2, 3), 1, *UNITS[1], rng_of("filters"), reach=None)
    x = exact_draws(model, 0.8, 200_000, seed=2)
    cells = model.displacements.lattice.cells[model.displacements.cells]
    turned = np.ravel_multi_index(tuple((-cells % np.array([2, 3])).T), (2, 3))
    model.filters.data = model.filters.data[:, np.argsort(model.displacements.cells)[turned]]
    kind(model, torch.tensor(0.8), x).advance(2, rng_of("steps"))
    assert p_value(random_filters((2, 3), 1, *UNITS[1], rng_of("filters"), reach=None), 0.8, x) < 1e-4


def test_each_of_many_convolutional_chains_has_its_beta():
    model = random_filters((2, 3), 1, *UNITS[0], rng_of("filters"))
    betas = torch.tensor([0.2, 0.7, 1.5]).repeat(60_000)  # different ones side by side, in one word
    x = torch.stack([exact_draws(model, float(beta), 60_000, seed=k) for k, beta in enumerate(betas[:3])], 1)
    x = x.flatten(0, 1)
    LocalSweeps(model, betas, x).advance(2, rng_of("steps"))
    for k in range(3):
        assert p_value(model, float(betas[k]), x[k::3]) > 1e-4


@pytest.mark.parametrize("kind", [LocalSweeps, TabulatedSweeps])
def test_coins_of_neighbouring_units_chains_and_sweeps_are_independent(kind):
    model = RBM(100, 70, Bit(), Bit(), device="cpu")  # all weights zero
    if kind is LocalSweeps:
        model = ConvolutionalRBM(Lattice((5, 17)), 1, 1.0, Bit(), Bit(), device="cpu")
    chains = BlockGibbs(model).init(600, rng=rng_of("coins"))
    found = []
    for _ in range(4):
        BlockGibbs(model).advance(chains, 1)
        found.append(2 * chains.x - 1)
    coins = torch.stack(found)
    # Every pair of coins by how many sweeps, chains and units they are apart, in either direction.
    waves, ones = (torch.fft.fft2(x, s=(1200, 340)) for x in (coins.double(), torch.ones(600, 170).double()))
    for apart in range(4):
        products = torch.fft.ifft2((waves[apart:] * waves[: 4 - apart].conj()).sum(0)).real
        numbers = torch.fft.ifft2(ones.abs() ** 2).real * (4 - apart)
        z = (products / numbers.clamp(min=0.5).sqrt())[numbers > 100]
        if apart == 0:
            z = z[1:]
        assert z.abs().max() < 5.8
    assert abs(float(coins.mean())) * coins.numel() ** 0.5 < 4


@pytest.mark.parametrize("sizes", [(70, 40), ((8, 8), 2)])
def test_threads_and_how_many_steps_are_asked_for_at_once_change_nothing(sizes, monkeypatch):
    model = machine_of(sizes, UNITS[1])
    sampler, before, found = BlockGibbs(model), torch.get_num_threads(), []
    monkeypatch.setattr("ebmphys.samplers.layered.base._WORTH_THREADS", 0)
    try:
        for threads, parts in ((1, (5,)), (2, (5,)), (1, (1, 1, 3))):
            torch.set_num_threads(threads)
            chains = sampler.init(2, 600, rng=rng_of("same"))
            for steps in parts:
                sampler.advance(chains, steps)
            found.append((chains.x, chains.rng.get_state()))
    finally:
        torch.set_num_threads(before)
    for x, state in found[1:]:
        assert torch.equal(x, found[0][0]) and torch.equal(state, found[0][1])


def test_keys_drawn_together_are_keys_drawn_in_turn():
    one, many = rng_of("keys"), rng_of("keys")
    assert np.array_equal(np.concatenate([seeds((1, 4), one) for _ in range(9)]), seeds((9, 4), many))


def test_what_is_packed_and_what_is_not():
    def kind(model, x):
        return type(packed_sweeps(model, torch.tensor(1.0), x))

    model, x, nothing = RBM(3, 4, device="cpu"), torch.ones(5, 7), type(None)
    assert kind(model, x) is TabulatedSweeps
    assert kind(model, x[0]) is kind(model, x.double()) is kind(model, torch.ones(7, 5).T) is nothing
    assert kind(RBM(3, 4, Gaussian(), device="cpu"), x) is nothing
    assert kind(RBM(1000, 600, device="cpu"), torch.ones(1, 1600)) is nothing
    near, far = (ConvolutionalRBM(Lattice((5, 4)), 2, reach, device="cpu") for reach in (1.0, 1.5))
    assert kind(near, torch.ones(5, 60)) is LocalSweeps and kind(far, torch.ones(5, 60)) is TabulatedSweeps
    large = ConvolutionalRBM(Lattice((32, 32)), 4, 2.3, device="cpu")
    assert kind(large, torch.ones(1, 5120)) is LocalSweeps
    assert kind(ConvolutionalRBM(Lattice((32, 32)), 4, device="cpu"), torch.ones(1, 5120)) is nothing


def test_autograd_objects_to_chains_that_moved_under_a_graph():
    model = random_rbm(3, 4, *UNITS[0], rng_of("graph"))
    chains = BlockGibbs(model).init(5, rng=rng_of("graph"))
    energy = model.energy(chains.x).sum()
    TabulatedSweeps(model, chains.beta, chains.x).advance(1, chains.rng)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        energy.backward()
