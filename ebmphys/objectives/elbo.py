"""The objective of latent variable models: a lower bound of the log-likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ebmphys.objectives.base import at_least_one, set_rng


class Bounded(Protocol):
    """A model with a lower bound of its log-likelihood that takes its noise from outside."""

    def noise(self, n: int, rng: torch.Generator) -> Tensor: ...

    def elbo(self, v: Tensor, noise: Tensor) -> Tensor: ...


class ELBO:
    """Minus the mean evidence lower bound in nats per configuration, ``draws`` of the latents each.

    Summed over sites, averaged over the batch and the draws only. (batch, n_visible) -> scalar.
    Kingma and Welling (2014). Raises ValueError for draws < 1, or a model without ``elbo``.
    """

    def __init__(self, rng: torch.Generator, draws: int = 1) -> None:
        self.rng, self.draws = rng, at_least_one("draws", draws)

    def __call__(self, model: nn.Module, v: Tensor) -> Tensor:
        bounded: Bounded = _with_elbo(model)
        noise = bounded.noise(self.draws * len(v), self.rng)
        return -bounded.elbo(v, noise.reshape(self.draws, len(v), *noise.shape[1:])).mean()

    def state_dict(self) -> dict[str, Any]:
        return {"rng": self.rng.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        set_rng(self.rng, state["rng"])


def _with_elbo(model: Any) -> Bounded:
    if not (hasattr(model, "elbo") and hasattr(model, "noise")):
        raise ValueError(f"{type(model).__name__} has no ELBO: use ContrastiveDivergence for an energy")
    bounded: Bounded = model
    return bounded
