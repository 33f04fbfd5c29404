"""Bit-packed kernels equal a plain reference bit for bit, and the reference decides exactly where theory says.

The chain of evidence: thresholds are bracketed on the reference with random bits put in by hand, the kernels equal the
reference bit for bit with the same random words, and both packings keep the enumerated law or Kaufman's energies.
"""

import copy

import numpy as np
import pytest
import torch

from ebmphys.energies import Ising
from ebmphys.lattice import Lattice
from ebmphys.rng import generator
from ebmphys.samplers.multispin import MultiSpin
from ebmphys.samplers.multispin.kernel import FRESH, PLANES
from ebmphys.samplers.multispin.layout import as_bits
from ebmphys.samplers.multispin.reference import reference_sweep, updated
from tests.samplers.laws import all_states
from tests.samplers.packed import MODELS, UPDATES, glass, packed


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


@pytest.mark.parametrize(("name", "model", "packing", "count"), list(reference_cases()), ids=lambda v: str(v)[:30])
def test_tables_stay_within_their_slots_and_hold_every_site_once(name, model, packing, count):
    layout = MultiSpin(model, packing=packing).layout
    sites = np.arange(model.n_sites) if layout.site_of is None else layout.site_of
    for slots in (layout.neighbours, layout.bonds):  # the last slot is no spin
        assert slots.min() >= 0 and slots.max() < layout.zero_slot
    assert sorted(layout.order) == list(range(len(sites)))
    assert sorted(sites.ravel()) == list(range(model.n_sites))
