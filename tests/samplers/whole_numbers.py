"""Small Ising models whose energies are whole numbers of a unit, and their exact densities of states."""

import numpy as np
import torch

from ebmphys.energies import Ising, plus_minus_couplings
from ebmphys.lattice import Graph, Lattice
from ebmphys.rng import generator
from ebmphys.samplers.flat_histogram import DensityOfStates
from tests.samplers.laws import all_states

TORUS = Lattice((3, 4))


def whole_number_models():
    rng = generator(5, "whole numbers", device="cpu")
    signs = plus_minus_couplings(TORUS, rng)
    return {
        "3x4": Ising(TORUS, device="cpu"),
        "2x4": Ising(Lattice((2, 4)), device="cpu"),
        "+-J 3x4": Ising(TORUS, signs, device="cpu"),
        "+-J 3x4 half field": Ising(TORUS, signs, 0.5, device="cpu"),
        "couplings 0.1, 0.2, -0.3": Ising(Lattice((3, 3)), torch.tensor([0.1, 0.2, -0.3] * 6), device="cpu"),
        "triangular 3x3": Ising(Lattice((3, 3), "triangular"), -0.7, device="cpu"),
        "any graph": Ising(Graph(6, [(0, 1), (1, 2), (2, 0), (2, 3), (4, 5), (4, 5)]), 0.4, -0.2, device="cpu"),
        "spins in a field": Ising(Graph(5, []), field=0.3, device="cpu"),
    }


MODELS = whole_number_models()


def census(model):
    """The exact density of states of a small model, levels to nine digits."""
    energy = model.double().energy(all_states(model).double()).numpy().round(6)
    model.float()
    levels, counts = np.unique(energy, return_counts=True)
    return DensityOfStates(model.n_sites, levels, np.log(counts)[None])
