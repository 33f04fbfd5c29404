"""Greedy pretraining of stacked autoencoders: each layer learns to restore what the one below it makes of the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ebmphys.generators.autoencoder import Autoencoder, SingleLayer
from ebmphys.objectives import Objective
from ebmphys.train.history import History, Record
from ebmphys.train.loop import fit
from ebmphys.train.settings import Training
from ebmphys.train.symmetries import Augmentation


def pretrain(
    model: Autoencoder,
    data: Tensor,
    objective: Objective,
    settings: Training,
    *,
    rng: torch.Generator,
    augment: Sequence[Augmentation] = (),
    on_epoch: Callable[[Record], None] | None = None,
) -> list[History]:
    """Train layer after layer from the data up, the ones below as they have become; one history a layer.

    ``settings`` are those of one layer, and ``fit`` of the whole model comes after (Bengio, Lamblin, Popovici and
    Larochelle 2007; Vincent et al. 2008). Noise of the objective is on the configurations, whichever layer learns.
    Raises ValueError as ``fit`` does.
    """
    layers = [SingleLayer(model, number) for number in range(len(model.layers))]
    return [fit(layer, data, objective, settings, rng=rng, augment=augment, on_epoch=on_epoch) for layer in layers]
