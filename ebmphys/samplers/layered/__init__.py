"""Compiled sweeps of machines of two layers of two-valued units, their states packed into bits."""

from __future__ import annotations

from torch import Tensor

from ebmphys.energies import ConvolutionalRBM, EnergyModel, TwoLayers
from ebmphys.samplers.layered.base import PackedSweeps, two_valued_layers
from ebmphys.samplers.layered.local import LocalSweeps, is_local
from ebmphys.samplers.layered.tables import MOST_WEIGHTS, TabulatedSweeps

__all__ = ["LocalSweeps", "PackedSweeps", "TabulatedSweeps", "packed_sweeps"]


def packed_sweeps(model: EnergyModel, beta: Tensor, x: Tensor) -> PackedSweeps | None:
    """The fastest there are for the model and its configurations; None where another way is the only one, or faster."""
    if not isinstance(model, TwoLayers) or not two_valued_layers(model, x):
        return None
    if isinstance(model, ConvolutionalRBM) and is_local(model):
        return LocalSweeps(model, beta, x)
    return TabulatedSweeps(model, beta, x) if model.n_visible * model.n_hidden <= MOST_WEIGHTS else None
