"""Thermodynamic integration and bridges along a ladder against exact values."""

import math

import numpy as np
import pytest
import torch

from ebmphys.energies import Ising
from ebmphys.lattice import Lattice
from ebmphys.likelihood import Ladder, bridge_sampling, log_partition, tempered_ladder, thermodynamic_integration
from ebmphys.rng import generator
from ebmphys.samplers import BlockGibbs, ReplicaExchange
from tests.likelihood.builders import brute_force, random_machine, rng
from tests.machines import more_machines
from tests.models import continuous_models, multivalued_models

BOTH = (thermodynamic_integration, bridge_sampling)


def quartic(rng, rungs, shape, offset=0.0):
    """Independent draws of exp(-x^2 (1/2 + t a)), gains -a x^2 + 1: log Z_1 / Z_0 = 1 - log(1 + 2 a) / 2, a = 8."""
    t = np.linspace(0, 1, rungs) ** 2  # closer where the gain falls fastest
    x = rng.normal(size=(*shape, rungs)) / np.sqrt(1 + 16 * t)
    return Ladder(t, 1 - 8 * x**2 + offset, 0.0), 1 - math.log(17) / 2


@pytest.mark.parametrize("estimate", BOTH)
def test_independent_draws_of_known_laws_are_covered(estimate):
    random = np.random.default_rng(1)
    ladders = [quartic(random, 25, (1, 400)) for _ in range(200)]
    runs, exact = [estimate(ladder) for ladder, _ in ladders], ladders[0][1]
    z = np.array([(run.value - exact) / run.error for run in runs])
    assert abs(z.mean()) < 4 / math.sqrt(200) and 0.8 < z.std() < 1.2
    wrong = np.array([(run.value - 1.05 * exact) / run.error for run in runs])
    assert abs(wrong.mean()) > 4 / math.sqrt(200)


def test_the_quadrature_speaks_up_where_it_is_the_larger_error():
    """With so many draws on few rungs only the rule's own error is left, and it is covered."""
    ladder, exact = quartic(np.random.default_rng(2), 5, (1, 200_000))
    run = thermodynamic_integration(ladder)
    assert "take more rungs" in run.warning and abs(run.value - exact) < 4 * run.error
    fine, _ = quartic(np.random.default_rng(2), 41, (1, 20_000))
    assert "rungs" not in thermodynamic_integration(fine).warning
    assert abs(bridge_sampling(ladder).value - exact) < 4 * bridge_sampling(ladder).error < 0.05


@pytest.mark.parametrize("estimate", BOTH)
@pytest.mark.parametrize("std", [0.5, 1.0, 2.0, 4.0])
def test_a_tempered_ladder_covers_log_z_of_random_machines(std, estimate):
    model = random_machine(10, 8, std)
    options = {"rungs": 17, "chains": 12 * 32, "draws": 60, "burn_in": 100}
    whole = tempered_ladder(model, rng=rng("ladder", std), **options)
    exact = log_partition(model)
    parts = [Ladder(whole.t, whole.gains[:, k::12], whole.log_base) for k in range(12)]
    runs = [estimate(part) for part in parts]
    z = np.array([(run.value - exact) / run.error for run in runs])
    assert abs(z.mean()) < 4 / math.sqrt(12) and 0.4 < z.std(ddof=1) < 1.7
    everything = estimate(whole)
    assert abs(everything.value - exact) < 4 * everything.error < 0.15
    assert abs(everything.value - log_partition(model, 1.02)) > 4 * everything.error or std < 1


@pytest.mark.parametrize(
    "name", ["rbm gaussian-spin", "rbm spin-gaussian", "rbm relu-spin", "rbm potts-potts", "dbm", "bm complete"]
)
def test_ladders_of_other_units(name):
    model = (continuous_models() | multivalued_models() | more_machines())[name].requires_grad_(False)
    base = None
    if name == "rbm gaussian-spin":
        base = torch.randn(model.n_visible, generator=rng("base"))
    ladder = tempered_ladder(model, rng=rng(name), rungs=17, chains=64, draws=150, burn_in=100, base=base)
    discrete = all(unit.values for unit in model.units.values())
    exact = brute_force(model, 1.0) if discrete else log_partition(model)
    for estimate in BOTH:
        run = estimate(ladder)
        assert abs(run.value - exact) < 4 * run.error < 0.15


def test_energies_of_a_replica_exchange_run_make_a_ladder():
    ising = Ising(Lattice((3, 4)), 1.0, 0.2, device="cpu")
    betas = torch.linspace(0, 0.5, 13, dtype=torch.float64)
    exchange = ReplicaExchange(BlockGibbs(ising))
    chains = exchange.init(40, 13, beta=betas, rng=generator(3, "exchange", device="cpu"))
    energies = torch.stack([exchange.step(chains)["energy"] for _ in range(260)])[60:]
    ladder = Ladder.between(betas, energies, 12 * math.log(2))
    for estimate in BOTH:
        run = estimate(ladder)
        assert abs(run.value - log_partition(ising, 0.5)) < 4 * run.error < 0.1
        assert abs(run.value - log_partition(ising, 0.51)) > 4 * run.error


def test_chains_that_disagree_and_gaps_without_overlap_are_said():
    model = random_machine(30, 20, 3.0)
    hasty = tempered_ladder(model, rng=rng("hasty"), rungs=5, chains=16, draws=20, burn_in=8)
    for estimate in BOTH:
        assert estimate(hasty).warning
    assert "chains disagree" in bridge_sampling(hasty).warning
    gap = Ladder(np.array([0.0, 1.0]), np.stack([np.full((50, 4), -40.0), np.full((50, 4), 40.0)], -1), 0.0)
    noisy = Ladder(gap.t, gap.gains + np.random.default_rng(4).normal(size=gap.gains.shape), 0.0)
    assert "overlap" in bridge_sampling(noisy).warning


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="numbers that rise"):
        Ladder(np.array([1.0, 0.0]), np.zeros((3, 2, 2)), 0.0)
    with pytest.raises(ValueError, match="gains need shape"):
        Ladder(np.array([0.0, 1.0]), np.zeros((3, 2, 3)), 0.0)
    with pytest.raises(ValueError, match="rungs >= 2"):
        tempered_ladder(random_machine(3, 2, 1.0), rng=rng(), rungs=1)
