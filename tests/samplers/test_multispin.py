"""Bit-packed sweeps keep the enumerated law, agree with Kaufman, and leave replicas that share words independent."""

from functools import cache

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from ebmphys.energies import Ising
from ebmphys.exact import kaufman
from ebmphys.lattice import Lattice
from ebmphys.rng import generator
from ebmphys.samplers.multispin import MultiSpin
from tests.samplers.laws import exact_draws, p_value
from tests.samplers.packed import MODELS, UPDATES, glass, packed

THRESHOLD = 1e-4


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


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize(("packing", "shape"), [("replicas", (16, 16)), ("replicas", (32, 32)), ("sites", (128, 32))])
def test_energy_against_kaufman(packing, shape, update):
    """Independent chains from random and from ordered starts, long after both are forgotten."""
    model, beta = Ising(Lattice(shape), device="cpu"), 0.36
    sampler = MultiSpin(model, update, packing)
    count = 2**21 // model.n_sites  # so that the shift of the control below is 8 standard errors
    chains = sampler.init(count, beta=beta, rng=generator(9, packing, update, device="cpu"))
    x = chains.x
    x[::2] = 1
    chains.x = x
    sampler.advance(chains, 400)
    e = chains.energy(model) / model.n_sites
    assert abs(e.mean() - kaufman(shape, beta).energy_per_site) < 4 * e.std() / count**0.5
    wrong = kaufman(shape, 1.01 * beta).energy_per_site  # the control: one percent of beta is seen
    assert abs(e.mean() - wrong) > 4 * e.std() / count**0.5


@cache
def energies_of_replicas(two_lanes_alike):
    """400 draws of the energies of 512 replicas that share words, 20 sweeps apart; (replica, draw)."""
    model = Ising(Lattice((8, 8)), device="cpu")
    sampler = MultiSpin(model)
    chains = sampler.init(512, beta=0.3, rng=generator(10, device="cpu"))
    if two_lanes_alike:
        chains.streams[:, :, 1] = chains.streams[:, :, 0]
    sampler.advance(chains, 100)
    series = []
    for _ in range(400):
        sampler.advance(chains, 20)
        series.append(chains.energy(model))
    return torch.stack(series, 1).numpy()


def correlated_as_by_chance(series):
    """Whether the squared correlations of all pairs of rows add up to what independent rows have."""
    correlations = np.corrcoef(series)[np.triu_indices(len(series), 1)]
    low, high = chi2.ppf((THRESHOLD, 1 - THRESHOLD), len(correlations))
    return low < series.shape[1] * (correlations**2).sum() < high


def test_replicas_are_independent():
    assert correlated_as_by_chance(energies_of_replicas(two_lanes_alike=False))


def test_replicas_with_noise_in_common_are_noticed():
    """The power of the test above: noise of one percent of the variance, and one pair of lanes with the same bits."""
    alone = energies_of_replicas(two_lanes_alike=False)
    noise = np.random.default_rng(10).normal(size=alone.shape[1])
    assert not correlated_as_by_chance(alone + 0.1 * alone.std() * noise)
    assert not correlated_as_by_chance(energies_of_replicas(two_lanes_alike=True))


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
