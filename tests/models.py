"""Small models of every kind, for the tests that every model has to pass."""

import torch

from ebmphys.energies import (
    RBM,
    ConvolutionalRBM,
    EnergyModel,
    Ising,
    gaussian_couplings,
    plus_minus_couplings,
)
from ebmphys.lattice import Graph, Lattice
from ebmphys.rng import generator
from ebmphys.units import Bit, Gaussian, Potts, ReLU, Spin
from tests.machines import typical_machines


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
        "convolutional rbm 2x3": randomised(ConvolutionalRBM(Lattice((2, 3)), 1, hidden=Bit(), device="cpu"), rng),
        **typical_machines(),
    }


def multivalued_models() -> dict[str, EnergyModel]:
    """Models with Potts units, of at most 2,000 states."""
    rng = generator(13, "models", device="cpu")
    return {
        "rbm potts-spin": random_rbm(3, 4, Potts(3), Spin(), rng),
        "rbm spin-potts": random_rbm(4, 3, Spin(), Potts(3), rng),
        "rbm potts-potts": random_rbm(2, 3, Potts(4), Potts(3), rng),
        "convolutional rbm potts-bit": randomised(
            ConvolutionalRBM(Lattice((3,)), 2, visible=Potts(3), hidden=Bit(), device="cpu"), rng
        ),
        "convolutional rbm bit-potts": randomised(
            ConvolutionalRBM(Lattice((4,)), 1, 1.0, Bit(), Potts(3), device="cpu"), rng
        ),
    }


def continuous_models() -> dict[str, EnergyModel]:
    """Machines with one layer of real units, the other of two-valued ones."""
    rng = generator(12, "models", device="cpu")
    return {
        "rbm spin-gaussian": random_rbm(6, 3, Spin(), Gaussian(0.6), rng),
        "rbm gaussian-spin": random_rbm(3, 4, Gaussian(0.6), Spin(), rng),
        "rbm gaussian-bit": random_rbm(3, 5, Gaussian(0.9), Bit(), rng),
        "rbm spin-relu": random_rbm(6, 3, Spin(), ReLU(0.8), rng),
        "rbm relu-spin": random_rbm(3, 4, ReLU(0.8), Spin(), rng),
        "rbm gaussian-spin, widths learned": random_rbm(3, 4, Gaussian(), Spin(), rng, learn_sigma=True),
    }


def random_rbm(n_visible, n_hidden, visible, hidden, rng, **options) -> RBM:
    return randomised(RBM(n_visible, n_hidden, visible, hidden, device="cpu", **options), rng)


def randomised(model, rng):
    """The model with every parameter drawn from N(0, 1/4)."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng) * 0.5)
    return model
