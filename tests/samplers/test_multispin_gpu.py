"""The Triton kernels: equal bit for bit to plain numbers.

On a CUDA device the kernels run there, elsewhere through Triton's interpreter.
"""

import os

import numpy as np
import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
pytest.importorskip("triton")

from ebmphys.energies import Ising
from ebmphys.lattice import Lattice
from ebmphys.rng import generator
from ebmphys.samplers.multispin import MultiSpin
from ebmphys.samplers.multispin.gpu import Tuning, advance
from ebmphys.samplers.multispin.gpu.launch import sweep
from tests.samplers.plain_numbers import BETAS, DEVICE, MODELS, UPDATES, WIDE, glass, same_after, started, uniform


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
