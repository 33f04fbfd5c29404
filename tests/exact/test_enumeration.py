"""Sums over every configuration, against independent oracles."""

import itertools
import math

import numpy as np
import pytest
import torch

from ebmphys.energies import RBM, Ising
from ebmphys.exact import (
    enumeration,
    expectation,
    kaufman,
    kl_divergence,
    log_partition,
    log_weights,
    states,
    total_variation,
    visible_states,
)
from ebmphys.lattice import Graph, Lattice
from ebmphys.rng import generator
from ebmphys.units import Bit, Gaussian, Spin


@pytest.fixture
def rbm():
    model = RBM(5, 3, Bit(), Spin(), rng=generator(1, "weights"), scale=2.0)
    with torch.no_grad():
        model.visible_bias.copy_(torch.linspace(-1, 1, 5))
        model.hidden_bias.copy_(torch.tensor([0.3, -0.2, 0.5]))
    return model


def test_states_are_all_configurations_in_lexicographic_order():
    every = states((-1.0, 1.0), 3)
    assert every.tolist() == [list(s) for s in itertools.product((-1.0, 1.0), repeat=3)]
    assert states((0.0, 1.0), 4, 5, 7).tolist() == [[0, 1, 0, 1], [0, 1, 1, 0]]
    assert states((0.0, 1.0), 24, 2**24 - 1).tolist() == [[1.0] * 24]


def test_ising_on_a_triangular_lattice():
    """4 x 4 at beta = ln 3 / 4: u = -142/63 exactly."""
    model, beta = Ising(Lattice((4, 4), "triangular")), math.log(3) / 4
    energy = float(expectation(model, beta, model.energy))
    square = float(expectation(model, beta, lambda x: model.energy(x) ** 2))
    assert energy / 16 == pytest.approx(-142 / 63, rel=1e-13)
    assert beta**2 * (square - energy**2) / 16 == pytest.approx(0.797130072164, abs=6e-13)
    assert float(expectation(model, 1.01 * beta, model.energy)) / 16 != pytest.approx(-142 / 63, rel=1e-3)


@pytest.mark.parametrize("beta", [0.3, 1.0, 1.7])
def test_ising_with_any_couplings_and_fields(beta, brute_force):
    rng = np.random.default_rng(4)
    down, right, fields = rng.normal(size=(3, 3, 4)).astype(np.float32)
    lattice = Lattice((3, 4))
    first, second = lattice.bonds.T
    couplings = np.where(first // 4 == second // 4, right.ravel()[first], down.ravel()[first])
    model = Ising(lattice, torch.tensor(couplings), torch.tensor(fields.ravel()))
    exact = brute_force(down.astype(float), right.astype(float), fields.astype(float)).at(beta)
    assert log_partition(model, beta) == pytest.approx(exact["log_partition"], rel=1e-13)
    magnetization = expectation(model, beta, lambda x: x.double().mean(-1))
    assert float(magnetization) == pytest.approx(exact["magnetization"], rel=1e-12)
    assert log_partition(model, 1.001 * beta) != pytest.approx(exact["log_partition"], rel=1e-5)


def test_matches_kaufman_across_chunks(monkeypatch):
    monkeypatch.setattr(enumeration, "_CHUNK", 1000)
    solution = kaufman((4, 4), 0.4)
    model = Ising(Lattice((4, 4)))
    assert log_partition(model, 0.4) == pytest.approx(solution.log_partition, rel=1e-14)
    assert float(expectation(model, 0.4, model.energy)) / 16 == pytest.approx(solution.energy_per_site, rel=1e-13)
    correlation = expectation(model, 0.4, lambda x: x[:, :, None] * x[:, None, :])
    assert correlation.shape == (16, 16)
    assert float(correlation[0, 1]) == pytest.approx(-solution.energy_per_site / 2, rel=1e-13)


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_rbm_sums_its_hidden_units_out(rbm, beta):
    w, a, b = (p.detach().double().cpu().numpy() for p in (rbm.weights, rbm.visible_bias, rbm.hidden_bias))
    joint = np.array(
        [
            [math.exp(beta * (a @ v + b @ h + v @ w @ h)) for h in np.array(list(itertools.product((-1, 1), repeat=3)))]
            for v in np.array(list(itertools.product((0, 1), repeat=5)))
        ]
    )
    weights = log_weights(rbm, beta)
    assert weights.dtype == torch.float64 and weights.shape == (32,)
    np.testing.assert_allclose(weights.cpu().numpy(), np.log(joint.sum(1)), rtol=1e-12, atol=1e-12)
    assert log_partition(rbm, beta) == pytest.approx(math.log(joint.sum()), rel=1e-13)
    mean = expectation(rbm, beta, lambda v: v)
    np.testing.assert_allclose(
        mean.cpu().numpy(), visible_states(rbm).double().cpu().numpy().T @ joint.sum(1) / joint.sum()
    )
    assert rbm.weights.dtype == torch.float32


def test_divergences_of_two_laws():
    p, q = torch.tensor([0.5, 0.25, 0.25, 0.0]), torch.tensor([0.25, 0.25, 0.25, 0.25])
    assert kl_divergence(p.log(), q.log()) == pytest.approx(0.5 * math.log(2), rel=1e-7)
    assert kl_divergence(p.log() + 7, q.log() - 3) == pytest.approx(0.5 * math.log(2), rel=1e-6)
    assert kl_divergence(q.log(), p.log()) == math.inf
    assert kl_divergence(q.log(), q.log() + 2) == pytest.approx(0, abs=1e-7)
    assert total_variation(p.log(), q.log() + 1) == pytest.approx(0.25, rel=1e-6)
    assert total_variation(p.log(), p.log()) == 0


def test_divergence_between_two_temperatures_is_that_of_their_free_energies():
    model, cold, hot = Ising(Lattice((4, 4))), 0.5, 0.4
    p, q = kaufman((4, 4), cold), kaufman((4, 4), hot)
    expected = (hot - cold) * 16 * p.energy_per_site + q.log_partition - p.log_partition
    assert kl_divergence(log_weights(model, cold), log_weights(model, hot)) == pytest.approx(expected, rel=1e-12)


def test_bad_input(rbm):
    for weights in (log_weights, log_partition):
        with pytest.raises(ValueError, match="two values"):
            weights(RBM(4, 2, Gaussian()), 1.0)
    with pytest.raises(ValueError, match="two values"):
        visible_states(RBM(4, 2, Gaussian()))
    chain = Ising(Graph(25, [(i, i + 1) for i in range(24)]))
    with pytest.raises(ValueError, match="1 to 24 visible sites, got 25"):
        log_weights(chain, 1.0)
    with pytest.raises(ValueError, match="numbered 0 to 8"):
        states((0.0, 1.0), 3, 4, 9)
    with pytest.raises(ValueError, match="beta = 0"):
        log_weights(rbm, 0.0)
    with pytest.raises(ValueError, match="beta"):
        log_weights(rbm, -1.0)
    with pytest.raises(ValueError, match="one log-weight a state"):
        kl_divergence(torch.zeros(3), torch.zeros(4))
