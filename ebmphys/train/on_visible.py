"""Symmetries of configurations whose rows hold more than the configuration."""

from __future__ import annotations

import torch
from torch import Tensor

from ebmphys.train.symmetries import Augmentation


class OnVisible:
    """An augmentation of the first ``n_visible`` columns of each row; the conditions after them stay.

    For conditions that the symmetry leaves as they are: temperatures and labels, but not a field, whose sign a global
    flip turns. (batch, n_visible + conditions) -> the same. Raises ValueError for rows without so many columns.
    """

    def __init__(self, augmentation: Augmentation, n_visible: int) -> None:
        self.augmentation, self.n_visible = augmentation, n_visible

    def __call__(self, rows: Tensor, rng: torch.Generator) -> Tensor:
        if rows.shape[-1] < self.n_visible:
            raise ValueError(f"rows need {self.n_visible} visible sites, got {rows.shape[-1]} columns")
        v, rest = rows[:, : self.n_visible], rows[:, self.n_visible :]
        return torch.cat([self.augmentation(v, rng), rest], -1)
