"""Fine-tuning of deep belief nets: the contrastive form of the wake-sleep algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ebmphys.generators import DeepBeliefNet
from ebmphys.objectives.base import NegativePhase, set_rng
from ebmphys.objectives.two_phase import TwoPhase


class WakeSleep:
    """Minus what the wake and the sleep phase maximise, in nats per configuration (Hinton, Osindero and Teh 2006).

    Wake: layers are recognised from the data upwards; the weights downwards learn log p(x_l | x_(l+1)) of them, and the
    top RBM learns from its layer by ``TwoPhase`` with draws of ``negative``. Sleep: layers are generated from those
    draws downwards, and the weights upwards learn log r(x_(l+1) | x_l) of them. Where recognition is the exact
    posterior the gradient of the law's parameters is that of the likelihood, else that of a bound
    (Hinton, Dayan, Frey and Neal 1995). (batch, n_visible) -> scalar. Raises ValueError for other models.
    """

    def __init__(self, negative: NegativePhase, rng: torch.Generator) -> None:
        self.rng, self.top = rng, TwoPhase(negative)

    def __call__(self, model: nn.Module, v: Tensor) -> Tensor:
        if not isinstance(model, DeepBeliefNet):
            raise ValueError(f"wake-sleep fine-tunes deep belief nets, {type(model).__name__} is none")
        wake = model.upwards(v, self.rng)
        top = self.top(model.top, wake[-1])
        assert self.top.draws is not None
        dream = model.downwards(self.top.draws.x[:, : model.top.n_visible], self.rng)
        return top - model.log_generated(wake).mean() - self.top.draws.mean(model.log_recognised(dream))

    def state_dict(self) -> dict[str, Any]:
        return {"rng": self.rng.get_state(), "negative": self.top.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        set_rng(self.rng, state["rng"])
        self.top.load_state_dict(state["negative"])
