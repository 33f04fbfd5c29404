"""What objectives are made of: the phases of learning, and what is carried from one update to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ebmphys.energies import EnergyModel
from ebmphys.samplers import Sampler

Objective = Callable[[nn.Module, Tensor], Tensor]
MakeSampler = Callable[[EnergyModel], Sampler]


@runtime_checkable
class Stateful(Protocol):
    """What carries something from one update to the next, and so belongs in a checkpoint."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain data from which ``load_state_dict`` continues bit for bit."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True)
class Draws:
    """Configurations of the model, (n, n_sites), or (n, n_visible) where hidden sites were summed out.

    ``weights`` (n,) are the probabilities of an enumerated law; None where every row counts alike.
    """

    x: Tensor
    weights: Tensor | None = None

    def mean(self, values: Tensor) -> Tensor:
        """The average of one value (or row of values) a configuration; (n, *value) -> (*value,)."""
        if self.weights is None:
            return values.mean(0)
        return torch.tensordot(self.weights.to(values), values, dims=1)


class NegativePhase(Stateful, Protocol):
    """Where draws of the model come from while it learns.

    ``warning`` says in words why a model learned so must not be trusted as a law; empty where nothing speaks
    against it.
    """

    @property
    def warning(self) -> str: ...

    def draw(self, model: EnergyModel, v: Tensor) -> Draws:
        """Configurations of the model, without gradient, v being the batch of data."""
        ...


class PositivePhase(Stateful, Protocol):
    """What hidden sites are while the data sit on the visible ones, for machines that cannot sum them out."""

    def fill(self, model: EnergyModel, v: Tensor) -> Tensor:
        """All sites, without gradient: the data and hidden values (or means); (n, n_visible) -> (n, n_sites)."""
        ...


def at_least_one(name: str, value: int) -> int:
    if value < 1:
        raise ValueError(f"{name} must be 1 or more, got {value}")
    return value


def set_rng(rng: torch.Generator, state: Tensor) -> None:
    """Raise ValueError where the state is not one of a generator on this device."""
    try:
        rng.set_state(state)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"the stored state is not one of a generator on {rng.device.type}") from error
