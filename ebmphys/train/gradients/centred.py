"""The centred gradient: learning as if every unit had mean zero and the span of a spin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ebmphys.energies import EnergyModel
from ebmphys.objectives import Draws
from ebmphys.samplers.mean_field import mean_field
from ebmphys.train.gradients.pairs import Pairs, half_spans, pairs_of, statistics_of

_RATE = 0.01  # at which the means follow those of the batches


class Centred:
    """Steps in W', b' of E = - sum W' z z' - sum b' z, z = (s - mu) / (half the span of s), in place of those of s.

    The optimizer is shown the gradient over W', b' and steps there; the model takes the same step in its own,
    W = W' / (half span)^2 and b = b' / (half span) - W mu. So it learns as a machine of spins of mean zero does: bits
    as fast as spins at one learning rate, and whichever value is called 1, for Adam too. mu are sliding means over
    the data, of hidden units those given the data. Both are the same gradient descent on the same law
    in other coordinates, so what they converge to is the same.
    For an RBM, a Boltzmann machine or a deep one that has biases; Montavon and Mueller (2012), with the offsets
    of Melchior, Fischer and Wiskott (2016). Raises ValueError for other models.
    """

    def __init__(self) -> None:
        self.means: Tensor | None = None
        self._machine: _Machine | None = None
        self._before: list[Tensor] = []

    @torch.no_grad()
    def before_step(self, model: nn.Module, v: Tensor, draws: Draws | None) -> None:
        machine = self._bound(model)
        means = self._follow(machine, v)
        of_bias = [_gradient(p) for p in machine.pairs.biases]
        of_weight = [_gradient(p) for p in machine.pairs.weights]
        torch._foreach_sub_(of_weight, machine.pairs.pull(of_bias, means))
        torch._foreach_div_([*of_weight, *of_bias], machine.spans)
        self._before = [p.detach().clone() for p in machine.parameters]

    @torch.no_grad()
    def after_step(self, model: nn.Module) -> None:
        machine, means = self._bound(model), self.means
        assert means is not None
        steps = list(torch._foreach_sub(machine.parameters, self._before))
        torch._foreach_div_(steps, machine.spans)
        fields = machine.pairs.fields(steps[: len(machine.pairs.weights)], means)
        torch._foreach_copy_(machine.parameters, self._before)
        torch._foreach_add_(machine.parameters, steps)
        torch._foreach_sub_(machine.pairs.biases, fields)

    def _bound(self, model: nn.Module) -> _Machine:
        if self._machine is None or self._machine.model is not model:
            pairs = pairs_of(model)
            if pairs is None or not isinstance(model, EnergyModel):
                raise ValueError(
                    f"centred gradients are for RBMs, Boltzmann machines and deep ones that have biases, "
                    f"this {type(model).__name__} is none"
                )
            of_weight, of_bias = pairs.spans(half_spans(pairs, pairs.biases[0].detach()))
            self._machine = _Machine(model, pairs, [*pairs.weights, *pairs.biases], [*of_weight, *of_bias])
        return self._machine

    def _follow(self, machine: _Machine, v: Tensor) -> Tensor:
        now = statistics_of(machine.pairs, mean_field(machine.model, v, 1)).mean(0)
        self.means = now if self.means is None else self.means.lerp(now, _RATE)
        return self.means

    def state_dict(self) -> dict[str, Any]:
        return {} if self.means is None else {"means": self.means.clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.means = state["means"].clone() if state else None


@dataclass(frozen=True)
class _Machine:
    """A model with what is the same at every step: its pairs, and the spans that its parameters are measured in."""

    model: EnergyModel
    pairs: Pairs
    parameters: list[Tensor]
    spans: list[Tensor]


def _gradient(parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad
