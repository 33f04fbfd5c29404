"""The law of a diffusion model: exactly, by applying its steps to every configuration, or along random noisings."""

from __future__ import annotations

import math
from copy import deepcopy
from itertools import pairwise

import torch
from torch import Tensor

from ebmphys.generators.diffusion import Diffusion

MOST_STATES = 2**16
_ROWS = 2**12  # at a time, so that the tables stay small


@torch.no_grad()
def reverse_chain_law(model: Diffusion, steps: int | None = None) -> Tensor:
    """log q of every configuration that a diffusion draws in so many steps; -> (2^n_visible,), order of ``states``.

    A step is a matrix between all states of x_t and all of x_s. Each of its rows is a product over sites, so with the
    sites in two halves the law goes through it as one matrix product, without the matrix: 16 sites that flip, or 10
    that are hidden and uncovered, take about half a CPU second a step. In float64.
    Raises ValueError where x_t has more than 65,536 states, or for steps that the model cannot take.
    """
    n, symbols = model.n_visible, len(model.symbols)
    if symbols**n > MOST_STATES:
        raise ValueError(f"the exact law takes up to {MOST_STATES} states, {n} sites of {symbols} symbols have more")
    exact = deepcopy(model).double()
    place = model.device
    values = torch.tensor(model.symbols, dtype=torch.float64, device=place)
    every = torch.cartesian_prod(*[values] * n).reshape(-1, n)
    law = (every == 0 if 0 in model.symbols else every != 0).all(-1).double()
    law = law / law.sum()
    for t, s in pairwise(model.grid(steps)):
        later, law = law, torch.zeros_like(law)
        for states, weights in zip(every.split(_ROWS), later.split(_ROWS), strict=True):
            local = exact.transition(states, t, s)
            first, second = _products(local[:, : n // 2]), _products(local[:, n // 2 :])
            law += ((first * weights[:, None]).T @ second).flatten()
    return law[(every != 0).all(-1)].log()


def trajectory_bound(model: Diffusion, v: Tensor, draws: int, rng: torch.Generator) -> Tensor:
    """log of the mean weight of ``draws`` noisings of each v: on average a lower bound of log q(v), in nats.

    It rises from the evidence lower bound (one draw) to log q(v), fast where the weights scatter little: their
    variance is about twice what the evidence lower bound falls short by. A draw costs as many passes through the
    network as a configuration's. (*batch, n_visible) -> (*batch,), float64. Burda, Grosse and Salakhutdinov (2016).
    Raises ValueError for draws < 1.
    """
    if draws < 1:
        raise ValueError(f"an importance-weighted bound needs 1 or more draws, got {draws}")
    total = torch.full(v.shape[:-1], -math.inf, dtype=torch.float64, device=v.device)
    for _ in range(draws):
        total = torch.logaddexp(total, model.log_weights(v, rng).double())
    return total - math.log(draws)


def _products(local: Tensor) -> Tensor:
    """The probability of every joint state of independent sites; (batch, n, symbols) -> (batch, symbols^n)."""
    joint = local.new_ones(len(local), 1)
    for site in local.unbind(1):
        joint = (joint[:, :, None] * site[:, None, :]).flatten(1)
    return joint
