"""Threshold bracketing: on every state and site, the decision flips exactly at the probability that theory gives.

No randomness, no false alarms: a wrong beta, factor of two, neighbour or sign moves some threshold.
"""

from itertools import product

import numpy as np
import pytest
import torch

from ebmphys.energies import Ising
from ebmphys.lattice import Lattice
from ebmphys.samplers import Metropolis, flip_accepted, heat_bath
from tests.models import small_models
from tests.samplers.laws import all_states, index_of, law

MODELS = small_models()
EPSILON = 2e-6


def cost_of_the_upper_value(model, x, site, block):
    low, high = model.units[block].values
    up, down = x.clone(), x.clone()
    up[:, site], down[:, site] = high, low
    return (model.energy(up) - model.energy(down)).detach().double()


def sites_of(model, block):
    return torch.arange(model.n_sites)[model.blocks[block]]


@pytest.mark.parametrize("beta", [0.2, 0.4406868])
@pytest.mark.parametrize("name", MODELS)
def test_heat_bath_decisions(name, beta):
    model = MODELS[name]
    x = all_states(model)
    for block in model.blocks:
        low, high = model.units[block].values
        sites = sites_of(model, block)
        cost = torch.stack([cost_of_the_upper_value(model, x, site, block) for site in sites], -1)
        p = 1 / (1 + torch.exp(beta * cost))
        below = heat_bath(model, x, block, torch.tensor(beta), (p - EPSILON).float())
        above = heat_bath(model, x, block, torch.tensor(beta), (p + EPSILON).float())
        assert (below == high).all() and (above == low).all()


@pytest.mark.parametrize("beta", [0.2, 0.4406868])
@pytest.mark.parametrize("name", MODELS)
def test_metropolis_decisions(name, beta):
    model = MODELS[name]
    x = all_states(model)
    for block in model.blocks:
        sites = sites_of(model, block)
        upper = x[:, sites] == model.units[block].values[1]
        cost = torch.stack([cost_of_the_upper_value(model, x, site, block) for site in sites], -1)
        p = torch.exp(-beta * torch.where(upper, -cost, cost))
        certain = p >= 1
        below = flip_accepted(model, x, block, torch.tensor(beta), (p - EPSILON).clamp(max=1 - 1e-6).float())
        above = flip_accepted(model, x, block, torch.tensor(beta), (p + EPSILON).float())
        assert below.all()
        assert not above[~certain].any()


def test_one_thousandth_of_beta_moves_a_threshold():
    # The negative control: the bracket is finer than 0.1 % of beta.
    model, beta = MODELS["ising 3x4"], 0.4406868
    x = all_states(model)
    cost = torch.stack([cost_of_the_upper_value(model, x, site, "0") for site in sites_of(model, "0")], -1)
    p = 1 / (1 + torch.exp(beta * cost))
    below = heat_bath(model, x, "0", torch.tensor(1.001 * beta), (p - EPSILON).float())
    above = heat_bath(model, x, "0", torch.tensor(1.001 * beta), (p + EPSILON).float())
    assert not ((below == 1).all() and (above == -1).all())


def sweep_matrix(model, beta, attempt):
    """The transition matrix of one Metropolis sweep, (2^n, 2^n), from the probabilities bracketed above."""
    x = all_states(model)
    matrix = np.eye(len(x))
    for block in model.blocks:
        sites = sites_of(model, block)
        upper = x[:, sites] == model.units[block].values[1]
        cost = torch.stack([cost_of_the_upper_value(model, x, site, block) for site in sites], -1)
        p = attempt * torch.exp(-beta * torch.where(upper, -cost, cost)).clamp(max=1).numpy()
        step = np.zeros_like(matrix)
        for flips in product((False, True), repeat=len(sites)):
            y = x.clone()
            y[:, sites[list(flips)]] *= -1
            step[np.arange(len(x)), index_of(model, y)] += np.where(flips, p, 1 - p).prod(-1)
        matrix = matrix @ step
    return matrix


@pytest.mark.parametrize(("coupling", "field"), [(1.0, 0.0), (-0.6, 0.3)])
def test_metropolis_sweeps_keep_the_law_and_mix(coupling, field):
    model, beta = Ising(Lattice((2, 4)), coupling, field, device="cpu"), 0.4
    pi = law(model, beta)
    matrix = sweep_matrix(model, beta, Metropolis(model).attempt)
    # Couplings that float32 holds exactly leave nothing but rounding in float64.
    np.testing.assert_allclose(pi @ matrix, pi, atol=1e-12 if coupling == 1 else 1e-7)
    assert (np.abs(np.linalg.eigvals(matrix)) > 0.99).sum() == 1


def test_certain_flips_break_ergodicity_on_a_small_torus():
    # Why the default attempt is below one: with certain flips five eigenvalues have modulus one.
    matrix = sweep_matrix(MODELS["ising 2x4"], 0.4, attempt=1.0)
    assert (np.abs(np.linalg.eigvals(matrix)) > 1 - 1e-9).sum() == 5
