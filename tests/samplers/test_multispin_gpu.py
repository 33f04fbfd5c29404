"""The Triton kernels: equal bit for bit to plain numbers, whose law is the enumerated one.

The plain sweep below knows nothing of words, slots' neighbours or planes: it goes by the graph of the model, and
compares whole numbers. On a CUDA device the kernels run there, elsewhere through Triton's interpreter.
"""

import copy
import os

import numpy as np
import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
pytest.importorskip("triton")

from ebmphys.energies import Ising, plus_minus_couplings
from ebmphys.lattice import Lattice
from ebmphys.rng import generator
from ebmphys.samplers.multispin import MultiSpin
from ebmphys.samplers.multispin.gpu import SHARED, STRICT, DeviceChains, Tuning, advance
from ebmphys.samplers.multispin.gpu.launch import sweep
from ebmphys.samplers.multispin.rules import Rule, probabilities
from tests.samplers.laws import exact_draws, p_value

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
THRESHOLD = 1e-4
# The interpreter's time goes by operations, whatever their width.
WIDE = STRICT if torch.cuda.is_available() else Tuning(rows=64)
UPDATES = ("heat_bath", "metropolis")


def glass(lattice, field=0.0):
    rng = generator(5, str(lattice.shape), lattice.geometry, device="cpu")
    return Ising(lattice, plus_minus_couplings(lattice, rng).to(DEVICE), field, device=DEVICE)


def uniform(lattice, coupling=1.0, field=0.0):
    return Ising(lattice, coupling, field, device=DEVICE)


MODELS = {
    "2x4": uniform(Lattice((2, 4))),
    "3x4 field": uniform(Lattice((3, 4)), 0.7, 0.3),
    "3x4 +-J": glass(Lattice((3, 4))),
    "2x2x3": uniform(Lattice((2, 2, 3))),
    "2x2x3 +-J field": glass(Lattice((2, 2, 3)), 0.4),
    "triangular 3x3": uniform(Lattice((3, 3), "triangular"), -1.0),
    "honeycomb 2x3": uniform(Lattice((2, 3), "honeycomb")),
    "honeycomb 2x3 +-J field": glass(Lattice((2, 3), "honeycomb"), -0.6),
    "chain": uniform(Lattice(10)),
    "chain field": uniform(Lattice(10), 1.0, 0.3),
}


def started(sampler, count, beta, seed=2):
    beta = torch.as_tensor(beta, dtype=torch.float64)
    return DeviceChains(sampler.model, sampler.layout, (count,), beta, generator(seed, device=DEVICE))


def philox(counter, key):
    """The generator as its authors write it, with whole numbers of 64 bits; (4, ...) and two words -> (4, ...)."""
    c, k = [np.asarray(v, dtype=np.uint64) for v in counter], [int(v) for v in key]
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        first, second = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [
            (second >> np.uint64(32)) ^ c[1] ^ np.uint64(k[0]),
            second & low,
            (first >> np.uint64(32)) ^ c[3] ^ np.uint64(k[1]),
            first & low,
        ]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return np.stack(np.broadcast_arrays(*c))


def test_the_plain_generator_gives_the_published_words():
    assert [f"{int(w):08x}" for w in philox((0, 0, 0, 0), (0, 0))] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]
    full = 2**32 - 1
    assert [f"{int(w):08x}" for w in philox((full,) * 4, (full,) * 2)] == [
        "408f276d",
        "41c83b0e",
        "a20bc7c6",
        "6d5451fd",
    ]


class Plain:
    """One sweep at a time of spins (chains, n_sites), going by the model alone.

    ``given``: random words (blocks, slots, 32, 16) in place of the generator's.
    """

    def __init__(self, chains, update, attempt=15 / 16, tuning=STRICT, given=None):
        self.model, self.layout, self.update, self.attempt = chains.model, chains.layout, update, attempt
        self.key = chains.key.cpu().numpy().view(np.uint32)
        self.beta = chains.beta.expand(chains.batch).cpu().numpy()
        self.tuning, self.given, self.sweeps = tuning, given, int(chains.sweeps)

    def __call__(self, x):
        x = x.clone().cpu().numpy().astype(np.int64)
        graph, layout = self.model.graph, self.layout
        sign = np.sign(self.model.couplings.cpu().numpy()).astype(np.int64)
        for colour in range(len(layout.colours) - 1):
            slots = layout.order[layout.colours[colour] : layout.colours[colour + 1]]
            sites = slots if layout.site_of is None else layout.site_of[slots].ravel()
            local = (x[:, graph.neighbours[sites]] * sign[graph.neighbour_bonds[sites]]).sum(-1)
            x[:, sites] = self.updated(x[:, sites], local, self.planes(len(x), slots))
        self.sweeps += 1
        return torch.from_numpy(x).float().to(DEVICE)

    def planes(self, n_chains, slots):
        """The 32 random words of each spin, and which bit of them is its own."""
        packed = self.layout.site_of is None
        block = np.arange(-(-n_chains // 512) if packed else n_chains)[:, None, None]
        if self.given is None:
            at = slots[:, None] * 16 + np.arange(16)
            counters = ((at, block, self.sweeps % 2**32, g + 8 * (self.sweeps >> 32)) for g in range(8))
            words = np.concatenate([philox(counter, self.key) for counter in counters])
        else:
            words = np.moveaxis(self.given[:, slots].astype(np.uint64), 2, 0)
        bit = np.tile(np.arange(512, dtype=np.uint64) % 32, len(block) if packed else len(slots))
        words = np.repeat(words, 32, axis=-1)  # (plane, block, slot, bit)
        if packed:
            return np.moveaxis(words, 2, 3).reshape(32, -1, len(slots))[:, :n_chains], bit[:n_chains, None]
        return words.reshape(32, n_chains, -1), bit

    def updated(self, own, local, drawn):
        z = self.layout.neighbours.shape[1]
        strength, field = self.model.couplings.abs().max().item(), self.model.fields[0].item()
        if self.update == "metropolis":
            rule = Rule.METROPOLIS_FIELD if field else Rule.METROPOLIS
            klass = (z + local) // 2 * 2 + (own > 0) if field else np.minimum((z - own * local) // 2, (z + 1) // 2)
        else:
            rule = Rule.HEAT_BATH_FIELD if field else Rule.HEAT_BATH
            klass = (z + local) // 2 if field else (z - np.abs(local)) // 2
        table = probabilities(rule, z, self.beta, strength, field, self.attempt)
        if rule == Rule.HEAT_BATH and z % 2 == 0:
            table = np.concatenate([table, np.full((len(table), 1), 0.5)], axis=1)
        numbers = np.rint(table * 2.0**32).clip(0, 2**32 - 1).astype(np.uint64)
        below = self.below(numbers[np.arange(len(own))[:, None], klass], drawn)
        if self.update == "metropolis":
            return np.where(below, -own, own)
        return np.where(below ^ (local > 0 if rule == Rule.HEAT_BATH else False), 1, -1)

    def below(self, target, drawn):
        words, bit = drawn
        bits = (words >> bit) & np.uint64(1)
        number = sum(bits[plane] << np.uint64(31 - plane) for plane in range(32))
        if not self.tuning.shared:
            return number < target
        fresh = np.uint64(self.tuning.fresh)
        rest = np.uint64(32) - fresh
        a, b, c = (words[self.tuning.fresh - 4 + k] for k in range(3))
        common = a ^ turned(b, 8) ^ turned(c, 16)
        settled = common < ((target << fresh) & np.uint64(0xFFFFFFFF))
        top, aim = number >> rest, target >> rest
        return (top < aim) | ((top == aim) & settled)


def turned(words, by):
    return ((words << np.uint64(by)) | (words >> np.uint64(32 - by))) & np.uint64(0xFFFFFFFF)


def same_after(sampler, chains, sweeps, tuning=WIDE):
    """Whether kernels and plain numbers agree after so many sweeps."""
    plain, x = Plain(chains, sampler.update, sampler.attempt, tuning), chains.x
    advance(chains, sampler.rule, sampler.attempt, sweeps, tuning)
    for _ in range(sweeps):
        x = plain(x)
    return torch.equal(chains.x, x)


BETAS = {"one beta": 0.4, "many": torch.linspace(0.1, 1.2, 300, dtype=torch.float64)}


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("name", MODELS)
def test_kernels_equal_plain_numbers_bit_for_bit(name, update):
    sampler = MultiSpin(MODELS[name], update)
    betas = list(BETAS)[(list(MODELS).index(name) + UPDATES.index(update)) % 2]
    assert same_after(sampler, started(sampler, 300, BETAS[betas]), 1)


@pytest.mark.parametrize("tuning", [Tuning(fresh=4, rows=64), Tuning(fresh=8, shared=True, rows=64)], ids=str)
def test_ties_are_settled_as_plain_numbers_are(tuning):
    sampler = MultiSpin(MODELS["3x4 +-J"], "metropolis")
    beta = 0.4 if tuning.shared else torch.linspace(0.1, 1.2, 600)
    assert same_after(sampler, started(sampler, 600, beta), 1, tuning)


@pytest.mark.parametrize(
    ("model", "update", "count"),
    [
        (uniform(Lattice((128, 16))), "heat_bath", 2),
        (glass(Lattice((16, 128)), 0.2), "metropolis", 2),
        (uniform(Lattice((2, 128, 16)), 1.0, 0.2), "heat_bath", 1),
        (glass(Lattice((128, 24), "triangular")), "metropolis", 1),
    ],
    ids=lambda v: f"{v.graph.geometry}{v.graph.shape}" if isinstance(v, Ising) else str(v),
)
def test_packed_sites_equal_plain_numbers_bit_for_bit(model, update, count):
    sampler = MultiSpin(model, update, "sites")
    assert same_after(sampler, started(sampler, count, torch.tensor([0.3, 0.5])[:count]), 2)


@pytest.mark.parametrize(("update", "betas"), [("heat_bath", "many"), ("metropolis", "one beta")])
def test_decisions_turn_at_the_probability(update, betas):
    """Random words put in by hand that make R just p's number, which is not below it, and one less, which is."""
    model = MODELS["3x4 field"]
    sampler = MultiSpin(model, update)
    rng = generator(3, device="cpu")
    found = {}
    for less in (0, 1):
        chains = started(sampler, 300, BETAS[betas])
        numbers = numbers_of(chains, sampler, chains.x.cpu()) - less
        given = words_of(numbers, chains, rng)
        first = chains.layout.order[: chains.layout.colours[1]]
        before = chains.x.cpu()[:, first]
        sweep(
            chains.words, chains.tables, chains.thresholds(sampler.rule, sampler.attempt), int(sampler.rule),
            chains.key, chains.sweeps, 0, WIDE, torch.from_numpy(given.view(np.int32)).to(DEVICE),
        )  # fmt: skip
        after = chains.x.cpu()[:, first]
        found[less] = after > 0 if update == "heat_bath" else after != before
    assert not found[0].any()
    assert found[1].all()


def numbers_of(chains, sampler, x):
    """p of every spin of x as the number of 32 bits that its R is compared with, in float64; (chains, n_sites)."""
    graph, model = chains.model.graph, chains.model
    field, couplings = model.fields.cpu().double(), model.couplings.cpu().double()
    local = (x.double()[:, graph.neighbours] * couplings[graph.neighbour_bonds]).sum(-1) + field
    beta = chains.beta.cpu().expand(len(x))[:, None]
    if sampler.update == "heat_bath":
        p = torch.sigmoid(2 * beta * local)
    else:
        p = sampler.attempt * torch.exp(-2 * beta * x.double() * local).clamp(max=1)
    return (p * 2.0**32).round().clamp(1, 2**32 - 1).long().numpy()


def words_of(numbers, chains, rng):
    """Random words (blocks, slots, 32, 16) that make each R the number given; chance for bits that are no chain's."""
    n_chains, n_sites = numbers.shape
    every = torch.randint(2**32, (chains.n_blocks * 512, n_sites), generator=rng).numpy()
    every[:n_chains] = numbers
    bits = (every[..., None] >> np.arange(31, -1, -1)) & 1
    bits = np.moveaxis(bits.reshape(chains.n_blocks, 512, n_sites, 32), 1, -1).astype(np.uint8)
    return np.packbits(bits, axis=-1, bitorder="little").view("<u4").copy()


@pytest.mark.parametrize("tuning", [STRICT, SHARED], ids=["strict", "shared ties"])
@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("name", MODELS)
def test_plain_numbers_keep_exact_draws_exact(name, update, tuning):
    model = MODELS[name]
    for beta in (0.2, 0.4406868, 1.0):
        assert (
            p_value(model, beta, swept(model, update, exact_draws(model, beta, 20_000, seed=1), beta, 3, tuning))
            > THRESHOLD
        )


@pytest.mark.parametrize("update", UPDATES)
def test_five_percent_of_beta_are_noticed(update):
    model, beta = MODELS["2x4"], 0.4
    x = swept(model, update, exact_draws(model, beta, 20_000, seed=1), 1.05 * beta, 5, STRICT)
    assert p_value(model, beta, x) < THRESHOLD


def swept(model, update, x, beta, sweeps, tuning):
    plain = Plain(started(MultiSpin(model, update), len(x), beta), update, tuning=tuning)
    x = x.to(DEVICE)
    for _ in range(sweeps):
        x = plain(x)
    return x.cpu()


@pytest.mark.parametrize(("name", "update"), [("2x4", "heat_bath"), ("chain field", "metropolis")])
def test_kernels_keep_exact_draws_exact(name, update):
    model, beta = MODELS[name], 0.4
    count = 60_000 if DEVICE == "cuda" else 1024
    sampler = MultiSpin(model, update)
    chains = started(sampler, count, beta)
    chains.x = exact_draws(model, beta, count, seed=4).to(DEVICE)
    advance(chains, sampler.rule, sampler.attempt, 1, WIDE)
    assert p_value(model, beta, chains.x.cpu()) > THRESHOLD
    assert p_value(model, 1.5 * beta, chains.x.cpu()) < THRESHOLD


@pytest.mark.parametrize(
    ("shape", "packing"), [((3, 4), "replicas"), ((32, 34), "replicas"), ((128, 16), "sites"), ((24, 192), "sites")]
)
def test_energies_bits_and_magnetizations_without_unpacking(shape, packing):
    for model in (uniform(Lattice(shape), -1.0), glass(Lattice(shape), 0.3)):
        sampler = MultiSpin(model, packing=packing)
        chains = started(sampler, 600 if packing == "replicas" else 2, 0.5)
        x = chains.x
        assert abs(x.mean()) < 0.1
        assert torch.allclose(chains.energy(model), model.energy(x).double(), atol=1e-2)
        assert torch.allclose(chains.magnetization(model.n_sites), x.mean(-1, dtype=torch.float64), atol=1e-12)
        assert np.array_equal(chains.bits(model.n_sites), np.packbits(x.cpu().numpy() > 0, axis=-1))
        chains.x = torch.ones_like(x)  # every counter filled to the brim
        assert torch.allclose(chains.energy(model), model.energy(torch.ones_like(x)).double(), atol=1e-2)
        assert chains.magnetization(model.n_sites).tolist() == [1.0] * len(x)


@pytest.mark.parametrize("packing", ["replicas", "sites"])
def test_ghosts_reordering_and_turning_over(packing):
    shape, count = ((3, 4), 600) if packing == "replicas" else ((128, 16), 3)
    model = uniform(Lattice(shape), 1.0, 0.1)
    sampler = MultiSpin(model, packing=packing)
    chains, rng = started(sampler, count, torch.linspace(0.1, 0.9, count)), generator(15, device="cpu")
    x = chains.x
    chosen = torch.rand(count, generator=rng) < 0.5
    chains.turn_over(chosen.to(DEVICE))
    x[chosen] *= -1
    for source in (torch.randperm(count, generator=rng), torch.randint(count, (count,), generator=rng)):
        chains.reorder(source)
        x = x[source]
        assert torch.equal(chains.x, x)
        assert torch.allclose(chains.energy(model), model.energy(x).double(), atol=1e-2)
    words = chains.words.clone()
    chains.x = x
    sites = slice(chains.layout.n_slots)
    used = words if packing == "sites" else words & chains.words  # bits that are no chain's are set anew
    assert torch.equal(chains.words[:, sites] & used, used[:, sites])


def test_after_reordering_each_chain_has_its_own_beta():
    sampler = MultiSpin(MODELS["3x4 field"])
    chains = started(sampler, 300, BETAS["many"])
    chains.reorder(torch.arange(299, -1, -1))
    x, expected = chains.x, chains.beta_of_bits()[0, :300]
    assert np.allclose(expected, BETAS["many"].flip(0))
    rows = torch.arange(299, -1, -1)  # the plain sweep has chain c at place c
    plain = Plain(chains, "heat_bath")
    plain.beta = plain.beta[::-1]
    advance(chains, sampler.rule, sampler.attempt, 1, WIDE)
    assert torch.equal(chains.x, plain(x[rows])[rows])


def test_stopping_and_going_on_visits_the_same_states():
    sampler = MultiSpin(MODELS["3x4 +-J"], "metropolis")
    chains = started(sampler, 300, 0.4)
    chains.sweeps += 2**32 - 1  # the count goes on beyond 32 bits
    sampler.step(chains)
    chains.reorder(torch.randperm(300, generator=generator(1, device="cpu")))
    state = copy.deepcopy(chains.state())
    sampler.step(chains)
    other = started(sampler, 300, 0.4, seed=3)
    assert not torch.equal(other.x, chains.x)
    other.restore(state)
    sampler.step(other)
    assert torch.equal(chains.x, other.x)
    assert int(chains.sweeps) == int(other.sweeps) == 2**32 + 1


def test_the_count_of_sweeps_beyond_32_bits_makes_new_random_words():
    sampler = MultiSpin(MODELS["2x4"])
    chains = started(sampler, 300, 0.4)
    chains.sweeps += 3 * 2**32 + 1
    assert same_after(sampler, chains, 1)


@pytest.mark.parametrize(
    "tuning",
    [Tuning(rows=1, chunk=2), Tuning(rows=2, chunk=2), Tuning(fresh=24, rows=8)],
    ids=str,
)
def test_tiles_and_programs_change_nothing(tuning):
    sampler, found = MultiSpin(MODELS["2x4"], "metropolis"), []
    for how in (WIDE, tuning):
        chains = started(sampler, 300, 0.4)
        advance(chains, sampler.rule, sampler.attempt, 1, how)
        found.append(chains.words)
    assert torch.equal(*found)


def test_thresholds_are_numbers_where_each_block_has_one_beta():
    sampler = MultiSpin(MODELS["2x4"])
    beta = torch.full((812,), 0.2)
    beta[512:] = 0.5
    chains = started(sampler, 812, beta)
    assert chains.thresholds(sampler.rule, sampler.attempt).ndim == 2
    chains.reorder(torch.arange(811, -1, -1))
    assert chains.thresholds(sampler.rule, sampler.attempt).ndim == 4


def test_what_does_not_fit_is_said_in_one_line():
    sampler = MultiSpin(MODELS["3x4 field"])
    chains = started(sampler, 300, BETAS["many"])
    with pytest.raises(ValueError, match="one beta") as caught:
        advance(chains, sampler.rule, sampler.attempt, 1, SHARED)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="multiple of 4"):
        Tuning(fresh=10)
    with pytest.raises(ValueError, match="CUDA"):
        MultiSpin(Ising(Lattice((3, 4)), device="cpu"), shared_ties=True)
