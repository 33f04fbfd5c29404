"""Population annealing against enumeration and Kaufman, from independent populations, with wrong runs as controls."""

import math

import numpy as np
import pytest
import torch

from ebmphys.energies import RBM, ferromagnet
from ebmphys.exact import kaufman
from ebmphys.rng import generator
from ebmphys.samplers import BlockGibbs, Chains, Metropolis
from ebmphys.samplers.annealing import linear_schedule
from ebmphys.samplers.population import (
    AdaptiveSteps,
    effective_share,
    population_annealing,
    systematic_resampling,
)
from ebmphys.units import Gaussian
from tests.models import small_models
from tests.samplers.laws import all_states, exact_draws, p_value

MODELS = small_models()
RUNS = 24


def exact(model, beta):
    """log Z and <E> by enumeration of all sites, hidden ones too."""
    energy = model.energy(all_states(model)).detach().double()
    log_z = torch.logsumexp(-beta * energy, 0)
    return float(log_z), float((torch.exp(-beta * energy - log_z) * energy).sum())


def last(sampler, size, betas, *path, steps=2):
    *_, end = population_annealing(sampler, size, betas, steps, rng=generator(1, *path, device="cpu"))
    return end


def sigmas(values, truth):
    """Distance of the mean of independent runs from the truth in standard errors."""
    values = np.array(values)
    return abs(values.mean() - truth) / (values.std(ddof=1) / math.sqrt(len(values)))


class Idle:
    """A sampler that starts like another and never moves."""

    def __init__(self, model):
        self.model = model

    def init(self, *batch, beta, rng):
        return BlockGibbs(self.model).init(*batch, beta=beta, rng=rng)

    def step(self, chains):
        return {}


class Deaf(Chains):
    """Chains that refuse to be resampled."""

    def reorder(self, source):
        pass


class Unresampled(BlockGibbs):
    def init(self, *batch, beta=1.0, rng):
        chains = super().init(*batch, beta=beta, rng=rng)
        return Deaf(chains.x, chains.beta, chains.rng)


@pytest.mark.parametrize("name", ["ising 3x4 site fields", "+-J 3x4", "triangular 3x3 antiferromagnet", "rbm bit-spin"])
def test_log_partition_and_energy_against_enumeration(name):
    model = MODELS[name]
    ends = [last(BlockGibbs(model), 2000, linear_schedule(0, 0.8, 5), name, run) for run in range(RUNS)]
    log_z, energy = exact(model, 0.8)
    assert all(end.beta == pytest.approx(0.8) for end in ends)
    assert sigmas([end.log_partition for end in ends], log_z) < 4.5
    assert sigmas([end.mean_energy for end in ends], energy) < 4.5
    assert np.std([end.log_partition for end in ends]) < 0.1
    # The control: the same runs against a beta 2 % off.
    log_z, energy = exact(model, 0.816)
    assert sigmas([end.log_partition for end in ends], log_z) > 4.5
    assert sigmas([end.mean_energy for end in ends], energy) > 4.5


def test_log_partition_of_8_by_8_along_the_way():
    model = ferromagnet((8, 8), device="cpu")
    betas = linear_schedule(0, 0.5, 21)[1:]
    runs = [
        list(population_annealing(Metropolis(model), 400, betas, 4, rng=generator(2, run, device="cpu")))
        for run in range(12)
    ]
    for k in (3, 9, 15, 19):
        solution = kaufman((8, 8), float(betas[k]))
        stages = [run[k] for run in runs]
        # 12 runs: 4 sigma of Student's t is 6.5 standard errors.
        assert sigmas([s.log_partition for s in stages], solution.log_partition) < 6.5
        assert sigmas([s.mean_energy / 64 for s in stages], solution.energy_per_site) < 6.5
        assert np.std([s.mean_energy for s in stages]) < 1.5 * np.mean([s.energy_error for s in stages])
        off = kaufman((8, 8), 1.05 * float(betas[k]))
        assert sigmas([s.log_partition for s in stages], off.log_partition) > 6.5
    assert all(1 < run[3].rho_t < run[9].rho_t < run[19].rho_t < 400 for run in runs)


def test_without_resampling_the_answer_is_another():
    # Q then averages over replicas that stand still: the mean of exp(-dbeta E) over infinite temperature, each time.
    model = MODELS["+-J 3x4"]
    ends = [last(Unresampled(model), 2000, linear_schedule(0, 0.8, 5), "deaf", r, steps=1) for r in range(RUNS)]
    log_z, energy = exact(model, 0.8)
    assert sigmas([end.log_partition for end in ends], log_z) > 4.5
    assert sigmas([end.mean_energy for end in ends], energy) > 4.5


@pytest.mark.parametrize("name", ["ising 3x4", "+-J 3x4", "rbm spin-bit"])
def test_exact_draws_resampled_once_follow_the_next_law(name):
    model, count, cold, colder = MODELS[name], 400_000, 0.4, 0.6
    rng = generator(3, name, device="cpu")
    chains = Chains(exact_draws(model, cold, count, seed=3), torch.tensor(cold), rng)
    log_weights = -(colder - cold) * chains.energy(model).double()
    chains.reorder(systematic_resampling(log_weights, rng))
    share = effective_share(log_weights)
    thinned = chains.x[torch.randperm(count, generator=rng)[: count // 20]]  # hardly two copies of one replica
    assert 0.3 < share < 1
    assert p_value(model, colder, thinned) > 1e-4
    assert p_value(model, cold, thinned) < 1e-4
    mean = float(log_weights.logsumexp(0)) - math.log(count)
    assert mean == pytest.approx(exact(model, colder)[0] - exact(model, cold)[0], abs=4 / math.sqrt(count * share))


def test_systematic_resampling_makes_floor_or_ceil_copies():
    rng = generator(4, device="cpu")
    log_weights = torch.randn(50, generator=rng, dtype=torch.float64) * 2
    wanted = 50 * log_weights.softmax(0)
    total, rounds = torch.zeros(50), 4000
    for _ in range(rounds):
        source = systematic_resampling(log_weights, rng)
        copies = torch.bincount(source, minlength=50)
        assert bool((copies >= wanted.floor()).all()) and bool((copies <= wanted.ceil()).all())
        total += copies
    spread = ((wanted - wanted.floor()) * (wanted.ceil() - wanted) / rounds).sqrt()
    assert bool(((total / rounds - wanted).abs() <= 4.5 * spread + 1e-3).all())
    assert torch.equal(systematic_resampling(torch.zeros(64), rng), torch.arange(64))


def test_effective_share():
    assert effective_share(torch.zeros(7, dtype=torch.float64) + 800) == pytest.approx(1)
    assert effective_share(torch.tensor([0.0, -1e4, -1e4, -1e4], dtype=torch.float64)) == pytest.approx(0.25)
    weights = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    assert effective_share(weights.log()) == pytest.approx(36 / 42)


def test_families_are_those_of_the_first_ancestors():
    model = MODELS["ising 3x4"]
    rng = generator(5, device="cpu")
    first = Idle(model).init(300, beta=0.0, rng=generator(5, device="cpu")).x
    for stage in population_annealing(Idle(model), 300, [0.1, 0.3, 0.5, 0.8], rng=rng):
        assert torch.equal(stage.chains.x, first[stage.family])  # without moves every replica is its ancestor
        n = stage.family_fractions
        assert float(n.sum()) == pytest.approx(1)
        assert stage.rho_t == pytest.approx(300 * sum(float(f) ** 2 for f in n))
        assert stage.rho_s == pytest.approx(300 * math.exp(sum(float(f) * math.log(f) for f in n)))
        assert 1 <= stage.rho_s <= stage.rho_t <= 300
    assert stage.rho_t > 5  # the control: a population that never moves is soon a few families


def test_adaptive_steps_keep_the_share():
    model = ferromagnet((8, 8), device="cpu")
    stages = list(
        population_annealing(Metropolis(model), 500, AdaptiveSteps(0.5, 0.85), 4, rng=generator(6, device="cpu"))
    )
    assert stages[-1].beta == pytest.approx(0.5, rel=1e-6)
    assert 5 < len(stages) < 40
    for stage in stages[:-1]:
        assert stage.share == pytest.approx(0.85, abs=1e-3)
    assert stages[-1].share >= 0.85 - 1e-3
    assert stages[-1].log_partition == pytest.approx(kaufman((8, 8), 0.5).log_partition, abs=1.0)
    finer = list(
        population_annealing(Metropolis(model), 500, AdaptiveSteps(0.5, 0.97), 1, rng=generator(6, device="cpu"))
    )
    assert len(finer) > 1.5 * len(stages)


def test_a_seed_gives_the_run_again_and_beta_0_counts_states():
    model = MODELS["rbm bit-bit"]
    ends = [last(BlockGibbs(model), 100, [0.0, 0.5], "again") for _ in range(2)]
    assert torch.equal(ends[0].chains.x, ends[1].chains.x) and ends[0].log_partition == ends[1].log_partition
    hot = last(BlockGibbs(model), 100, [0.0], "hot")
    assert hot.log_partition == pytest.approx(10 * math.log(2)) and hot.rho_t == pytest.approx(1)


def test_bad_input():
    sampler, rng = BlockGibbs(MODELS["ising 3x4"]), generator(7, device="cpu")
    for size, steps in ((1, 1), (10, 0)):
        with pytest.raises(ValueError, match="2 or more replicas"):
            population_annealing(sampler, size, [0.5], steps, rng=rng)
    for betas in ([], [-0.1], [math.inf], torch.tensor(0.3)):
        with pytest.raises(ValueError, match="list of inverse temperatures"):
            population_annealing(sampler, 10, betas, rng=rng)
    with pytest.raises(ValueError, match="must ascend"):
        population_annealing(sampler, 10, [0.5, 0.4], rng=rng)
    for bad in ((0.0, 0.9), (1.0, 1.0), (math.inf, 0.5)):
        with pytest.raises(ValueError, match="share between 0 and 1"):
            AdaptiveSteps(*bad)
    with pytest.raises(ValueError, match="two values"):
        population_annealing(BlockGibbs(RBM(3, 2, visible=Gaussian(1.0), device="cpu")), 10, [0.5], rng=rng)
