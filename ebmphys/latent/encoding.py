"""Where an encoder puts configurations among the latents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ebmphys.generators import LatentVariableModel
from ebmphys.generators.latent_variable import turned

Real = NDArray[np.float64]

GROUPS = 50  # of rows, for the jackknife: an error bar to 10 %
_ROWS = 2**12  # at a time through a network


@dataclass(frozen=True)
class Codes:
    """Means and variances of the encoder's posterior of each latent given each configuration, (n, latent) both.

    With correlated latents these are the marginal laws'.
    """

    mean: Real
    variance: Real


@torch.no_grad()
def codes(model: LatentVariableModel, v: Tensor) -> Codes:
    """The posterior's means and variances for each configuration; (n, n_visible) -> Codes.

    Raises ValueError for fewer than two configurations, or sizes that do not fit.
    """
    if v.ndim != 2 or v.shape[-1] != model.n_visible or len(v) < 2:
        raise ValueError(f"codes need 2 or more rows of {model.n_visible} visible sites, got shape {tuple(v.shape)}")
    means, variances = [], []
    for rows in v.split(_ROWS):
        posterior = model.encode(rows.to(model.device))
        means.append(posterior.mean.double().cpu())
        marginal = posterior.log_variance.exp()
        if posterior.mixing is not None:
            marginal = posterior.covariance.diagonal(dim1=-2, dim2=-1)
        variances.append(marginal.double().cpu())
    return Codes(torch.cat(means).numpy(), torch.cat(variances).numpy())


def odd_means(model: LatentVariableModel, v: Tensor) -> Real:
    """The part of the latents that turns with the configuration: (E[z | v] - E[z | -v]) / 2; -> (n, latent).

    Zero of z is a convention of the network's; this is zero where v has no sign, so |z| is an order parameter.
    Raises ValueError for a symmetric model, whose latents are the same for v and -v.
    """
    if model.symmetric:
        raise ValueError("the latents of a symmetric model do not know the sign of a configuration: take its codes")
    return 0.5 * (codes(model, v).mean - codes(model, turned(model.unit, v)).mean)


def grouped(x: Real) -> Real:
    """Means of x over up to 50 groups of rows, as independent chains for ``stats.jackknife``; -> (1, group, ...)."""
    return np.stack([x[rows].mean(axis=0) for rows in groups(len(x))])[None]


def groups(n: int) -> list[slice]:
    """Up to 50 groups of nearly equal size, every 50th row each: rows sorted by temperature fall evenly into them."""
    count = min(GROUPS, n)
    return [slice(k, None, count) for k in range(count)]
