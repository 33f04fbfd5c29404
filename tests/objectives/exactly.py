"""Small machines, exact gradients of the KL from a target law, and how far an objective's gradient is from them."""

import torch

from ebmphys.energies import RBM, BoltzmannMachine, DeepBoltzmannMachine, Ising
from ebmphys.exact.enumeration import log_weights, visible_states
from ebmphys.lattice import Lattice
from ebmphys.rng import generator
from ebmphys.units import Bit, Spin

N = 6  # visible sites


def rng(*path):
    return generator(3, "objectives", *path, device="cpu")


def randomised(model, scale=0.6, name="model"):
    noise = rng(name)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=noise) * scale)
    return model


def small_rbm(visible=None, hidden=None, scale=0.6, n_visible=N, n_hidden=3):
    return randomised(RBM(n_visible, n_hidden, visible, hidden, device="cpu"), scale)


def machines():
    """One of each kind; the last two have hidden units that act on each other."""
    return {
        "visible": randomised(BoltzmannMachine(N, device="cpu"), 0.4),
        "visible bits": randomised(BoltzmannMachine(N, unit=Bit(), device="cpu")),
        "rbm": small_rbm(),
        "rbm bits": small_rbm(Bit(), Bit()),
        "hidden": randomised(BoltzmannMachine(N + 3, 3, device="cpu"), 0.4),
        "deep": randomised(DeepBoltzmannMachine(N, (3, 2), [Spin(), Bit(), Spin()], device="cpu"), 0.7),
    }


def target_law(n_sites=N):
    return torch.softmax(log_weights(Ising(Lattice((n_sites,)), field=0.2, device="cpu"), 0.7), 0)


def rows_in_proportion(law, states, count=400_000):
    """Configurations as often as their probability says: draws without sampling noise, to 1 in ``count``."""
    return states.double().repeat_interleave((law * count).round().long(), 0)


def data_of(model, count=20_000):
    """Rows of the target law in proportion, and the law that these rows have."""
    whole = (target_law(model.n_visible) * count).round()
    return rows_in_proportion(target_law(model.n_visible), visible_states(model), count).float(), whole / whole.sum()


def gradient(model, scalar):
    return torch.cat([g.flatten() for g in torch.autograd.grad(scalar, list(model.parameters()))])


def kl_gradient(model, law):
    """Autograd of sum p (log p - log q), everything enumerated."""
    energies = model.free_energy(visible_states(model).to(next(model.parameters())))
    return gradient(model, (law.to(energies) * energies).sum() + torch.logsumexp(-energies, 0))


def deviations(model, objective, data, exact, repeats=40):
    """The objective's gradient against an exact one, in standard errors of its mean.

    Parts without noise are held to 2e-4 at 4 of them: sums of 20,000 float32 numbers are no better.
    """
    found = torch.stack([gradient(model, objective(model, data)) for _ in range(repeats)])
    error = found.std(0) / repeats**0.5
    return (found.mean(0) - exact) / error.clamp_min(5e-5)
