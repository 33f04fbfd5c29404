"""Sums over the states of hidden units that no closed form takes out, a bounded number of terms at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ebmphys.units import Unit

_CHUNK = 2**23  # numbers at once

Terms = Callable[[Tensor, Tensor], Tensor]


def states_of(unit: Unit, n: int, like: Tensor) -> Tensor:
    """Every configuration of n two-valued units, the last one fastest; -> (2^n, n), typed as ``like``."""
    values = torch.tensor(unit.values, dtype=like.dtype, device=like.device)
    return torch.cartesian_prod(*[values] * n).reshape(-1, n)


def log_sum(terms: Terms, rows: Tensor, beta: Tensor | float, width: int) -> Tensor:
    """log sum_c exp(terms(row, beta of the row)_c) of each configuration.

    terms: (k, n), (k, 1) -> (k, number of terms); ``width`` numbers are held for each row of a chunk. beta broadcasts
    against the batch. Gradients of more than one chunk recompute it, so that memory stays bounded in training too.
    (*batch, n) -> (*batch,)
    """
    heat = torch.as_tensor(beta, dtype=rows.dtype, device=rows.device).expand(rows.shape[:-1])
    chunks = list(
        zip(
            rows.reshape(-1, rows.shape[-1]).split(max(1, _CHUNK // width)),
            heat.reshape(-1, 1).split(max(1, _CHUNK // width)),
            strict=True,
        )
    )

    def summed(v: Tensor, b: Tensor) -> Tensor:
        return terms(v, b).logsumexp(-1)

    if len(chunks) > 1 and torch.is_grad_enabled():
        sums = [checkpoint(summed, *chunk, use_reentrant=False, preserve_rng_state=False) for chunk in chunks]
    else:
        sums = [summed(*chunk) for chunk in chunks]
    return torch.cat(sums).reshape(rows.shape[:-1])
