"""Machines of bits, a law for them to learn, and steps towards it."""

import torch

from ebmphys.energies import RBM, BoltzmannMachine, DeepBoltzmannMachine, ferromagnet
from ebmphys.exact.enumeration import log_weights, visible_states
from ebmphys.lattice import Lattice
from ebmphys.objectives import ContrastiveDivergence
from ebmphys.rng import generator
from ebmphys.units import Bit, Spin

N = 5


def rng(*path):
    return generator(7, "gradients", *path, device="cpu")


def randomised(model, scale=0.5):
    noise = rng("model")
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=noise) * scale)
    return model.double()


def bit_machines():
    ring = Lattice((N,))
    return {
        "rbm": randomised(RBM(N, 3, Bit(), Bit(), device="cpu")),
        "rbm of bits and spins": randomised(RBM(N, 3, Bit(), Spin(), device="cpu")),
        "boltzmann": randomised(BoltzmannMachine(N, unit=Bit(), device="cpu")),
        "boltzmann with hidden": randomised(BoltzmannMachine(N + 3, 3, Bit(), device="cpu")),
        "boltzmann, tied": randomised(BoltzmannMachine.translation_invariant(ring, unit=Bit(), device="cpu")),
        "deep": randomised(DeepBoltzmannMachine(N, (3, 2), Bit(), device="cpu")),
    }


def law_of_data():
    return torch.softmax(1.5 * torch.randn(2**N, generator=rng("law"), dtype=torch.float64), 0)


class KL:
    """The exact KL from a law over visible states, whatever the batch."""

    def __init__(self, law):
        self.law = law

    def __call__(self, model, v):
        energies = model.free_energy(visible_states(model).double())
        return (self.law * energies).sum() + torch.logsumexp(-energies, 0)


def log_law(model):
    return torch.log_softmax(-model.free_energy(visible_states(model).double()).detach(), 0)


def descend(model, objective, v, transforms, steps=15, optimizer="adam", rate=0.05):
    kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[optimizer]
    stepper = kind(model.parameters(), lr=rate)
    for _ in range(steps):
        stepper.zero_grad()
        objective(model, v).backward()
        for each in transforms:
            each.before_step(model, v, getattr(objective, "draws", None))
        stepper.step()
        for each in reversed(transforms):
            each.after_step(model)
    return model


def exact_draws(target, n):
    law = torch.softmax(log_weights(target, 0.44), 0)
    return (visible_states(target)[torch.multinomial(law, n, replacement=True, generator=rng("draws"))] + 1) / 2


def bit_case(**options):
    target = ferromagnet((3, 3), device="cpu")
    model = RBM(9, 9, Bit(), Bit(), rng=rng("init"), device="cpu")
    return target, model, exact_draws(target, 3000), ContrastiveDivergence(2, rng("chains"), n_chains=200)
