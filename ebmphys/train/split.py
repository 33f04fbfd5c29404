"""Holding data back."""

from __future__ import annotations

import torch
from torch import Tensor


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
