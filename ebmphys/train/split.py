"""Holding data back, so that what is held back is new to the model."""

from __future__ import annotations

import torch
from torch import Tensor

_MANY_CHAINS = 10


def split(data: Tensor, fraction: float, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """(training, validation) data, a random ``fraction`` of the rows held back; every row is in one of them.

    Successive draws of one Markov chain resemble each other, so thin them to about their autocorrelation time, or the
    validation data are not new to the model. Raises ValueError unless each part gets a row.
    """
    held = round(fraction * len(data))
    if not 0 < held < len(data):
        raise ValueError(f"a fraction of {fraction} of {len(data)} rows leaves nothing to train or to validate on")
    order = torch.randperm(len(data), generator=rng, device=rng.device).to(data.device)
    return data[order[held:]], data[order[:held]]


def split_chains(data: Tensor, chains: int, fraction: float, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """(training, validation) data of Markov chains, rows in the order (draw, chain).

    With ten chains or more, whole chains at random are held back, else the last draws of all: rows picked at random
    would be neighbours in time of rows that are learned. Raises ValueError unless each part gets a row.
    """
    if chains >= _MANY_CHAINS:
        learned, kept = split(torch.arange(chains), fraction, rng)
        rows = data.unflatten(0, (-1, chains))
        return rows[:, learned.to(data.device)].flatten(0, 1), rows[:, kept.to(data.device)].flatten(0, 1)
    held = round(fraction * (len(data) // chains)) * chains
    if not 0 < held < len(data):
        raise ValueError(f"a fraction of {fraction} of {len(data)} rows leaves nothing to train or to validate on")
    return data[:-held], data[-held:]


def held_chains(chains: int, fraction: float) -> int:
    """How many chains ``split_chains`` holds a part of back, whose rows are in the order (draw, chain)."""
    return round(fraction * chains) if chains >= _MANY_CHAINS else chains
