"""Objectives of a conditional model, whose rows of data are configurations with their conditions as last columns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ebmphys.generators import ConditionalVAE
from ebmphys.objectives.base import Objective, Stateful, at_least_one, set_rng


class Conditional:
    """An objective of latent variable models, each configuration at its own conditions.

    ``Conditional(ELBO(rng))`` is minus the mean of a lower bound of log q(v | c); (batch, n_visible + conditions) ->
    scalar. Raises ValueError for another model than a conditional one, and for unknown conditions.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective

    def __call__(self, model: nn.Module, rows: Tensor) -> Tensor:
        told = _conditional(model)
        v, c = split_rows(told, rows)
        return self.objective(told.at(c), v)

    def state_dict(self) -> dict[str, Any]:
        return self.objective.state_dict() if isinstance(self.objective, Stateful) else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if isinstance(self.objective, Stateful):
            self.objective.load_state_dict(state)


class SemiSupervised:
    """Minus the mean bound where part of the labels are unknown, NaN, plus the classifier's loss on those known.

    With p(y) = 1/n and L(v, y) = log p(y) + ELBO of v at y a row of known label counts L(v, y), any other
    sum_y r(y | v) (L(v, y) - log r(y | v)), r the classifier: a lower bound of log sum_y p(y) q(v | y), tight in y
    where r is the posterior. The classifier's loss, ``weight`` times the mean of -log r(y | v) over the rows of known
    label, is what teaches it directly. ``draws`` of the latents each; (batch, n_visible + conditions) -> scalar.
    Kingma, Rezende, Mohamed and Welling (2014), M2. Raises ValueError for draws < 1, a negative weight, or a model
    without a classifier.
    """

    def __init__(self, rng: torch.Generator, draws: int = 1, *, weight: float = 1.0) -> None:
        if weight < 0:
            raise ValueError(f"the weight of the classifier's loss must be 0 or more, got {weight}")
        self.rng, self.draws, self.weight = rng, at_least_one("draws", draws), weight

    def __call__(self, model: nn.Module, rows: Tensor) -> Tensor:
        told = _conditional(model)
        v, c = split_rows(told, rows)
        place, _ = told.label
        log_r = told.log_labels(v, c)
        noise = torch.randn(self.draws, len(v), told.latent, generator=self.rng, device=self.rng.device)
        joint = log_joint(told, v, c, noise)
        y = c[:, place]
        unknown = y.isnan()
        summed = (log_r.exp() * (joint - log_r)).sum(-1)
        kinds = y.nan_to_num(0.0).long()[:, None]
        bound = torch.where(unknown, summed, joint.gather(-1, kinds).squeeze(-1))
        errors = torch.where(unknown, 0.0, -log_r.gather(-1, kinds).squeeze(-1))
        return self.weight * errors.sum() / (~unknown).sum().clamp(min=1) - bound.mean()

    def state_dict(self) -> dict[str, Any]:
        return {"rng": self.rng.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        set_rng(self.rng, state["rng"])


def log_joint(model: ConditionalVAE, v: Tensor, c: Tensor, noise: Tensor) -> Tensor:
    """L(v, y) = log p(y) + ELBO of v at each label y, averaged over draws; -> (batch, n labels).

    (batch, n_visible), (batch, conditions) whose label is not read, ([draws,] batch, latent).
    """
    place, label = model.label
    column = torch.tensor([place], device=c.device)
    each = [model.at(c.double().index_fill(-1, column, y)).elbo(v, noise) for y in range(label.n)]
    bounds = torch.stack(each, -1)
    return bounds.reshape(-1, *bounds.shape[-2:]).mean(0) - math.log(label.n)


def split_rows(model: ConditionalVAE, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Configurations and conditions of rows of data; (batch, n_visible + conditions) -> the two."""
    return rows[:, : model.n_visible], rows[:, model.n_visible :]


def _conditional(model: nn.Module) -> ConditionalVAE:
    if not isinstance(model, ConditionalVAE):
        raise ValueError(f"{type(model).__name__} is told no conditions: this objective is for a ConditionalVAE")
    return model
