"""What the tests of replica exchange share: ladders from exact draws, chains that stand still, exact swap rates."""

from dataclasses import dataclass

import numpy as np
import torch

from ebmphys.energies import EnergyModel
from ebmphys.rng import generator
from ebmphys.samplers import Chains
from ebmphys.samplers.base import random_chains
from tests.models import small_models
from tests.samplers.laws import all_states, exact_draws, p_value

MODELS = small_models()
BETAS = torch.tensor([0.15, 0.35, 0.6, 1.0])


@dataclass(frozen=True)
class Still:
    """A sampler that leaves everything where it is, so that only trades move configurations."""

    model: EnergyModel

    def init(self, *batch, beta=1.0, rng):
        return random_chains(self.model, batch, beta, rng)

    def step(self, chains):
        return {}


def exact_ladders(model, betas, count, name):
    x = torch.stack([exact_draws(model, b, count, seed=20 + k) for k, b in enumerate(betas.tolist())], 1)
    return Chains(x, betas, generator(2, name, device="cpu"))


def p_values(model, chains):
    return [p_value(model, b, chains.x[:, k]) for k, b in enumerate(chains.beta.tolist())]


def exact_swap_rate(levels, log_weight, first, second):
    """sum over levels p_1(E) p_2(E') min(1, exp((beta_1 - beta_2)(E - E')))."""
    laws = []
    for beta in (first, second):
        log_p = log_weight - beta * levels
        p = np.exp(log_p - log_p.max())
        laws.append(p / p.sum())
    accept = np.exp(np.minimum((first - second) * (levels[:, None] - levels), 0))
    return float(laws[0] @ accept @ laws[1])


def enumerated_swap_rates(model, betas):
    levels, count = np.unique(model.energy(all_states(model)).detach().double().numpy(), return_counts=True)
    pairs = zip(betas[:-1].tolist(), betas[1:].tolist(), strict=True)
    return np.array([exact_swap_rate(levels, np.log(count), *pair) for pair in pairs])
