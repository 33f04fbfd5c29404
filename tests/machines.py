"""Small Boltzmann machines, deep machines and neural energies, for the tests that every model has to pass."""

import torch

from ebmphys.energies import BoltzmannMachine, DeepBoltzmannMachine, EnergyModel, NeuralEnergy
from ebmphys.lattice import Graph, Lattice
from ebmphys.rng import generator
from ebmphys.units import Bit, Spin


def typical_machines() -> dict[str, EnergyModel]:
    """One of each kind whose hidden units, where there are any, are independent: for the tests of every sampler."""
    bipartite = Graph(7, [(v, h) for v in range(4) for h in range(4, 7)] + [(0, 1), (1, 2)])
    network = {"kind": "mlp", "hidden": [6, 4]}
    machines = {
        "bm complete bits": BoltzmannMachine(6, unit=Bit(), device="cpu"),
        "bm hidden": BoltzmannMachine(bipartite, 3, device="cpu"),
        "neural symmetric": NeuralEnergy(5, network, symmetric=True, device="cpu"),
    }
    # A network averages its weights away: with larger ones its law is as far from uniform as the others'.
    return {name: with_random_parameters(m, name, 1.5 if "neural" in name else 0.7) for name, m in machines.items()}


def more_machines() -> dict[str, EnergyModel]:
    """Dense and sparse couplings, tied and free, other networks, and hidden units that act on each other."""
    strip, torus = Lattice((2, 4)), Lattice((3, 4))
    sparse = Graph(7, [(0, 4), (1, 4), (0, 5), (4, 5), (5, 6)])
    waves = {"kind": "convolutional", "shape": [2, 3], "channels": [3], "kernel": 3}
    machines = {
        "bm complete": BoltzmannMachine(7, device="cpu"),
        "bm doubled bonds": BoltzmannMachine(strip, device="cpu"),
        "bm hidden bits": BoltzmannMachine(sparse, 2, Bit(), device="cpu"),
        "bm translations": BoltzmannMachine.translation_invariant(torus, 1.5, device="cpu"),
        "bm coupled hidden": BoltzmannMachine(8, 4, device="cpu"),
        "bm coupled hidden bits": BoltzmannMachine(sparse, 3, Bit(), device="cpu"),
        "dbm": DeepBoltzmannMachine(4, (3, 2), device="cpu"),
        "dbm mixed": DeepBoltzmannMachine(4, (3, 4), (Spin(), Bit(), Spin()), device="cpu"),
        "dbm of four layers": DeepBoltzmannMachine(3, (3, 2, 3), Bit(), device="cpu"),
        "dbm of five layers": DeepBoltzmannMachine(3, (2, 2, 2, 2), device="cpu"),
        "neural bits": NeuralEnergy(5, {"kind": "mlp", "hidden": [6]}, Bit(), device="cpu"),
        "neural waves": NeuralEnergy(6, waves, Spin(), device="cpu"),
    }
    return {name: with_random_parameters(machine, name) for name, machine in machines.items()}


def with_random_parameters(model: EnergyModel, name: str, scale: float = 0.7) -> EnergyModel:
    """Every parameter, biases too, from N(0, scale^2), so that nothing is right by symmetry."""
    rng = generator(13, name, device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng) * scale)
    return model
