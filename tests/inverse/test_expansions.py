"""Mean-field theories read backwards: exact where they must be, and of the right order elsewhere."""

import numpy as np
import pytest
import torch

from ebmphys.energies import Ising, gaussian_couplings
from ebmphys.exact.enumeration import log_weights, visible_states
from ebmphys.inverse import (
    bethe,
    correlations,
    independent_pairs,
    naive_mean_field,
    relative_error,
    sessak_monasson,
    tap,
)
from ebmphys.lattice import Graph, Lattice
from ebmphys.rng import generator

METHODS = (naive_mean_field, tap, independent_pairs, bethe, sessak_monasson)
TREE = Graph(7, [(0, 1), (2, 0), (2, 3), (4, 2), (4, 5), (6, 4)])


def glass(graph, strength=1.0, field=0.5):
    rng = generator(5, "glass", graph.n_bonds, device="cpu")
    couplings, fields = gaussian_couplings(graph, rng), torch.randn(graph.n_sites, generator=rng)
    return Ising(graph, strength * couplings, field * fields, device="cpu")


def exact_correlations(model):
    return correlations(visible_states(model), torch.softmax(log_weights(model), 0))


def true_matrix(model):
    full = np.zeros((model.n_sites, model.n_sites))
    a, b = model.graph.bonds.T
    full[a, b] = full[b, a] = model.couplings.double()
    return full


@pytest.mark.parametrize("method", METHODS)
def test_two_spins(method):
    """All but the mean-field expansions are exact for one pair in fields; these are not."""
    pair = Ising(Graph(2, [(1, 0)]), 0.8, torch.tensor([0.5, -0.9]), device="cpu")
    found = method(exact_correlations(pair), pair.graph)
    exact = method in (independent_pairs, bethe)
    assert (abs(found.couplings - 0.8).max() < 1e-6) == (exact or method is sessak_monasson)
    assert (abs(found.fields - [0.5, -0.9]).max() < 1e-6) == exact


@pytest.mark.parametrize(("method", "graph"), [(independent_pairs, TREE), (bethe, TREE), (bethe, None)])
def test_trees_are_exact_and_bethe_finds_them(method, graph):
    model = glass(TREE)
    found = method(exact_correlations(model), graph)
    assert abs(found.matrix() - true_matrix(model)).max() < 1e-6
    assert abs(found.fields - model.fields.double().numpy()).max() < 1e-6
    assert found.warning == ""
    ring = glass(Graph(7, [*TREE.bonds.tolist(), (5, 6)]))
    assert abs(method(exact_correlations(ring), graph or ring.graph).fields - ring.fields.numpy()).max() > 1e-3


@pytest.mark.parametrize(
    ("method", "couplings", "fields"),
    [(naive_mean_field, 1, 2), (tap, 2, 3), (independent_pairs, 1, 2), (bethe, 2, 3), (sessak_monasson, 3, 3)],
)
def test_errors_vanish_with_the_order_of_the_expansion(method, couplings, fields):
    """Halving weak couplings at fixed fields divides the relative error of J by 2^p and the error of h by 2^q."""
    errors = []
    for strength in (0.04, 0.02):
        model = glass(Lattice((3, 3)), strength)
        found, true = method(exact_correlations(model), None), true_matrix(model)
        errors.append((relative_error(found.matrix(), true), abs(found.fields - model.fields.double().numpy()).max()))
    order = np.log2(np.array(errors[0]) / np.array(errors[1]))
    assert order == pytest.approx([couplings, fields], abs=0.25)


def test_without_magnetization_tap_is_naive_mean_field():
    model = glass(Lattice((3, 3)), 0.3, field=0.0)
    data = exact_correlations(model)
    assert np.allclose(tap(data).couplings, naive_mean_field(data).couplings, atol=1e-12)
    assert np.allclose(tap(data).fields, 0, atol=1e-9)


def test_correlations_are_those_of_the_law():
    model = glass(Lattice((2, 4)), 0.5)
    v, p = visible_states(model).double(), torch.softmax(log_weights(model), 0)
    data = exact_correlations(model)
    m = (p[:, None] * v).sum(0)
    second = torch.einsum("k,ki,kj->ij", p, v, v) - m[:, None] * m
    assert np.allclose(data.magnetization, m, atol=1e-12) and np.allclose(data.connected, second, atol=1e-12)
    assert np.allclose(data.inverse() @ data.connected, np.eye(8), atol=1e-9)
    rows = visible_states(model)[torch.multinomial(p, 600, replacement=True, generator=generator(1, device="cpu"))]
    assert np.allclose(correlations(rows.reshape(20, 30, 8)).connected, np.cov(rows.T.numpy(), ddof=0), atol=1e-9)


def test_what_has_no_solution_is_said():
    frozen = np.ones((50, 3))
    frozen[::2, :2] = -1
    with pytest.raises(ValueError, match="never turns"):
        naive_mean_field(correlations(frozen))
    with pytest.raises(ValueError, match="four values"):
        independent_pairs(correlations(frozen))
    data = exact_correlations(glass(Lattice((3, 4)), 2.0, 1.0))
    assert "no solution" in bethe(data).warning
    with pytest.raises(ValueError, match="-1 and"):
        correlations(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="weights are"):
        correlations(np.ones((4, 3)), [1, 2])
    with pytest.raises(ValueError, match="has 7 sites and the data 9"):
        tap(exact_correlations(glass(Lattice((3, 3)), 0.1)), TREE)
    with pytest.raises(ValueError, match="twice"):
        tap(exact_correlations(glass(Lattice((2, 3)), 0.1)), Lattice((2, 3)))
