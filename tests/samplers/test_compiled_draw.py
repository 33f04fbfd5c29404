"""The compiled heat bath against the plain one: every threshold, the randomness behind it, and its independence of
threads, batches and of how many steps are asked for at once."""

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from ebmphys.energies import RBM
from ebmphys.rng import generator
from ebmphys.samplers import BlockGibbs, Chains, heat_bath
from ebmphys.samplers.compiled import seeds
from ebmphys.samplers.gibbs import redraw
from ebmphys.samplers.two_valued import PER_NAT, CompiledDraw, compiles, decide, fill, seed
from ebmphys.units import Bit, Gaussian, Spin
from tests.models import random_rbm, small_models
from tests.samplers.laws import all_states, exact_draws, p_value

MODELS = small_models()
GRID = 2.0**-24


def decided(eta, u, unit, beta=1.0):
    """The kernel's values for uniforms on the grid; flat float32 arrays."""
    low, high = (np.float32(value) for value in unit.values)
    words = np.round(u / GRID).astype(np.uint32) << 8
    out = np.full(eta.shape, np.nan, np.float32)
    decide(words, eta.astype(np.float32), PER_NAT * np.float32(beta), low, high, out)
    return out


def disagreements(eta, unit, beta=1.0):
    """How many decisions are not those of p = 1 / (1 + exp(-beta eta)) a thousandth of p (1 - p) off the threshold."""
    p = 1 / (1 + np.exp(-beta * eta.astype(np.float64)))
    off = np.maximum(2e-3 * p * (1 - p), 2 * GRID)
    low, high = unit.values
    below, above = p - off, p + off
    inside = (below > 0) & (above < 1)
    wrong = decided(eta, np.floor(below.clip(0) / GRID) * GRID, unit, beta)[inside] != high
    missed = decided(eta, np.ceil(above.clip(max=1 - GRID) / GRID) * GRID, unit, beta)[inside] != low
    return int(wrong.sum() + missed.sum())


@pytest.mark.parametrize("unit", [Spin(), Bit()], ids=lambda unit: unit.name)
@pytest.mark.parametrize("beta", [0.3, 1.0, 2.5])
def test_every_threshold_is_where_the_logistic_function_has_it(unit, beta):
    eta = np.linspace(-30, 30, 200_001, dtype=np.float32) / np.float32(beta)
    assert disagreements(eta, unit, beta) == 0


def test_a_hundredth_of_a_nat_moves_a_threshold():
    # The negative control of the test above.
    eta = np.linspace(-10, 10, 20_001, dtype=np.float32)
    p = 1 / (1 + np.exp(-eta.astype(np.float64)))
    u = np.floor((p - 2e-3 * p * (1 - p)) / GRID) * GRID
    assert (decided(eta - np.float32(0.01), u, Bit()) != 1).mean() > 0.9


def test_thresholds_are_good_to_a_few_steps_of_the_grid():
    # The exponential's relative error d moves a threshold by p (1 - p) d: with 3e-7 by at most 1.3 steps of 2^-24.
    eta = np.linspace(-12, 12, 100_001, dtype=np.float32)
    p = 1 / (1 + np.exp(-eta.astype(np.float64)))
    at = np.round(p / GRID)
    reached = np.zeros(len(eta), bool)
    for steps, value in ((-3, 1), (3, 0)):
        u = ((at + steps) * GRID).clip(0, 1 - GRID)
        reached = decided(eta, u, Bit()) == value
        assert reached[(at > 3) & (at < 2**24 - 3)].all()


def test_fields_without_bounds_are_certain_and_no_number_gives_the_lower_value():
    eta = np.array([1e4, np.inf, -1e4, -np.inf, np.nan, 3e38, -3e38], np.float32)
    for u in (GRID, 0.5, 1 - GRID):
        assert decided(eta, np.full(7, u), Spin()).tolist() == [1, 1, -1, -1, -1, 1, -1]


@pytest.mark.parametrize("name", ["ising 3x4 field", "rbm spin-bit", "rbm bit-spin", "any graph"])
def test_the_same_uniforms_give_the_decisions_of_the_plain_heat_bath(name):
    model = MODELS[name]
    x = all_states(model)
    rng = np.random.default_rng(1)
    for block in model.blocks:
        eta = model.conditional(x, block).detach()
        u = torch.from_numpy(rng.integers(0, 2**24, eta.shape) * GRID).float()
        plain = heat_bath(model, x, block, torch.tensor(0.7), u)
        kernel = decided(eta.numpy().ravel(), u.numpy().ravel().astype(np.float64), model.units[block], 0.7)
        assert np.array_equal(kernel, plain.detach().numpy().ravel())


def drawn(shape, seed=1, eta=0.0, n_sites=None, first=0, beta=1.0):
    n_sites = shape[-1] if n_sites is None else n_sites
    x = torch.full((*shape[:-1], n_sites), torch.nan)
    draw = CompiledDraw(Bit(), torch.as_tensor(beta), x, slice(first, first + shape[-1]))
    draw(torch.as_tensor(eta, dtype=torch.float32).expand(shape), seeds((4,), generator(seed, device="cpu")))
    return x


@pytest.mark.parametrize(("rows", "n"), [(1, 1), (3, 7), (5, 16), (7, 17), (1000, 3), (70, 63), (3, 4096), (2, 5001)])
def test_every_site_of_the_block_is_written_and_no_other(rows, n):
    x = drawn((rows, n), n_sites=n + 5, first=2)
    assert x[:, :2].isnan().all() and x[:, n + 2 :].isnan().all()
    values = x[:, 2 : n + 2]
    assert ((values == 0) | (values == 1)).all()
    certain = drawn((rows, n), eta=torch.arange(rows * n).reshape(rows, n) % 2 * 200.0 - 100, n_sites=n + 5, first=2)
    assert torch.equal(certain[:, 2 : n + 2].flatten(), (torch.arange(rows * n) % 2).float())


@pytest.mark.parametrize("n", [5, 64, 300])
def test_draws_of_sites_chains_and_steps_are_independent(n):
    """Pairs of fair coins at every small distance in the block, along the chains, and from key to key."""
    rows = 200_000 // n
    coins = torch.stack([drawn((rows, n), seed=number) for number in range(8)]) * 2 - 1
    flat = coins.flatten(1)
    pairs = [
        (flat[:, d:] * flat[:, :-d]).mean() * (8 * (flat.shape[1] - d)) ** 0.5 for d in (*range(1, 65), 4096, 8192)
    ]
    pairs += [(coins[:, d:] * coins[:, :-d]).mean() * (8 * (rows - d) * n) ** 0.5 for d in range(1, 65)]
    pairs += [(coins[d:] * coins[:-d]).mean() * ((8 - d) * rows * n) ** 0.5 for d in range(1, 8)]
    pairs.append(coins.mean() * coins.numel() ** 0.5)
    z = torch.stack(pairs)
    assert z.abs().max() < 4.5
    assert chi2.sf(float((z**2).sum()), len(z)) > 1e-4


def test_streams_of_keys_and_chunks_share_no_word_and_no_bits():
    rng = generator(1, device="cpu")
    streams = []
    for key in seeds((4, 4), rng):
        for chunk in range(8):
            stream, words = np.empty(32, np.uint64), np.empty(256, np.uint64)
            seed(stream, key, chunk)
            fill(stream, words)
            streams.append(words)
    together = np.stack(streams)
    assert len(np.unique(together)) == together.size
    same = np.array([int(np.bitwise_count(a ^ b).sum()) for k, a in enumerate(together) for b in together[:k]])
    z = (same - 128 * 64) / (64 * 256 / 4) ** 0.5
    assert np.abs(z).max() < 5


def test_all_bits_of_the_words_are_fair():
    stream, words = np.empty(32, np.uint64), np.empty(2**16, np.uint64)
    seed(stream, seeds((4,), generator(3, device="cpu")), 0)
    fill(stream, words)
    counts = np.unpackbits(words.view(np.uint8)).reshape(len(words), 64).sum(0)
    z = (counts - len(words) / 2) / (len(words) / 4) ** 0.5
    assert np.abs(z).max() < 4.5


@pytest.mark.parametrize("name", ["ising 3x4 site fields", "rbm spin-bit", "rbm bit-bit"])
def test_many_chains_on_any_number_of_threads_are_the_same(name, monkeypatch):
    model = MODELS[name]
    monkeypatch.setattr("ebmphys.samplers.two_valued._WORTH_THREADS", 0)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            chains = BlockGibbs(model).init(20_000, rng=generator(5, device="cpu"))
            BlockGibbs(model).step(chains)
            found.append(chains.x)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


@pytest.mark.parametrize("name", ["ising 3x4", "rbm spin-spin"])
def test_steps_at_once_are_steps_one_by_one(name):
    model = MODELS[name]
    sampler = BlockGibbs(model)
    one, many = (sampler.init(2, 50, rng=generator(6, device="cpu")) for _ in range(2))
    for _ in range(7):
        sampler.step(one)
    sampler.advance(many, 3)
    sampler.advance(many, 4)
    assert torch.equal(one.x, many.x)
    assert torch.equal(one.rng.get_state(), many.rng.get_state())


def test_one_beta_for_all_is_beta():
    # A hundredth of beta would be seen: it moves p by 0.0022, seven standard errors.
    x = drawn((20_000, 100), eta=1.5, beta=0.7)
    p = float(torch.sigmoid(torch.tensor(1.05)))
    assert abs(float(x.mean()) - p) < 4 * (p * (1 - p) / 2e6) ** 0.5 < 0.0022 / 1.5


def test_each_chain_has_its_beta():
    betas = torch.tensor([[0.0], [0.5], [2.0]])
    x = drawn((3, 4000, 10), eta=1.5, beta=betas)
    p = torch.sigmoid(1.5 * betas[:, 0])
    sigma = (p * (1 - p) / 40_000) ** 0.5
    assert ((x.mean((1, 2)) - p).abs() < 4 * sigma).all()


@pytest.mark.parametrize("name", MODELS)
def test_one_block_drawn_anew_keeps_the_law(name):
    model, beta = MODELS[name], 0.6
    block = next(iter(model.blocks))
    start = exact_draws(model, beta, 50_000, seed=2)
    chains = Chains(start.clone(), torch.tensor(beta), generator(3, name, device="cpu"))
    redraw(model, chains, block)
    others = torch.ones(model.n_sites, dtype=torch.bool)
    others[model.blocks[block]] = False
    assert torch.equal(chains.x[:, others], start[:, others])
    assert not torch.equal(chains.x, start)
    assert p_value(model, beta, chains.x) > 1e-4


def test_one_block_drawn_at_another_beta_does_not_keep_the_law():
    model, beta = MODELS["rbm spin-bit"], 0.6
    chains = Chains(exact_draws(model, beta, 50_000, seed=2), torch.tensor(0.9 * beta), generator(3, device="cpu"))
    redraw(model, chains, "visible")
    assert p_value(model, beta, chains.x) < 1e-4


def test_what_is_compiled_and_what_is_not():
    x, block = torch.zeros(4, 6), slice(0, 3)
    assert compiles(Spin(), x, block) and compiles(Bit(), x, torch.tensor([0, 2]))
    assert not compiles(Gaussian(), x, block)
    assert not compiles(Spin(), x.double(), block)
    assert not compiles(Spin(), torch.zeros(6, 4).T, block)
    assert not compiles(Spin(), x, slice(0, 6, 2))
    assert not compiles(Spin(), x[0], block)


def test_a_machine_of_both_kinds_of_units_and_one_of_doubles():
    rng = generator(8, device="cpu")
    mixed = random_rbm(3, 4, Gaussian(0.7), Spin(), rng)
    chains = BlockGibbs(mixed).init(10, rng=rng)
    BlockGibbs(mixed).advance(chains, 3)
    assert chains.x[:, 3:].abs().eq(1).all() and not chains.x[:, :3].abs().eq(1).any()
    double = RBM(3, 4, rng=rng, device="cpu").double()
    chains = Chains(torch.ones(5, 7, dtype=torch.float64), torch.tensor(1.0), rng)
    BlockGibbs(double).step(chains)
    assert chains.x.abs().eq(1).all()


def test_autograd_objects_to_chains_that_moved_under_a_graph():
    model = MODELS["rbm spin-spin"]
    chains = BlockGibbs(model).init(5, rng=generator(1, device="cpu"))
    energy = model.energy(chains.x).sum()
    BlockGibbs(model).step(chains)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        energy.backward()
