"""Small machines with known log Z, and the sums that say so."""

import itertools
import math

import torch

from ebmphys.energies import RBM
from ebmphys.generators import VAE
from ebmphys.rng import generator
from tests.samplers.laws import all_states

BETA_C = math.log(1 + math.sqrt(2)) / 2


def rng(*path):
    return generator(11, *path, device="cpu")


def rbm(n_visible=5, n_hidden=3, visible=None, hidden=None, scale=2.0, bias=0.5):
    model = RBM(n_visible, n_hidden, visible, hidden, rng=rng("weights"), scale=scale, device="cpu")
    model.requires_grad_(False)
    with torch.no_grad():
        model.visible_bias.copy_(bias * torch.randn(n_visible, generator=rng("visible")))
        model.hidden_bias.copy_(bias * torch.randn(n_hidden, generator=rng("hidden")))
    return model


def vae(n=9, hidden=(16,), latent=2, strength=2.0, unit=None):
    model = VAE(n, hidden, latent, unit, rng=rng("vae"), device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= strength
    return model


def brute_force(model, beta):
    """log sum over every joint state of exp(-beta E), for discrete units."""
    return float(torch.logsumexp(-beta * model.energy(all_states(model)).detach().double(), 0))


def pairs_of(units):
    return list(itertools.product(units, repeat=2))


def random_machine(n_visible, n_hidden, std, unit=None):
    """An RBM of normal weights of this spread, and biases of half of it."""
    model = RBM(n_visible, n_hidden, unit, unit, device="cpu").requires_grad_(False)
    noise = rng("machine")
    for parameter, scale in ((model.weights, 1.0), (model.visible_bias, 0.5), (model.hidden_bias, 0.5)):
        parameter.copy_(scale * std * torch.randn(parameter.shape, generator=noise))
    return model
