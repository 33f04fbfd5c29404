"""The evidence lower bound of a diffusion model on data that are not trained on."""

from __future__ import annotations

from torch import Tensor, nn

from ebmphys.generators import Diffusion
from ebmphys.objectives import Objective
from ebmphys.rng import generator
from ebmphys.train.loop import Monitor


def mean_denoising_bound(v: Tensor, draws: int = 16, seed: int = 0) -> Monitor:
    """The evidence lower bound in nats per configuration, from ``draws`` times each, the noise always the same.

    Below the log-likelihood by a distance that more steps lessen and more training does not. Raises ValueError for
    other models.
    """

    def monitor(model: nn.Module, objective: Objective) -> float:
        if not isinstance(model, Diffusion):
            raise ValueError(f"{type(model).__name__} has no denoising bound: a diffusion model has")
        return float(model.bound(v, generator(seed, "monitor", "denoising", device=v.device), draws).double().mean())

    return monitor
