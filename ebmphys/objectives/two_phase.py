"""The likelihood of an energy as a difference of two phases, and its most common form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ebmphys.energies import EnergyModel
from ebmphys.objectives.base import Draws, NegativePhase, PositivePhase
from ebmphys.objectives.persistent import Persistent
from ebmphys.objectives.positive import Clamped
from ebmphys.objectives.short_runs import FromData


@runtime_checkable
class Follower(Protocol):
    """A negative phase that learns something of its own from each update."""

    def follow(self, model: EnergyModel, loss: Tensor) -> None:
        """Take what it needs of the loss's gradient, leaving its graph whole."""
        ...


class TwoPhase:
    """mean F(v) over data - mean F(v) over draws of the model, hidden units summed out exactly in both.

    Its gradient is that of the mean negative log-likelihood in nats per configuration (Ackley, Hinton and Sejnowski
    1985), up to the error of the draws; its value says nothing about how far learning has come.
    Where hidden units cannot be summed out (``model.sums_out_hidden`` is False) it is mean E(v, h) - mean E(x) over all
    sites, h as the ``positive`` phase fills them in. ``draws`` are those of the last call.
    (batch, n_visible) -> scalar. Raises ValueError for a model that is no energy, or lacks its positive phase.
    """

    def __init__(self, negative: NegativePhase, positive: PositivePhase | None = None) -> None:
        self.negative, self.positive = negative, positive
        self.draws: Draws | None = None

    def __call__(self, model: nn.Module, v: Tensor) -> Tensor:
        if not isinstance(model, EnergyModel):
            raise ValueError(f"this objective is for energies, {type(model).__name__} is none: use ELBO for a VAE")
        loss = self._summed_out(model, v) if model.sums_out_hidden else self._filled_in(model, v)
        if isinstance(self.negative, Follower):
            self.negative.follow(model, loss)
        return loss

    def _summed_out(self, model: EnergyModel, v: Tensor) -> Tensor:
        self.draws = self.negative.draw(model, v)
        # One call for both: at the sizes of lattices the calls cost more than the numbers.
        energies = model.free_energy(torch.cat([v, self.draws.x[:, : model.n_visible]]))
        return energies[: len(v)].mean() - self.draws.mean(energies[len(v) :])

    def _filled_in(self, model: EnergyModel, v: Tensor) -> Tensor:
        if self.positive is None:
            raise ValueError(
                f"hidden units of {type(model).__name__} act on each other: give a positive phase, Clamped or MeanField"
            )
        data = self.positive.fill(model, v)
        self.draws = self.negative.draw(model, v)
        energies = model.energy(torch.cat([data, self.draws.x]))
        return energies[: len(v)].mean() - self.draws.mean(energies[len(v) :])

    def state_dict(self) -> dict[str, Any]:
        positive = {} if self.positive is None else {"positive": self.positive.state_dict()}
        return self.negative.state_dict() | positive

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if self.positive is not None:
            if "positive" not in state:
                raise ValueError("the stored state is of an objective without a positive phase")
            self.positive.load_state_dict(state["positive"])
        self.negative.load_state_dict(state)


class ContrastiveDivergence(TwoPhase):
    """``TwoPhase`` with k Gibbs steps of persistent chains (PCD-k), or, not ``persistent``, from the data (CD-k).

    Hidden units that cannot be summed out take k clamped Gibbs steps. ``n_chains`` and ``flips`` are those of
    ``Persistent``.
    """

    def __init__(
        self, k: int, rng: torch.Generator, *, persistent: bool = True, n_chains: int = 500, flips: bool = True
    ) -> None:
        negative = Persistent(k, rng, n_chains, flips) if persistent else FromData(k, rng)
        super().__init__(negative, Clamped(k, rng))
