"""What may happen to gradients between ``backward`` and the optimizer's step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ebmphys.objectives import Draws


class GradientTransform(Protocol):
    """A change of gradients and of the step that follows: other coordinates, a metric, a bound.

    Several are applied in turn before the step, and in the opposite order after it.
    """

    def before_step(self, model: nn.Module, v: Tensor, draws: Draws | None) -> None:
        """Change every ``.grad`` in place; v is the batch, draws are those of the model where the objective has any."""
        ...

    def after_step(self, model: nn.Module) -> None:
        """Take the step that the optimizer made in the transform's own coordinates to the model's, in place."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain data from which ``load_state_dict`` continues bit for bit."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


def stored(transforms: Sequence[GradientTransform]) -> list[dict[str, Any]]:
    """The states of several transforms, each with its kind."""
    return [{"transform": type(each).__name__, "state": each.state_dict()} for each in transforms]


def restore(transforms: Sequence[GradientTransform], states: Sequence[Mapping[str, Any]]) -> None:
    """Give each transform what ``stored`` kept of it; raises ValueError where they are others or in another order."""
    mine, theirs = [type(each).__name__ for each in transforms], [state["transform"] for state in states]
    if mine != theirs:
        raise ValueError(
            f"cannot resume: gradients went through {theirs or 'nothing'} and now through {mine or 'none'}"
        )
    for each, state in zip(transforms, states, strict=True):
        each.load_state_dict(state["state"])


class Clipped:
    """Gradients whose norm, over all parameters, is more than ``norm`` are scaled down to it (Pascanu et al. 2013).

    Raises ValueError for a norm that is not positive.
    """

    def __init__(self, norm: float) -> None:
        if not norm > 0:
            raise ValueError(f"norm must be positive, got {norm}")
        self.norm = norm

    def before_step(self, model: nn.Module, v: Tensor, draws: Draws | None) -> None:
        torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.grad is not None], self.norm)

    def after_step(self, model: nn.Module) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass
