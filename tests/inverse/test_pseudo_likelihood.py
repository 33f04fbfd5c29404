"""Pseudo-likelihood: exact from exact laws, covered by its errors from draws."""

import math

import numpy as np
import pytest
import torch

from ebmphys.energies import Ising, gaussian_couplings, plus_minus_couplings
from ebmphys.exact.enumeration import log_weights, visible_states
from ebmphys.inverse import InverseIsing, all_pairs, pseudo_likelihood, relative_error
from ebmphys.lattice import Graph, Lattice
from ebmphys.rng import generator
from ebmphys.samplers import Metropolis, Schedule, record
from tests.samplers.laws import exact_draws


def glass(kind, shape, strength=0.6, field=0.3):
    lattice, rng = Lattice(shape), generator(7, "glass", device="cpu")
    fields = field * torch.randn(lattice.n_sites, generator=rng)
    return Ising(lattice, strength * kind(lattice, rng), fields, device="cpu")


def of(model):
    return model.couplings.double().numpy(), model.fields.double().numpy()


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("shape", [(3, 4), (4, 4)])
@pytest.mark.parametrize("kind", [plus_minus_couplings, gaussian_couplings])
def test_the_exact_law_gives_the_couplings_back(kind, shape, known):
    model = glass(kind, shape)
    law = torch.softmax(log_weights(model), 0)
    found = pseudo_likelihood(visible_states(model), model.graph if known else None, weights=law)
    couplings, fields = of(model)
    i, j = model.graph.bonds.T
    assert abs(found.matrix()[i, j] - couplings).max() < 1e-6 and abs(found.fields - fields).max() < 1e-6
    others = np.ones_like(found.matrix(), dtype=bool)
    others[i, j] = others[j, i] = False
    assert abs(found.matrix()[others]).max() < 1e-6
    assert found.warning == "" and found.coupling_errors is None
    warmer = torch.softmax(log_weights(model, 0.99), 0)
    off = pseudo_likelihood(visible_states(model), model.graph, weights=warmer)
    assert relative_error(off.couplings, couplings) == pytest.approx(0.01, abs=1e-6)


def test_a_missing_bond_spoils_the_others():
    model = glass(gaussian_couplings, (3, 4))
    law, couplings = torch.softmax(log_weights(model), 0), of(model)[0]
    kept = np.arange(model.graph.n_bonds) != abs(couplings).argmax()
    found = pseudo_likelihood(visible_states(model), Graph(12, model.graph.bonds[kept]), weights=law)
    assert abs(found.couplings - couplings[kept]).max() > 0.01


def test_errors_cover_over_independent_draws_and_over_chains():
    """60 sets of 1,000 draws; with each draw counted four times in a chain, errors must not shrink by two."""
    model = glass(gaussian_couplings, (3, 4), 0.5)
    couplings, fields = of(model)
    data = exact_draws(model, 1.0, 60_000, 1).reshape(60, 1000, 12)
    runs = [pseudo_likelihood(x, model.graph) for x in data]
    z = np.array(
        [np.append((r.couplings - couplings) / r.coupling_errors, (r.fields - fields) / r.field_errors) for r in runs]
    )
    assert abs(z.mean()) < 0.15 and 0.93 < z.std() < 1.1 and (z**2).mean(0).max() < 2.2
    repeated = [pseudo_likelihood(x[None].repeat(4, 1, 1), model.graph) for x in data[:10]]
    for once, chains in zip(runs, repeated, strict=False):
        assert np.allclose(once.couplings, chains.couplings, atol=1e-9)
        assert np.allclose(once.coupling_errors, chains.coupling_errors, rtol=1e-6)
        taken_for_more = pseudo_likelihood(data[0].repeat(4, 1), model.graph)
    assert np.allclose(taken_for_more.coupling_errors, runs[0].coupling_errors / 2, rtol=0.01)


def test_both_ends_of_a_bond_count_alike():
    model = glass(gaussian_couplings, (3, 4))
    x = exact_draws(model, 1.0, 300, 2)
    one, other = (pseudo_likelihood(x, Graph(12, bonds)) for bonds in (model.graph.bonds, model.graph.bonds[:, ::-1]))
    assert np.allclose(one.couplings, other.couplings, atol=1e-9)
    assert np.allclose(one.coupling_errors, other.coupling_errors, rtol=1e-6)


def test_errors_from_correlated_chains_cover():
    """A chain that offers a flip to a fifth of its spins a step; taken for independent draws, errors are too small."""
    model = glass(plus_minus_couplings, (3, 4), 0.4)
    couplings, _ = of(model)
    sampler = Metropolis(model, attempt=0.2)
    chains = sampler.init(20 * 50, beta=1.0, rng=generator(9, "chains", device="cpu"))
    x = record(sampler, chains, Schedule(60, thin=1, burn_in=100), {"x": lambda x: x})["x"].reshape(60, 20, 50, 12)
    runs = [pseudo_likelihood(x[:, k], model.graph) for k in range(20)]
    z = np.array([(run.couplings - couplings) / run.coupling_errors for run in runs])
    assert abs(z.mean()) < 0.2 and 0.85 < z.std() < 1.2
    naive = [pseudo_likelihood(x[:, k].flatten(0, 1), model.graph).coupling_errors for k in range(3)]
    assert np.mean(naive) < 0.7 * np.mean([run.coupling_errors for run in runs[:3]])


@pytest.mark.parametrize(("l1", "l2"), [(0.0, 0.05), (0.02, 0.0), (0.03, 0.01)])
def test_penalties_are_what_they_say(l1, l2):
    """Two spins, whose regressions are two minima that a grid finds as well."""
    weights = np.array([0.55, 0.05, 0.2, 0.2])
    x = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
    found = pseudo_likelihood(x, Graph(2, [(0, 1)]), weights=weights, l1=l1, l2=l2)
    (h, j), (k, i) = (_minimum(x[:, a], x[:, 1 - a], weights, l1, l2) for a in (0, 1))
    assert found.couplings[0] == pytest.approx((i + j) / 2, abs=1e-6)
    assert found.fields == pytest.approx([h, k], abs=1e-6)
    assert found.coupling_errors is None and found.warning == ""


def _minimum(s, other, weights, l1, l2):
    """The penalised regression of s on the other spin, by grids about the best point, finer and finer."""

    def loss(point):
        h, j = point
        return (weights * np.log1p(np.exp(-2 * s * (h + j * other)))).sum() + l1 * abs(j) + l2 * j * j

    best = (0.0, 0.0)
    for reach in np.repeat(0.5 ** np.arange(28), 4):
        best = min(((best[0] + a * reach, best[1] + b * reach) for a in (-1, 0, 1) for b in (-1, 0, 1)), key=loss)
    return best


def test_a_strong_l1_leaves_independent_spins():
    model = glass(gaussian_couplings, (2, 3), 0.8)
    v, law = visible_states(model).double().numpy(), torch.softmax(log_weights(model), 0).numpy()
    found = pseudo_likelihood(v, all_pairs(6), weights=law, l1=2.0)
    assert (found.couplings == 0).all() and np.allclose(np.tanh(found.fields), law @ v)


def test_l1_finds_the_graph():
    model = glass(plus_minus_couplings, (3, 4), 0.5, 0.0)
    x = exact_draws(model, 1.0, 20_000, 3)
    found = abs(pseudo_likelihood(x, l1=0.05).matrix())
    present = np.zeros((12, 12), dtype=bool)
    i, j = model.graph.bonds.T
    present[i, j] = present[j, i] = True
    assert found[present].min() > 0.1 and found[~present].max() < 0.02
    assert abs(pseudo_likelihood(x[:500]).matrix())[~present].max() > 0.02


def test_what_was_found_can_be_sampled_and_trained_on():
    model = glass(gaussian_couplings, (3, 4))
    found = InverseIsing(model.graph, *of(model), "given")
    v = visible_states(model)[::37]
    for twin in (found.as_ising("cpu"), found.as_boltzmann_machine("cpu")):
        torch.testing.assert_close(twin.energy(v).detach(), model.energy(v), atol=1e-5, rtol=0)


def test_what_cannot_be_told_is_said():
    rows = np.array([[1, 1, 1], [-1, -1, 1], [1, 1, -1], [-1, -1, -1]] * 25)
    run = pseudo_likelihood(rows, Graph(3, [(0, 1), (1, 2)]))
    assert "run away" in run.warning and run.coupling_errors is None
    tamed = pseudo_likelihood(rows, Graph(3, [(0, 1), (1, 2)]), l2=0.01)
    assert tamed.warning == "" and tamed.couplings[0] > 1 and abs(tamed.couplings[1]) < 1e-9
    stuck = rows.copy()
    stuck[:, 2] = 1
    with pytest.raises(ValueError, match="never turns"):
        pseudo_likelihood(stuck, Graph(3, [(0, 1), (1, 2)]))
    assert "from 5 chains" in pseudo_likelihood(np.sign(np.random.default_rng(1).normal(size=(90, 5, 3)))).warning
    with pytest.raises(ValueError, match="penalties"):
        pseudo_likelihood(rows, l1=-1.0)
    with pytest.raises(ValueError, match="all zero"):
        relative_error(np.ones(2), np.zeros(2))
    assert relative_error(np.array([3.0, 4.5]), np.array([3.0, 4.0])) == pytest.approx(0.1)
    assert math.isclose(all_pairs(5).n_bonds, 10)
