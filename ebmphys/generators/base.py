"""The contract of models that draw independently, and the log-likelihood of a unit that they all share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from ebmphys.units import Unit


class IndependentModel(nn.Module, ABC):
    """A probability law q(v) on n_visible sites that is drawn from directly, each configuration on its own.

    Being fitted is the business of an objective, and likelihoods are computed outside: a model knows its law only.
    """

    n_visible: int

    @property
    @abstractmethod
    def visible_unit(self) -> Unit:
        """The unit that every visible site shares; draws are in its values."""

    @property
    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Plain data (JSON) with the key ``model``; ``from_config`` makes the same model, parameters apart."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: dict[str, Any]) -> IndependentModel:
        """The model that ``config`` describes."""

    @abstractmethod
    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        """n independent configurations, drawn and never rounded; -> (n, n_visible)."""

    @property
    def device(self) -> torch.device:
        """Where the model's numbers are."""
        return next(chain(self.parameters(), self.buffers())).device

    def check_draws(self, n: int, rng: torch.Generator) -> None:
        """Raise ValueError for n < 1, or where model and generator are on different devices."""
        if n < 1:
            raise ValueError(f"the number of draws must be 1 or more, got {n}")
        if self.device.type != rng.device.type:
            raise ValueError(
                f"the model is on {self.device.type} and the generator on {rng.device.type}: make both on one"
            )


class TractableModel(IndependentModel):
    """A law whose log q(v) is a closed form or a finite product of conditionals, for every configuration."""

    @abstractmethod
    def log_prob(self, v: Tensor) -> Tensor:
        """log q(v) in nats, total and not per site, exact and differentiable; (*batch, n_visible) -> (*batch,)."""


def log_density(unit: Unit, x: Tensor, eta: Tensor) -> Tensor:
    """log p(x | eta) of each unit, in nats; (*shape), (*shape[, n_parameters]) -> (*shape).

    Two-valued units take either convention of x, -1/+1 or 0/1: what is positive is the upper value.
    """
    if len(unit.values) == 2:
        return logsigmoid(torch.where(x > 0, eta, -eta))
    # Around the mean: the textbook form field x - precision x^2/2 - A(eta) cancels badly in float32.
    precision = eta[..., 1]
    return -0.5 * (precision * (x - unit.mean(eta)) ** 2 + math.log(2 * math.pi) - precision.log())
