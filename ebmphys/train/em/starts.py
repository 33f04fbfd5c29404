"""Where EM starts, and how many components it has used in the end."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ebmphys.generators import BernoulliMixture
from ebmphys.rng import uniforms

_ROWS = 10_000  # to choose among
_SHARPNESS = 1.0  # log-odds: soft enough that neighbours share the data at first


@torch.no_grad()
def spread_components(model: BernoulliMixture, data: Tensor, rng: torch.Generator) -> None:
    """Centre the components on configurations of the data that are far from each other; weights equal, in place.

    The first at random, every other with probability proportional to the number of sites in which a configuration
    differs from the nearest centre (or its mirror image, where the mixture is even): k-means++ (Arthur and
    Vassilvitskii 2007), whose squared distances these numbers are. Chosen among up to 10,000 rows of data,
    (n, n_visible); where fewer are distinct than there are components, some are taken twice and told apart by noise.
    """
    some = torch.randperm(len(data), generator=rng, device=rng.device)[:_ROWS].to(data.device)
    x = torch.where(data[some].to(model.device) > 0, 1.0, -1.0)
    nearest = torch.full((len(x),), math.inf, device=x.device)
    centres = []
    for number in range(model.n_components):
        odds = torch.ones_like(nearest) if not number or not bool(nearest.any()) else nearest
        centres.append(int(torch.multinomial(odds, 1, generator=rng)))
        overlap = x @ x[centres[-1]]
        nearest = torch.minimum(nearest, (model.n_visible - (overlap.abs() if model.even else overlap)) / 2)
    noise = uniforms(model.log_odds.shape, rng) + 0.5
    model.log_odds.copy_(_SHARPNESS * x[centres] * noise)
    model.log_weights.fill_(-math.log(model.n_components))


@torch.no_grad()
def effective_components(model: BernoulliMixture) -> float:
    """exp(-sum_k pi_k log pi_k): from 1, where one component has all the weight, to n_components."""
    log_weights = torch.log_softmax(model.log_weights.double(), 0)
    return float((-(log_weights.exp() * log_weights).sum()).exp())


@torch.no_grad()
def empty_components(model: BernoulliMixture, n_data: int) -> int:
    """How many components have a weight below that of one configuration in n_data."""
    return int((n_data * model.log_weights.softmax(0) < 1).sum())
