"""Penalties and priors on the weights, around any objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ebmphys.objectives.base import Objective, Stateful
from ebmphys.objectives.two_phase import TwoPhase

_FREE = ("bias", "log_precision")  # how the parameters that no prior holds are called


class Penalised:
    """objective + (l1 sum |w| + l2/2 sum w^2) / ``n_data``, over the weights that learn.

    With ``n_data`` the number of configurations, and an objective in nats per configuration (the likelihood, or the
    pseudo-likelihood in its place), it is minus the log posterior per configuration under independent priors, Laplace
    exp(-l1 |w|) and Gaussian of variance 1 / l2, so its minimum is the MAP estimate, whatever the batch size; with
    n_data = 1 it is plain weight decay. Biases and learned widths are left free.
    Raises ValueError for a strength that is negative, or n_data < 1.
    """

    def __init__(self, objective: Objective, l1: float = 0.0, l2: float = 0.0, n_data: int = 1) -> None:
        if not (l1 >= 0 and l2 >= 0 and n_data >= 1):
            raise ValueError(f"a penalty needs l1 >= 0, l2 >= 0 and n_data >= 1, got {l1}, {l2} and {n_data}")
        self.objective, self.l1, self.l2, self.n_data = objective, l1, l2, n_data

    def __call__(self, model: nn.Module, v: Tensor) -> Tensor:
        loss = self.objective(model, v)
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and _is_weight(name):
                loss = loss + self._penalty(parameter) / self.n_data
        return loss

    def _penalty(self, w: Tensor) -> Tensor:
        return self.l1 * w.abs().sum() + self.l2 / 2 * (w**2).sum()

    def state_dict(self) -> dict[str, Any]:
        return self.objective.state_dict() if isinstance(self.objective, Stateful) else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if isinstance(self.objective, Stateful):
            self.objective.load_state_dict(state)


def _is_weight(name: str) -> bool:
    return not any(part.endswith(_FREE) for part in name.split("."))


def two_phase(objective: Objective) -> TwoPhase | None:
    """The two phases inside an objective, penalties aside; None where it has none."""
    while isinstance(objective, Penalised):
        objective = objective.objective
    return objective if isinstance(objective, TwoPhase) else None
