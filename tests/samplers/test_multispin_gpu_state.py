"""Chains on the device between sweeps: read without unpacking, reordered, turned over, gone on with."""

import copy
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
from ebmphys.samplers.multispin.gpu import SHARED, Tuning, advance
from tests.samplers.plain_numbers import BETAS, DEVICE, MODELS, WIDE, Plain, glass, started, uniform


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
