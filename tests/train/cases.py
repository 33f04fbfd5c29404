"""Small machines to train, exact data to train them on, and the objective of each."""

import torch

from ebmphys.energies import RBM, ferromagnet
from ebmphys.exact.enumeration import log_weights, visible_states
from ebmphys.objectives import ContrastiveDivergence
from ebmphys.rng import generator

BETA_C = 0.44068679


def rng(*path):
    return generator(5, "train", *path, device="cpu")


def exact_draws(target, beta, n, *path):
    law = torch.softmax(log_weights(target, beta), 0)
    return visible_states(target)[torch.multinomial(law, n, replacement=True, generator=rng("data", *path))]


def rbm(n_visible=9, n_hidden=9, **options):
    return RBM(n_visible, n_hidden, rng=rng("init"), device="cpu", **options)


def pcd(k=2, n_chains=200, **options):
    return ContrastiveDivergence(k, rng("chains"), n_chains=n_chains, **options)


TARGET = ferromagnet((3, 3), device="cpu")


class Watched:
    """An objective that keeps what it is given and pulls one weight to zero."""

    def __init__(self):
        self.batches = []

    def __call__(self, model, v):
        self.batches.append(v)
        return (model.visible_bias - 1).square().sum()
