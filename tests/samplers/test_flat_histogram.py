"""Density of states and multicanonical chains against exact counts, with wrong densities as negative controls."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from ebmphys.energies import RBM, Ising, ferromagnet, gaussian_couplings
from ebmphys.exact import Strip, joint_law, kaufman
from ebmphys.rng import generator
from ebmphys.samplers.base import Chains
from ebmphys.samplers.flat_histogram import (
    DensityOfStates,
    IntegerIsing,
    Multicanonical,
    canonical_averages,
    canonical_weights,
    wang_landau,
)
from ebmphys.samplers.flat_histogram.kernels import bins_gained
from tests.samplers.laws import all_states, index_of
from tests.samplers.whole_numbers import MODELS, TORUS, census

BETA_C = math.log1p(math.sqrt(2)) / 2


def deviation(found, exact):
    """rms of (log g - exact) / error over levels."""
    return math.sqrt((((found.log_g - exact) / found.error) ** 2).mean())


@pytest.fixture(scope="module")
def torus():
    """A short run on 8 x 8, and the exact log g."""
    law = joint_law(Strip.uniform((8, 8)))
    rng = generator(3, "wang-landau", device="cpu")
    found = wang_landau(ferromagnet((8, 8), device="cpu"), rng=rng, walkers=12, log_f=1e-5, most_sweeps=300_000)
    return found, law.levels_energy, np.log(law.count.astype(np.float64).sum(1))


@pytest.mark.parametrize("name", MODELS)
def test_every_configuration_has_its_bin_and_every_flip_its_cost(name):
    model = MODELS[name]
    system, x = IntegerIsing.of(model), all_states(model)
    bins = system.bins(x.to(torch.int8).numpy())
    assert bins.min() >= 0 and bins.max() < system.n_bins
    np.testing.assert_allclose(system.energies[bins], model.energy(x).numpy(), atol=2e-5)
    spins = x[torch.randperm(len(x), generator=generator(1, device="cpu"))[:100]].to(torch.int8).numpy()
    for site in range(model.n_sites):
        flipped = spins.copy()
        flipped[:, site] *= -1
        cost = [
            bins_gained(row, site, system.neighbours, system.strengths, system.fields, system.spacing) for row in spins
        ]
        np.testing.assert_array_equal(system.bins(flipped) - system.bins(spins), cost)


def test_spacing_of_the_square_lattice():
    assert IntegerIsing.of(ferromagnet((8, 8), device="cpu")).spacing == 4
    assert IntegerIsing.of(ferromagnet((8, 8), device="cpu")).n_bins == 65
    assert IntegerIsing.of(MODELS["+-J 3x4 half field"]).spacing == 2
    assert IntegerIsing.of(MODELS["couplings 0.1, 0.2, -0.3"]).unit == pytest.approx(0.1)


def test_levels_of_the_4_by_4_torus():
    rng = generator(4, "wang-landau", device="cpu")
    found = wang_landau(ferromagnet((4, 4), device="cpu"), rng=rng, walkers=16, log_f=2e-5, most_sweeps=200_000)
    counts = [2, 32, 64, 424, 1728, 6688, 13568, 20524, 13568, 6688, 1728, 424, 64, 32, 2]
    energies = [-32, *range(-24, 25, 4), 32]  # the gaps at -28 and 28 stay empty
    np.testing.assert_array_equal(found.levels, energies)
    assert np.exp(found.log_g).sum() == pytest.approx(2**16, rel=1e-12)
    np.testing.assert_allclose(np.exp(found.walkers).sum(1), 2**16, rtol=1e-12)
    assert np.abs(found.log_g - np.log(counts)).max() < 0.03
    assert deviation(found, np.log(counts)) < 2.5
    assert found.warning == ""
    wrong = np.log(counts) + 0.02 * np.array(energies) / 32  # as a beta off by 0.0006
    assert deviation(found, wrong) > 2.5


@pytest.mark.parametrize("name", MODELS)
def test_density_of_small_models_equals_the_census(name):
    model, exact = MODELS[name], census(MODELS[name])
    found = wang_landau(model, rng=generator(6, name, device="cpu"), walkers=16, log_f=1e-4, most_sweeps=200_000)
    assert found.warning == ""
    np.testing.assert_allclose(found.levels, exact.levels, atol=1e-5)
    assert deviation(found, exact.log_g) < 3
    assert np.abs(found.log_g - exact.log_g).max() < 0.08


def test_density_of_8_by_8_within_the_walkers_scatter(torus):
    found, levels, exact = torus
    np.testing.assert_array_equal(found.levels, levels)
    off = found.log_g - exact
    assert np.sqrt((off**2).mean()) < 0.03 and np.abs(off).max() < 0.1
    assert deviation(found, exact) < 2
    assert np.sqrt((found.error**2).mean()) < 0.03  # error bars that forgive nothing
    assert deviation(found, exact + 0.001 * levels) > 2  # a beta off by 0.001 would be seen


@pytest.mark.parametrize("beta", [0.0, 0.2, BETA_C, 0.6, 1.0])
def test_averages_of_8_by_8_against_kaufman(torus, beta):
    found, exact = torus[0].averages(beta), kaufman((8, 8), beta)
    for name, estimate in found.items():
        # 12 walkers: 4 sigma of Student's t is 6.5 standard errors; the floor is rounding at beta = 0.
        assert abs(estimate.value - getattr(exact, name)) < 6.5 * estimate.error + 1e-9, name
        assert estimate.error < {"energy_per_site": 0.004, "specific_heat": 0.02, "log_partition": 0.05}[name]
        assert estimate.warning == ""
    if beta:
        shifted = kaufman((8, 8), beta + 0.03).energy_per_site
        control = found["energy_per_site"]
        assert abs(control.value - shifted) > 6.5 * control.error


def test_exact_counts_give_exact_averages():
    exact = census(MODELS["3x4"])
    twice = DensityOfStates(12, exact.levels, exact.walkers + np.array([[3.0], [-1.0]]))  # unnormalised
    for beta in (0.0, 0.3, 1.1):
        found, solution = twice.averages(beta), kaufman((3, 4), beta)
        for name, estimate in found.items():
            assert estimate.value == pytest.approx(getattr(solution, name), rel=1e-10, abs=1e-12)
            assert "2 walkers" in estimate.warning


def multicanonical_p_value(model, density, x):
    """Chi-square test that x are independent draws of p(s) ~ 1/g(E(s)), for a census that is exact."""
    p = np.exp(-density.log_at(model.energy(all_states(model)).numpy()))
    expected = p / p.sum() * len(x)
    counts = np.bincount(index_of(model, x), minlength=len(p))
    common = expected >= 10
    observed, expected = (np.append(a[common], a[~common].sum()) for a in (counts, expected))
    keep = expected > 0
    return float(chi2.sf(((observed - expected)[keep] ** 2 / expected[keep]).sum(), keep.sum() - 1))


def flat_draws(model, density, count, rng):
    p = np.exp(-density.log_at(model.energy(all_states(model)).numpy()))
    return all_states(model)[torch.multinomial(torch.from_numpy(p), count, replacement=True, generator=rng)]


@pytest.mark.parametrize("name", MODELS)
def test_multicanonical_steps_keep_exact_draws_exact(name):
    model, density = MODELS[name], census(MODELS[name])
    rng = generator(7, name, device="cpu")
    x = flat_draws(model, density, 200_000, rng)
    assert multicanonical_p_value(model, density, x) > 1e-4
    chains = Chains(x.reshape(2, -1, model.n_sites), torch.tensor(1.0), rng)
    sampler = Multicanonical(model, density)
    for _ in range(3):
        happened = sampler.step(chains)
    assert happened["acceptance"].shape == chains.batch
    np.testing.assert_allclose(happened["energy"], chains.energy(model), atol=2e-5)
    assert multicanonical_p_value(model, density, chains.x.flatten(0, 1)) > 1e-4


def test_a_density_off_by_three_percent_is_noticed():
    model, density = MODELS["3x4"], census(MODELS["3x4"])
    rng = generator(8, "control", device="cpu")
    chains = Chains(flat_draws(model, density, 200_000, rng), torch.tensor(1.0), rng)
    sampler = Multicanonical(model, DensityOfStates(12, density.levels, 1.03 * density.walkers))
    for _ in range(20):
        sampler.step(chains)
    assert multicanonical_p_value(model, density, chains.x) < 1e-4


def test_beta_plays_no_role_and_a_seed_gives_the_run_again():
    sampler = Multicanonical(MODELS["3x4"], census(MODELS["3x4"]))
    runs = []
    for beta in (0.1, 2.0):
        chains = sampler.init(50, beta=beta, rng=generator(9, device="cpu"))
        for _ in range(4):
            sampler.step(chains)
        runs.append(chains.x)
    assert torch.equal(*runs)


def test_canonical_averages_from_multicanonical_chains(torus):
    density = torus[0]
    sampler = Multicanonical(ferromagnet((8, 8), device="cpu"), density)
    chains = sampler.init(40, rng=generator(10, "multicanonical", device="cpu"))
    series = np.stack([sampler.step(chains)["energy"].numpy() for _ in range(4000)])[1000:]
    counts = np.histogram(series, bins=np.append(density.levels, 200) - 1)[0]
    assert counts.min() > 0.7 * counts.mean()  # flat
    for beta in (0.2, BETA_C, 0.6):
        exact = kaufman((8, 8), beta)
        for name, estimate in canonical_averages(series, beta, density).items():
            assert abs(estimate.value - getattr(exact, name)) < 4 * estimate.error, name
            assert estimate.error < 0.05 * abs(getattr(exact, name))
        weights = canonical_weights(series, beta, density)
        assert weights.sum() == pytest.approx(1)
        assert (weights * series).sum() / 64 == pytest.approx(exact.energy_per_site, rel=0.02)
        assert series.mean() / 64 != pytest.approx(exact.energy_per_site, rel=0.1)  # without weights
        off = kaufman((8, 8), 1.1 * beta).energy_per_site
        control = canonical_averages(series, beta, density)["energy_per_site"]
        assert abs(control.value - off) > 4 * control.error


def test_weights_that_are_rough_still_give_exact_averages():
    # Reweighting undoes the weights that were used, whatever they were: here log g is off, and two levels are missing.
    model, exact = MODELS["+-J 3x4"], census(MODELS["+-J 3x4"])
    kept = [0, *range(3, len(exact.levels))]
    rough = DensityOfStates(12, exact.levels[kept], 0.8 * exact.walkers[:, kept])
    sampler = Multicanonical(model, rough)
    chains = sampler.init(64, rng=generator(12, "rough", device="cpu"))
    series = np.stack([sampler.step(chains)["energy"].numpy() for _ in range(2000)])[200:]
    found = canonical_averages(series, 0.7, rough)
    p = np.exp(exact.log_g - 0.7 * exact.levels)
    mean = (p @ exact.levels) / p.sum()
    variance = p @ (exact.levels - mean) ** 2 / p.sum()
    values = {"energy_per_site": mean / 12, "specific_heat": 0.49 * variance / 12, "log_partition": np.log(p.sum())}
    for name, value in values.items():
        assert abs(found[name].value - value) < 4 * found[name].error, name
        assert found[name].error < 0.02 * abs(value)


def test_bad_input():
    rng = generator(16, device="cpu")
    with pytest.raises(ValueError, match="common unit"):
        wang_landau(Ising(TORUS, gaussian_couplings(TORUS, rng), device="cpu"), rng=rng)
    with pytest.raises(ValueError, match="one energy level"):
        wang_landau(Ising(TORUS, 0.0, device="cpu"), rng=rng)
    with pytest.raises(ValueError, match="Ising model, got RBM"):
        wang_landau(RBM(3, 2, device="cpu"), rng=rng)
    for bad in ({"walkers": 0}, {"log_f": 0.0}, {"flatness": 1.0}, {"most_sweeps": 0}):
        with pytest.raises(ValueError, match="Wang-Landau needs"):
            wang_landau(MODELS["3x4"], rng=rng, **bad)
    with pytest.raises(ValueError, match="of 12 sites, the model has 8"):
        Multicanonical(MODELS["2x4"], census(MODELS["3x4"]))
    with pytest.raises(ValueError, match="at least 2"):
        census(MODELS["3x4"]).averages(0.3)
    with pytest.raises(ValueError, match="leave out levels"):
        DensityOfStates(2, np.array([0.0, 1.0]), np.array([[0.0, -np.inf]]))
    with pytest.raises(ValueError, match="levels \\(n,\\)"):
        DensityOfStates(2, np.array([0.0, 1.0]), np.zeros(2))
    with pytest.raises(ValueError, match="beta"):
        canonical_averages(np.zeros(10), -1.0, census(MODELS["3x4"]))
