"""How well an autoencoder restores data that it is not trained on."""

from __future__ import annotations

from torch import Tensor, nn

from ebmphys.objectives import Objective
from ebmphys.objectives.reconstruction import Reconstruction
from ebmphys.rng import generator
from ebmphys.train.loop import Monitor


def mean_restoration(v: Tensor, seed: int = 0) -> Monitor:
    """The objective's own error of restoring data v, in nats per configuration, the noise always the same.

    Raises ValueError for objectives that are not about restoring.
    """

    def monitor(model: nn.Module, objective: Objective) -> float:
        if not isinstance(objective, Reconstruction):
            raise ValueError(f"{type(objective).__name__} is not about restoring configurations")
        return float(objective.error(model, v, generator(seed, "monitor", "noise", device=v.device)))

    return monitor
