"""Learning from an energy and no data: the variational free energy of a model that can be drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ebmphys.energies import EnergyModel
from ebmphys.exact.thermodynamics import check_beta
from ebmphys.generators import TractableModel
from ebmphys.objectives.base import set_rng
from ebmphys.stats import Estimate, independent_mean


class VariationalFreeEnergy:
    """beta F_q = <beta E + log q>_q over draws of the model itself, at least -log Z with equality at q = p.

    No data: of the batch only its length is used, the number of draws. The gradient is the score function's with the
    mean of the other draws as the baseline, <(R - <R>) d log q>, R = beta E + log q, without bias; its noise vanishes
    as q becomes p, where R is constant. beta rises linearly over the first ``annealing`` updates, so that q
    finds the states that count before it has to choose among them. Hidden units of the target are summed out.
    (batch, n_visible) -> scalar in nats. Wu, Wang and Zhang (2019).
    Raises ValueError for batches of one, models without an exact likelihood, and sites that are not the target's.
    """

    def __init__(self, target: EnergyModel, beta: float, rng: torch.Generator, annealing: int = 0) -> None:
        if annealing < 0:
            raise ValueError(f"annealing must be 0 or more updates, got {annealing}")
        self.target, self.final_beta, self.rng, self.annealing = target, check_beta(beta), rng, annealing
        self.updates = 0

    @property
    def beta(self) -> float:
        """The inverse temperature of the next update."""
        return self.final_beta * min(1.0, (self.updates + 1) / max(self.annealing, 1))

    def __call__(self, model: nn.Module, v: Tensor) -> Tensor:
        if len(v) < 2:
            raise ValueError("the variational free energy needs batches of 2 or more: draws are each other's baseline")
        x = checked(model, self.target).draw(len(v), self.rng)
        log_q, weight = checked(model, self.target).log_prob(x), log_weight(self.target, self.beta, x)
        reward = log_q.detach() - weight
        advantage = (reward - reward.mean()) * (len(v) / (len(v) - 1))
        score = (advantage * log_q).mean()
        self.updates += 1
        return score - score.detach() + reward.mean()

    def state_dict(self) -> dict[str, Any]:
        return {"rng": self.rng.get_state(), "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        set_rng(self.rng, state["rng"])
        self.updates = state["updates"]


@torch.no_grad()
def variational_free_energy(
    model: TractableModel, target: EnergyModel, beta: float, draws: int, rng: torch.Generator
) -> Estimate:
    """F_q = <E + log q / beta>_q, total and not per site, over fresh draws; at least F = -log Z / beta on average.

    Its excess is KL(q || p) / beta, and a mode that q has lost costs little here: F_q within its error of F says
    nothing of what is missing. Raises ValueError for beta = 0, and as the objective does.
    """
    if not check_beta(beta) > 0:
        raise ValueError("the free energy needs beta above 0")
    x = checked(model, target).draw(draws, rng)
    each = (model.log_prob(x).double() - log_weight(target, beta, x).double()) / beta
    return independent_mean(each.cpu().numpy())


def checked(model: nn.Module, target: EnergyModel) -> TractableModel:
    """The model; raises ValueError unless its law is exact and on the target's visible sites, two-valued ones."""
    if not isinstance(model, TractableModel):
        raise ValueError(f"{type(model).__name__} has no exact likelihood to set against an energy")
    if model.n_visible != target.n_visible:
        raise ValueError(f"the target has {target.n_visible} visible sites and the model {model.n_visible}")
    if len(target.visible_unit.values) != 2 or len(model.visible_unit.values) != 2:
        raise ValueError("the variational free energy needs a model and a target of two-valued sites")
    return model


@torch.no_grad()
def log_weight(target: EnergyModel, beta: float, x: Tensor) -> Tensor:
    """-beta F_beta(v) of the target at draws of a model, spins or bits alike; (n, n_visible) -> (n,)."""
    lower, upper = target.visible_unit.values
    return -beta * target.free_energy(torch.where(x > 0, upper, lower), beta)
