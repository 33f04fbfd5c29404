"""What a compiled cluster update needs of the chains: their spins in one piece, their beta, seeds for each step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ebmphys.samplers.base import Chains
from ebmphys.samplers.compiled import Words, seeds

_STREAMS = 1 << 16  # seeded at a time, to bound the memory of many steps


def working_spins(chains: Chains) -> Tensor:
    """The spins, (*batch, n_sites), contiguous: the chains' own storage where they have it, else a copy."""
    if type(chains) is Chains and chains.x.is_contiguous():
        return chains.x
    return chains.x.clone(memory_format=torch.contiguous_format)


def betas(chains: Chains) -> NDArray[np.float64]:
    """The inverse temperature of each chain, (n_chains,)."""
    return np.broadcast_to(chains.beta.numpy(), chains.batch).astype(np.float64).ravel()


def step_seeds(steps: int, n_chains: int, rng: torch.Generator) -> Iterator[Words]:
    """Seeds of the streams of each step and chain, (some steps, n_chains, 4) at a time.

    The words are drawn in the order of the steps, so that n steps at once are the same as n single ones.
    """
    while steps > 0:
        some = min(steps, max(1, _STREAMS // max(n_chains, 1)))
        yield seeds((some, n_chains, 4), rng)
        steps -= some
