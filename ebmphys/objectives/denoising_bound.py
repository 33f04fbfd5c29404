"""The objective of diffusion models: the evidence lower bound, one random step of it at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ebmphys.generators.diffusion import Diffusion
from ebmphys.objectives.base import at_least_one, set_rng


class DenoisingBound:
    """Minus the mean evidence lower bound of a diffusion in nats per configuration, ``draws`` times and noisings each.

    Without bias, summed over sites and steps (Sohl-Dickstein et al. 2015, Austin et al. 2021): weighing all steps
    alike instead would bound nothing. (batch, n_visible) -> scalar. Raises ValueError for draws < 1 and other models.
    """

    def __init__(self, rng: torch.Generator, draws: int = 1) -> None:
        self.rng, self.draws = rng, at_least_one("draws", draws)

    def __call__(self, model: nn.Module, v: Tensor) -> Tensor:
        if not isinstance(model, Diffusion):
            raise ValueError(f"the denoising bound is of diffusion models, {type(model).__name__} is none")
        noise = model.noise(self.draws * len(v), self.rng)
        return -model.elbo(v, noise.reshape(self.draws, len(v), -1)).mean()

    def state_dict(self) -> dict[str, Any]:
        return {"rng": self.rng.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        set_rng(self.rng, state["rng"])
