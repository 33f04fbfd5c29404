"""Bit-packed sweeps of 16 sites against all 65,536 states.

The chi-square goes over levels of (energy, magnetization), not over states: most states are too rare to be counted one
by one. What levels cannot show, such as sites that have changed places, the test against the reference does.
"""

from functools import cache

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from ebmphys.energies import Ising
from ebmphys.lattice import Lattice
from ebmphys.samplers.multispin import MultiSpin
from tests.samplers.laws import all_states, exact_draws
from tests.samplers.packed import UPDATES, packed

SHAPES = {"4x4": (4, 4), "2x2x4": (2, 2, 4)}
BETAS = {"4x4": (0.2, 0.4406868, 1.0), "2x2x4": (0.1, 0.2216546, 0.5)}
FIELDS = (0.0, 0.25)  # 1/4: float32 holds every energy exactly, so that levels can be compared
DRAWS, THRESHOLD = 100_000, 1e-4


@cache
def ising(name, field):
    return Ising(Lattice(SHAPES[name]), 1.0, field, device="cpu")


def level(model, x):
    """One number for the (energy, magnetization) of each configuration."""
    return (1000 * model.energy(x).double() + x.sum(-1, dtype=torch.float64)).numpy()


@cache
def law_of_levels(model, beta):
    """The levels in ascending order and their probabilities."""
    states = all_states(model)
    weights = (-beta * model.energy(states).double()).softmax(0)
    levels, which = np.unique(level(model, states), return_inverse=True)
    return levels, np.bincount(which, weights=weights.numpy())


@cache
def start(model, beta):
    return exact_draws(model, beta, DRAWS, seed=1)


def p_value_of_levels(model, beta, x):
    """As ``p_value`` for levels in place of states: those that are expected fewer than 10 times share one cell."""
    levels, p = law_of_levels(model, beta)
    found = level(model, x)
    places = np.searchsorted(levels, found)
    assert np.array_equal(levels[places.clip(max=len(levels) - 1)], found)
    counts, expected = np.bincount(places, minlength=len(levels)), p * len(x)
    common = expected >= 10
    observed, expected = (np.append(a[common], a[~common].sum()) for a in (counts, expected))
    return float(chi2.sf(((observed - expected) ** 2 / expected).sum(), len(expected) - 1))


def after(model, beta, update, sweeps, law_model, law_beta):
    """p-value of so many sweeps from exact draws of a law that may be another one."""
    sampler = MultiSpin(model, update)
    chains = packed(sampler, start(law_model, law_beta), beta)
    sampler.advance(chains, sweeps)
    return p_value_of_levels(law_model, law_beta, chains.x)


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(("name", "beta"), [(name, beta) for name in SHAPES for beta in BETAS[name]])
def test_exact_draws_stay_exact(name, beta, field, update):
    model = ising(name, field)
    assert after(model, beta, update, 3, model, beta) > THRESHOLD


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("name", SHAPES)
def test_two_percent_of_beta_a_bond_sign_and_a_weaker_field_are_noticed(name, update):
    """The power of the test above, at its middle beta."""
    beta = BETAS[name][1]
    for field in FIELDS:
        model = ising(name, field)
        assert after(model, 1.02 * beta, update, 20, model, beta) < THRESHOLD
        couplings = torch.ones(model.graph.n_bonds)
        couplings[0] = -1
        assert after(Ising(model.graph, couplings, field, device="cpu"), beta, update, 3, model, beta) < THRESHOLD
    assert after(Ising(model.graph, 1.0, 0.95 * field, device="cpu"), beta, update, 20, model, beta) < THRESHOLD
