"""The importance-weighted bound as an objective."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ebmphys.objectives.base import at_least_one, set_rng
from ebmphys.objectives.elbo import several, with_latents


class ImportanceWeighted:
    """Minus the mean of log (w_1 + ... + w_K) / K in nats per configuration, K = ``draws`` of the latents each.

    w = q(v, z) / posterior(z | v). The ELBO at K = 1, and closer to log q(v) the larger K is, with an encoder that need
    not be exact; its gradient, though, tells the encoder the less the larger K is (Rainforth et al. 2018).
    (batch, n_visible) -> scalar. Burda, Grosse and Salakhutdinov (2016).
    Raises ValueError for draws < 1, or a model without latent variables.
    """

    def __init__(self, rng: torch.Generator, draws: int = 10) -> None:
        self.rng, self.draws = rng, at_least_one("draws", draws)

    def __call__(self, model: nn.Module, v: Tensor) -> Tensor:
        bounded = with_latents(model)
        log_w = bounded.log_importance_weights(v, several(bounded, self.draws, len(v), self.rng))
        return math.log(self.draws) - log_w.logsumexp(0).mean()

    def state_dict(self) -> dict[str, Any]:
        return {"rng": self.rng.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        set_rng(self.rng, state["rng"])
