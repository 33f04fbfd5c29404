"""The evidence lower bound, with the weights and floors of its KL term that keep latents in use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ebmphys.generators import LatentVariableModel
from ebmphys.objectives.base import at_least_one, set_rng


class ELBO:
    """Minus the mean evidence lower bound in nats per configuration, ``draws`` of the latents each.

    Summed over sites, averaged over the batch and the draws only: -reconstruction + beta KL. (batch, n_visible) ->
    scalar. Kingma and Welling (2014). ``beta`` other than 1 bounds no likelihood (Higgins et al. 2017). Over the first
    ``warm_up`` calls beta rises linearly from 0 (Sonderby et al. 2016); a warm-up of 0 is none. ``free_bits`` nats of
    each latent's KL, averaged over the batch, cost nothing: sum_j max(free_bits, <KL_j>) (Kingma et al. 2016).
    Raises ValueError for draws < 1, a negative number elsewhere, or a model without latent variables.
    """

    def __init__(
        self, rng: torch.Generator, draws: int = 1, *, beta: float = 1.0, warm_up: int = 0, free_bits: float = 0.0
    ) -> None:
        if min(beta, warm_up, free_bits) < 0:
            raise ValueError(f"beta, warm_up and free_bits must be 0 or more, got {beta}, {warm_up} and {free_bits}")
        self.rng, self.draws = rng, at_least_one("draws", draws)
        self.beta, self.warm_up, self.free_bits = beta, warm_up, free_bits
        self.calls = 0

    def __call__(self, model: nn.Module, v: Tensor) -> Tensor:
        bounded = with_latents(model)
        bound = bounded.terms(v, several(bounded, self.draws, len(v), self.rng))
        kl = bound.kl_per_latent.mean(0).clamp(min=self.free_bits).sum()
        weight = self.beta * (min(1.0, self.calls / self.warm_up) if self.warm_up else 1.0)
        self.calls += 1
        return weight * kl - bound.reconstruction.mean()

    def state_dict(self) -> dict[str, Any]:
        return {"rng": self.rng.get_state(), "calls": self.calls}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        set_rng(self.rng, state["rng"])
        self.calls = state["calls"]


def several(model: LatentVariableModel, draws: int, n: int, rng: torch.Generator) -> Tensor:
    """Noise for so many draws of each of n configurations; -> (draws, n, latent)."""
    return model.noise(draws * n, rng).reshape(draws, n, model.latent)


def with_latents(model: nn.Module) -> LatentVariableModel:
    """Raise ValueError for a model without latent variables."""
    if not isinstance(model, LatentVariableModel):
        raise ValueError(f"{type(model).__name__} has no ELBO: use ContrastiveDivergence for an energy")
    return model
