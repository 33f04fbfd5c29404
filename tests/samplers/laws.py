"""Exact laws of small models, and the chi-square test of drawn states against them."""

import numpy as np
import torch
from scipy.stats import chi2

from ebmphys.rng import generator


def site_values(model) -> list[torch.Tensor]:
    """The values of each site's unit, in ascending order."""
    values = {}
    for name, sites in model.blocks.items():
        for site in torch.arange(model.n_sites)[sites].tolist():
            values[site] = torch.tensor(model.units[name].values)
    return [values[site] for site in range(model.n_sites)]


def all_states(model) -> torch.Tensor:
    """Every state of a model of discrete units, (number of states, n), the last site fastest."""
    return torch.cartesian_prod(*site_values(model)).reshape(-1, model.n_sites)


def law(model, beta: float) -> np.ndarray:
    """exp(-beta E) / Z of every state in the order of ``all_states``."""
    weights = -beta * model.energy(all_states(model)).detach().double()
    return weights.softmax(0).numpy()


def index_of(model, x: torch.Tensor) -> np.ndarray:
    """The place of each configuration in ``all_states``."""
    place = torch.zeros(x.shape[:-1], dtype=torch.long)
    for site, values in enumerate(site_values(model)):
        place = place * len(values) + (x[..., site, None] > values[:-1]).sum(-1)
    return place.flatten().numpy()


def exact_draws(model, beta: float, count: int, seed: int) -> torch.Tensor:
    """Independent configurations of the enumerated law, by inversion in float64."""
    u = torch.rand(count, generator=generator(seed, "exact", device="cpu"), dtype=torch.float64)
    states = all_states(model)
    places = np.searchsorted(law(model, beta).cumsum(), u.numpy()).clip(max=len(states) - 1)
    return states[torch.from_numpy(places)]


def p_value(model, beta: float, x: torch.Tensor) -> float:
    """Chi-square test that the configurations x are independent draws at beta; rare states share one cell."""
    probability = law(model, beta)
    counts = np.bincount(index_of(model, x), minlength=len(probability))
    expected = probability * counts.sum()
    common = expected >= 10
    observed = np.append(counts[common], counts[~common].sum())
    expected = np.append(expected[common], expected[~common].sum())
    if expected[-1] < 10:  # too few even together: fold them into the last common cell
        observed = np.append(observed[:-2], observed[-2:].sum())
        expected = np.append(expected[:-2], expected[-2:].sum())
    statistic = ((observed - expected) ** 2 / expected).sum()
    return float(chi2.sf(statistic, len(expected) - 1))
