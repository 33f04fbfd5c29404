"""Exact laws of small models, and the chi-square test of drawn states against them."""

from itertools import product

import numpy as np
import torch
from scipy.stats import chi2

from ebmphys.rng import generator


def all_states(model) -> torch.Tensor:
    """Every state of a model of two-valued units, (2^n, n), the last site fastest."""
    values = torch.empty(model.n_sites, 2)
    for name, sites in model.blocks.items():
        values[sites] = torch.tensor(model.units[name].values)
    bits = torch.tensor(list(product((0, 1), repeat=model.n_sites)))
    return values[torch.arange(model.n_sites), bits]


def law(model, beta: float) -> np.ndarray:
    """exp(-beta E) / Z of every state in the order of ``all_states``, (2^n,)."""
    weights = -beta * model.energy(all_states(model)).detach().double()
    return weights.softmax(0).numpy()


def index_of(model, x: torch.Tensor) -> np.ndarray:
    """The place of each configuration in ``all_states``."""
    lower = all_states(model)[0]
    powers = 2 ** torch.arange(model.n_sites - 1, -1, -1)
    return ((x > lower).long() * powers).sum(-1).flatten().numpy()


def exact_draws(model, beta: float, count: int, seed: int) -> torch.Tensor:
    """Independent configurations of the enumerated law, by inversion in float64."""
    u = torch.rand(count, generator=generator(seed, "exact", device="cpu"), dtype=torch.float64)
    places = np.searchsorted(law(model, beta).cumsum(), u.numpy()).clip(max=2**model.n_sites - 1)
    return all_states(model)[torch.from_numpy(places)]


def p_value(model, beta: float, x: torch.Tensor) -> float:
    """Chi-square test that the configurations x are independent draws at beta; rare states share one cell."""
    counts = np.bincount(index_of(model, x), minlength=2**model.n_sites)
    expected = law(model, beta) * counts.sum()
    common = expected >= 10
    observed = np.append(counts[common], counts[~common].sum())
    expected = np.append(expected[common], expected[~common].sum())
    if expected[-1] < 10:  # too few even together: fold them into the last common cell
        observed = np.append(observed[:-2], observed[-2:].sum())
        expected = np.append(expected[:-2], expected[-2:].sum())
    statistic = ((observed - expected) ** 2 / expected).sum()
    return float(chi2.sf(statistic, len(expected) - 1))
