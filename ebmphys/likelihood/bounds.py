"""How a bound of the likelihood closes on it: ELBO <= IWAE-K <= log p, against the number of draws K."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmphys.generators import LatentVariableModel
from ebmphys.likelihood.latent import MOST_LATENTS, importance_bound, marginal


@dataclass(frozen=True)
class BoundCurve:
    """The mean of IWAE-K over some data, in nats per configuration, for each K of ``draws``; K = 1 is the ELBO.

    ``error`` is the standard error from the draws, for these data: what the order of two points is judged by.
    ``data_error`` is that from the data being as few as they are, shared by all points and by ``exact``, the mean
    log q(v) by quadrature (None with more than two latents).
    """

    draws: tuple[int, ...]
    value: tuple[float, ...]
    error: tuple[float, ...]
    exact: float | None
    data_error: float


def bound_curve(
    model: LatentVariableModel,
    v: Tensor,
    rng: torch.Generator,
    draws: Sequence[int] = (1, 4, 16, 64, 256, 1024),
    repeats: int = 2,
) -> BoundCurve:
    """``importance_bound`` at each K of ``draws``, ``repeats`` times, and the likelihood itself where it is known.

    v: (n, n_visible), data that the model was not trained on. Two repeats tell the error, since the noise of n
    configurations is averaged over: error^2 = sum_v Var_v / (repeats n^2).
    Raises ValueError for models without latents, data of another shape, no draws, fewer than 2 repeats or
    configurations.
    Source: Burda, Grosse and Salakhutdinov (2016), whose theorem the order is.
    """
    if not isinstance(model, LatentVariableModel):
        raise ValueError(f"a {type(model).__name__} has no such bounds: take a vae, or a cvae at a condition, .at(c)")
    if v.ndim != 2 or v.shape[-1] != model.n_visible or len(v) < 2:
        raise ValueError(f"a curve needs two or more rows of {model.n_visible} sites, got shape {tuple(v.shape)}")
    if not draws or repeats < 2:
        raise ValueError(f"a curve needs one or more K and 2 or more repeats, got {list(draws)} and {repeats}")
    values, errors, last = [], [], torch.empty(0)
    for k in draws:
        runs = torch.stack([importance_bound(model, v, k, rng) for _ in range(repeats)])
        last = runs.mean(0)
        values.append(float(last.mean()))
        errors.append(float((runs.var(0).sum() / repeats).sqrt()) / len(v))
    exact = marginal(model, v) if model.latent <= MOST_LATENTS else None
    spread = float((last if exact is None else exact).std()) / math.sqrt(len(v))
    return BoundCurve(
        tuple(draws), tuple(values), tuple(errors), None if exact is None else float(exact.mean()), spread
    )
