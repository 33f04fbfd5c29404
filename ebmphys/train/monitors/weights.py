"""What the weights say: how many directions of the data have been learned."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ebmphys.energies import EnergyModel, TwoLayers
from ebmphys.objectives import Objective
from ebmphys.train.loop import Monitor


def singular_value(rank: int) -> Monitor:
    """The ``rank``-th largest singular value of the weights between two layers, rank = 1, 2, ...

    Each that rises out of the bulk of small ones is a direction learned (Decelle, Fissore and Furtlehner 2017).
    """

    def monitor(model: nn.Module, objective: Objective) -> float:
        if not isinstance(model, TwoLayers):
            raise ValueError(f"{type(model).__name__} has no weights between two layers")
        return float(torch.linalg.svdvals(weights_of(model).double())[rank - 1])

    return monitor


def weights_of(model: TwoLayers) -> Tensor:
    return model.couplings().weights.detach()


def ranks(model: EnergyModel, most: int = 3) -> range:
    """The ranks worth watching: the largest three, or fewer where there are fewer."""
    return range(1, 1 + min(most, *weights_of(model).shape)) if isinstance(model, TwoLayers) else range(1, 1)
