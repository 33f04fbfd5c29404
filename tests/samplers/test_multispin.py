"""Bit-packed kernels: equal to the plain reference bit for bit, which decides exactly where theory says; and their law.

The chain of evidence: thresholds are bracketed on the reference with random bits put in by hand, the kernels equal the
reference bit for bit with the same random words, and both packings keep the enumerated law or Kaufman's energies.
"""

import copy
from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from ebmphys.energies import Ising, gaussian_couplings, plus_minus_couplings
from ebmphys.exact import kaufman, log_partition
from ebmphys.lattice import Lattice
from ebmphys.rng import generator
from ebmphys.samplers import Chains, ReplicaExchange, advance, population_annealing
from ebmphys.samplers.multispin import MultiSpin
from ebmphys.samplers.multispin.kernel import FRESH, PLANES
from ebmphys.samplers.multispin.layout import as_bits
from ebmphys.samplers.multispin.reference import reference_sweep, updated
from tests.samplers.laws import all_states, exact_draws, p_value

THRESHOLD = 1e-4


def glass(lattice, field=0.0):
    rng = generator(5, str(lattice.shape), lattice.geometry, device="cpu")
    return Ising(lattice, plus_minus_couplings(lattice, rng), field, device="cpu")


def models() -> dict[str, Ising]:
    return {
        "2x4": Ising(Lattice((2, 4)), device="cpu"),
        "3x4": Ising(Lattice((3, 4)), device="cpu"),
        "3x4 field": Ising(Lattice((3, 4)), 0.7, 0.3, device="cpu"),
        "3x4 antiferromagnet": Ising(Lattice((3, 4)), -1.0, device="cpu"),
        "3x4 +-J": glass(Lattice((3, 4))),
        "3x4 +-J field": glass(Lattice((3, 4)), -0.4),
        "2x2x3": Ising(Lattice((2, 2, 3)), device="cpu"),
        "2x2x3 field": Ising(Lattice((2, 2, 3)), 1.0, 0.2, device="cpu"),
        "triangular 3x3 antiferromagnet": Ising(Lattice((3, 3), "triangular"), -1.0, device="cpu"),
        "triangular 3x4 +-J field": glass(Lattice((3, 4), "triangular"), 0.5),
        "honeycomb 2x3": Ising(Lattice((2, 3), "honeycomb"), device="cpu"),
        "honeycomb 2x3 field": Ising(Lattice((2, 3), "honeycomb"), 1.0, -0.6, device="cpu"),
        "chain": Ising(Lattice(10), device="cpu"),
        "chain field": Ising(Lattice(10), 1.0, 0.3, device="cpu"),
    }


MODELS = models()
UPDATES = ("heat_bath", "metropolis")


def packed(sampler, x, beta, seed=2):
    chains = sampler.init(len(x), beta=beta, rng=generator(seed, device="cpu"))
    chains.x = x
    return chains


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("name", MODELS)
def test_exact_draws_stay_exact(name, update):
    model, sampler = MODELS[name], MultiSpin(MODELS[name], update)
    for beta in (0.2, 0.4406868, 1.0):
        chains = packed(sampler, exact_draws(model, beta, 60_000, seed=1), beta)
        sampler.advance(chains, 3)
        assert p_value(model, beta, chains.x) > THRESHOLD


@pytest.mark.parametrize("update", UPDATES)
def test_three_percent_of_beta_are_noticed(update):
    model, beta = MODELS["3x4"], 0.4
    sampler = MultiSpin(model, update)
    chains = packed(sampler, exact_draws(model, beta, 60_000, seed=1), 1.03 * beta)
    sampler.advance(chains, 20)
    assert p_value(model, beta, chains.x) < THRESHOLD


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("name", ["2x4", "3x4 field", "triangular 3x3 antiferromagnet", "2x2x3"])
def test_random_starts_reach_the_law(name, update):
    # Irreducibility, which draws that are exact from the start cannot show.
    model, sampler = MODELS[name], MultiSpin(MODELS[name], update)
    chains = sampler.init(20_000, beta=0.35, rng=generator(3, device="cpu"))
    sampler.advance(chains, 80)
    assert p_value(model, 0.35, chains.x) > THRESHOLD


def test_every_bit_has_its_own_beta():
    model, betas = MODELS["3x4 field"], torch.tensor([0.1, 0.3, 0.7], dtype=torch.float64)
    sampler = MultiSpin(model)
    x = torch.stack([exact_draws(model, beta, 50_000, seed=4) for beta in betas.tolist()], 1)
    chains = sampler.init(50_000, 3, beta=betas, rng=generator(4, device="cpu"))
    chains.x = x
    sampler.advance(chains, 3)
    for place, beta in enumerate(betas.tolist()):
        assert p_value(model, beta, chains.x[:, place]) > THRESHOLD
    assert p_value(model, 0.1, chains.x[:, 1]) < THRESHOLD


def reference_cases():
    sites = {
        "square": Lattice((128, 16)),
        "square, other way": Lattice((16, 128)),
        "cubic": Lattice((2, 128, 16)),
        "triangular": Lattice((128, 24), "triangular"),
    }
    for name, model in MODELS.items():
        yield name, model, "replicas", 700
    for name, lattice in sites.items():
        yield f"sites {name}", Ising(lattice, device="cpu"), "sites", 2
        yield f"sites {name} +-J field", glass(lattice, 0.2), "sites", 2


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize(("name", "model", "packing", "count"), list(reference_cases()), ids=lambda v: str(v)[:30])
def test_kernels_equal_the_reference_bit_for_bit(name, model, packing, count, update):
    sampler = MultiSpin(model, update, packing)
    betas = torch.linspace(0.1, 1.2, count, dtype=torch.float64)
    chains = sampler.init(count, beta=betas, rng=generator(6, device="cpu"))
    other = copy.deepcopy(chains)
    sampler.advance(chains, 2)
    for _ in range(2):
        reference_sweep(other, sampler.rule, sampler.attempt)
    assert np.array_equal(chains.words, other.words)
    assert np.array_equal(chains.streams, other.streams)  # so the same number of extra planes was drawn


def numbers_as_planes(numbers):
    """Random bits that make every R the given number of PLANES bits, in the order in which they are drawn."""
    order = [*range(FRESH - 1, -1, -1), *range(FRESH, PLANES)]
    planes = iter([(numbers >> (PLANES - 1 - plane)) & 1 for plane in order])
    return lambda needed: next(planes)


def cost_of_up(model, states, site):
    """E(up) - E(down) of one site in float64: float32 energies are too coarse for what is bracketed here."""
    others = states.double()
    total = torch.full((len(states),), model.fields[site].double().item())
    for (i, j), coupling in zip(model.graph.bonds.tolist(), model.couplings.double().tolist(), strict=True):
        if site in (i, j):
            total = total + coupling * others[:, j if site == i else i]
    return -2 * total


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize(
    "name", ["2x4", "3x4 field", "3x4 +-J field", "triangular 3x3 antiferromagnet", "honeycomb 2x3"]
)
def test_decisions_turn_at_the_probability(name, update):
    """Threshold bracketing over every state of the small model: R just below p, and R just above it, 2^-31 apart."""
    model, beta = MODELS[name], 0.4406868
    sampler, states = MultiSpin(model, update), all_states(MODELS[name])
    for site in range(0, model.n_sites, 3):
        cost = cost_of_up(model, states, site)
        was = states[:, site] > 0
        if update == "metropolis":
            p = 15 / 16 * torch.exp(-beta * torch.where(was, -cost, cost)).clamp(max=1)
        else:
            p = torch.sigmoid(-beta * cost)  # to point up; without a field R decides about the minority instead
            p = p if model.fields.any() else torch.minimum(p, 1 - p)
        for shift in (-1, 1):
            chains = packed(sampler, states, beta)
            numbers = torch.zeros(len(chains.words) * 512, dtype=torch.long)
            numbers[: len(states)] = ((p * 2**PLANES).round().long() + shift).clamp(0, 2**PLANES - 1)
            now = one_site(chains, sampler, site, numbers.reshape(-1, 512)).reshape(-1)[: len(states)].bool()
            if update == "metropolis":
                assert torch.equal(now != was, torch.full_like(was, shift < 0))
            elif model.fields.any():
                assert torch.equal(now, torch.full_like(was, shift < 0))
            else:
                clear = cost != 0
                assert torch.equal(now[clear], ((cost > 0) == (shift < 0))[clear])


def one_site(chains, sampler, site, numbers):
    """The reference's new values of one site, its random numbers in hand; (blocks, BITS)."""
    layout = chains.layout
    i = int(np.flatnonzero(layout.order == site)[0])
    bits = torch.from_numpy(as_bits(chains.words)).long()
    flips = torch.from_numpy(as_bits(np.broadcast_to(layout.flips, (*layout.flips.shape[:-1], 8)))).long()
    up = (bits[:, layout.neighbours[i]] ^ (flips[i] if layout.flip_words else flips)).sum(1)
    beta = torch.from_numpy(chains.beta_of_bits())
    return updated(chains, sampler.rule, sampler.attempt, beta, up, bits[:, site], numbers_as_planes(numbers))


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


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize(("packing", "shape"), [("replicas", (16, 16)), ("replicas", (32, 32)), ("sites", (128, 32))])
def test_energy_against_kaufman(packing, shape, update):
    """Independent chains from random and from ordered starts, long after both are forgotten."""
    model, beta = Ising(Lattice(shape), device="cpu"), 0.36
    sampler = MultiSpin(model, update, packing)
    count = 2048 if packing == "replicas" else 128
    chains = sampler.init(count, beta=beta, rng=generator(9, packing, update, device="cpu"))
    x = chains.x
    x[::2] = 1
    chains.x = x
    sampler.advance(chains, 400)
    e = chains.energy(model) / model.n_sites
    assert abs(e.mean() - kaufman(shape, beta).energy_per_site) < 4 * e.std() / count**0.5
    wrong = kaufman(shape, 1.01 * beta).energy_per_site  # the control: one percent of beta is seen
    assert abs(e.mean() - wrong) > 4 * e.std() / count**0.5


def test_replicas_are_independent():
    """Correlations between the energies of replicas that share words are those of chance."""
    model = Ising(Lattice((8, 8)), device="cpu")
    sampler = MultiSpin(model)
    chains = sampler.init(512, beta=0.3, rng=generator(10, device="cpu"))
    sampler.advance(chains, 100)
    series = []
    for _ in range(400):
        sampler.advance(chains, 20)
        series.append(chains.energy(model))
    correlations = np.corrcoef(torch.stack(series, 1).numpy())[np.triu_indices(512, 1)]
    statistic = 400 * (correlations**2).sum()
    assert chi2.ppf(1e-4, len(correlations)) < statistic < chi2.ppf(1 - 1e-4, len(correlations))


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


def test_doubled_bonds_and_shared_words_in_every_combination():
    # Two-valued products of rule and lattice meet in the tables; none may read beyond them.
    for (name, model), update in product(MODELS.items(), UPDATES):
        layout = MultiSpin(model, update).layout
        assert layout.neighbours.max() < layout.n_slots, name
        assert sorted(layout.order) == list(range(model.n_sites))


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


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize(
    ("lattice", "packing"),
    [
        (Lattice((6, 6)), "replicas"),
        (Lattice((128, 32)), "sites"),
        (Lattice((4, 16, 128)), "sites"),
        (Lattice((128, 24), "triangular"), "sites"),
    ],
    ids=lambda v: getattr(v, "geometry", v),
)
def test_spins_of_a_cold_glass_follow_the_couplings_of_the_model(lattice, packing, update):
    """The tables of couplings against the model itself, which reference and kernel, sharing them, cannot show."""
    model = glass(lattice)
    sampler = MultiSpin(model, update, packing)
    chains = sampler.init(4, beta=30.0, rng=generator(25, device="cpu"))
    sampler.advance(chains, 20)
    x = chains.x
    along = torch.cat([x[..., sites] * model.conditional(x, name) for name, sites in model.blocks.items()], -1) >= 0
    assert along.float().mean() > 0.97


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
