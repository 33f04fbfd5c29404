"""Small models of every kind, for the tests that every model has to pass."""

import torch

from ebmphys.energies import RBM, EnergyModel, Ising, gaussian_couplings, plus_minus_couplings
from ebmphys.lattice import Graph, Lattice
from ebmphys.rng import generator
from ebmphys.units import Bit, Gaussian, Spin


def small_models() -> dict[str, EnergyModel]:
    """Two-valued models of at most 12 sites, none of them symmetric by accident."""
    rng = generator(11, "models", device="cpu")
    torus, strip = Lattice((3, 4)), Lattice((2, 4))
    return {
        "ising 2x4": Ising(strip, device="cpu"),
        "ising 3x4": Ising(torus, device="cpu"),
        "ising 3x4 field": Ising(torus, field=0.3, device="cpu"),
        "ising 3x4 site fields": Ising(torus, 0.7, torch.randn(12, generator=rng), device="cpu"),
        "+-J 3x4": Ising(torus, plus_minus_couplings(torus, rng), 0.2, device="cpu"),
        "Edwards-Anderson 3x4": Ising(torus, gaussian_couplings(torus, rng), device="cpu"),
        "triangular 3x3 antiferromagnet": Ising(Lattice((3, 3), "triangular"), -0.5, 0.1, device="cpu"),
        "honeycomb 2x3": Ising(Lattice((2, 3), "honeycomb"), device="cpu"),
        "open cubic 2x2x3": Ising(Lattice((2, 2, 3), periodic=False), 0.6, 0.2, device="cpu"),
        "any graph": Ising(Graph(6, [(0, 1), (1, 2), (2, 0), (2, 3), (4, 5), (4, 5)]), 0.4, -0.2, device="cpu"),
        "rbm spin-spin": random_rbm(6, 4, Spin(), Spin(), rng),
        "rbm spin-bit": random_rbm(6, 4, Spin(), Bit(), rng),
        "rbm bit-bit": random_rbm(5, 5, Bit(), Bit(), rng),
        "rbm bit-spin": random_rbm(7, 3, Bit(), Spin(), rng),
    }


def continuous_models() -> dict[str, EnergyModel]:
    rng = generator(12, "models", device="cpu")
    return {
        "rbm spin-gaussian": random_rbm(6, 3, Spin(), Gaussian(0.6), rng),
        "rbm gaussian-spin": random_rbm(3, 4, Gaussian(0.6), Spin(), rng),
        "rbm gaussian-bit": random_rbm(3, 5, Gaussian(0.9), Bit(), rng),
    }


def random_rbm(n_visible, n_hidden, visible, hidden, rng) -> RBM:
    rbm = RBM(n_visible, n_hidden, visible, hidden, device="cpu")
    with torch.no_grad():
        for parameter in rbm.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng) * 0.5)
    return rbm
