"""The natural gradient: steps measured by how far they move the law, not the parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from ebmphys.energies import EnergyModel
from ebmphys.objectives import Draws, NegativePhase


class NaturalGradient:
    """(F + ``damping``)^-1 gradient, F = Cov(dE/dtheta) over the model, the Fisher information (Amari 1998).

    E is the free energy of visible configurations, or where hidden units cannot be summed out the energy of all sites,
    whose F bounds that of the visible law from above (Desjardins et al. 2013). Its covariance is taken over the draws
    of the objective, or over those of ``source``: with ``Exact`` it is the exact Fisher information of a small machine.
    Solved in whichever of draws and parameters there are fewer of, so the cost is n_draws n_parameters min(both).
    For plain gradient descent (``optimizer="sgd"``), at rates up to 1. Raises ValueError for a damping that is not
    positive, and for a model or objective without draws.
    """

    def __init__(self, damping: float = 1e-2, source: NegativePhase | None = None) -> None:
        if not damping > 0:
            raise ValueError(f"damping must be positive, got {damping}")
        self.damping, self.source = damping, source

    def before_step(self, model: nn.Module, v: Tensor, draws: Draws | None) -> None:
        if not isinstance(model, EnergyModel):
            raise ValueError(f"the Fisher information is taken over draws of an energy, {type(model).__name__} is none")
        sample = self.source.draw(model, v) if self.source is not None else draws
        if sample is None:
            raise ValueError("the Fisher information needs draws of the model: an objective of two phases, or a source")
        learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
        slopes = energy_gradients(model, sample.x)
        with torch.no_grad():
            flat = torch.cat([_gradient(p).flatten() for p in learning.values()])
            step = solve(slopes, sample.weights, self.damping, flat)
            for p, part in zip(learning.values(), step.split([p.numel() for p in learning.values()]), strict=True):
                p.grad = part.reshape(p.shape).clone()

    def after_step(self, model: nn.Module) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {} if self.source is None else {"source": self.source.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if self.source is not None:
            self.source.load_state_dict(state["source"])


class _Cost(nn.Module):
    """What ``functional_call`` can call with other parameters."""

    def __init__(self, model: EnergyModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        if self.model.sums_out_hidden:
            return self.model.free_energy(x[: self.model.n_visible])
        return self.model.energy(x)


def energy_gradients(model: EnergyModel, x: Tensor) -> Tensor:
    """dE/dtheta of each configuration, over all that learns, in the order of the parameters; -> (n, n_parameters)."""
    cost = _Cost(model)
    learning = {name: p.detach() for name, p in cost.named_parameters() if p.requires_grad}
    slope = vmap(grad(lambda parameters, row: functional_call(cost, parameters, (row,))), in_dims=(None, 0))
    return torch.cat([part.flatten(1) for part in slope(learning, x).values()], 1)


def solve(slopes: Tensor, weights: Tensor | None, damping: float, gradient: Tensor) -> Tensor:
    """(Cov(slopes) + damping)^-1 gradient in float64; (n, p), (n,) or None, (p,) -> (p,)."""
    rows, right = slopes.double(), gradient.double()
    share = rows.new_full((len(rows),), 1 / len(rows)) if weights is None else weights.double()
    scaled = (rows - share @ rows) * share.sqrt()[:, None]
    n, p = scaled.shape
    if p <= n:
        fisher = scaled.T @ scaled + damping * torch.eye(p, dtype=right.dtype, device=right.device)
        found = torch.linalg.solve(fisher, right)
    else:  # Woodbury
        gram = scaled @ scaled.T + damping * torch.eye(n, dtype=right.dtype, device=right.device)
        found = (right - scaled.T @ torch.linalg.solve(gram, scaled @ right)) / damping
    return found.to(gradient)


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
