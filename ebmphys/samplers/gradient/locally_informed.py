"""Single flips proposed where the gradient of the energy says that they pay."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.rng import uniforms
from ebmphys.samplers.base import Chains, random_chains


def first_order_flips(model: EnergyModel, x: Tensor) -> tuple[Tensor, Tensor]:
    """E(x), and E(x with site i flipped) - E(x) of every site to first order, (x'_i - x_i) dE/dx_i, in one gradient.

    Exact where the energy is linear in each site, as that of every machine of layers is.
    (*batch, n_sites) -> (*batch,), (*batch, n_sites)
    """
    with torch.enable_grad():
        at = x.detach().requires_grad_()
        energy = model.energy(at)
        (slope,) = torch.autograd.grad(energy.sum(), at)
    return energy.detach(), (_both_values(model, x) - 2 * at.detach()) * slope


def _both_values(model: EnergyModel, like: Tensor) -> Tensor:
    """The sum of the two values of each site, so that this minus x is x flipped; -> (n_sites,)."""
    total = like.new_empty(model.n_sites)
    for name, sites in model.blocks.items():
        total[sites] = sum(model.units[name].values)
    return total


@dataclass(frozen=True)
class GibbsWithGradients:
    """Flips of one site, proposed with q(i | x) ~ exp(-beta d_i / 2), d_i the cost of flipping i to first order
    (Grathwohl, Swersky, Hashemi, Duvenaud and Maddison 2021; locally balanced: Zanella 2020).

    Accepted with probability min(1, exp(-beta (E' - E)) q(i | x') / q(i | x)), so the law is exact however rough the
    gradient. One step is ``proposals`` of them, an energy and a gradient each. Every proposal is a flip: at beta = 0
    all are accepted, and the number of upper values alternates between even and odd. Returns ``acceptance``, (*batch,).
    Raises ValueError for units that are not two-valued, for proposals < 1, and where an energy is not a number.
    """

    model: EnergyModel
    proposals: int = 1

    def __post_init__(self) -> None:
        if any(len(unit.values) != 2 for unit in self.model.units.values()):
            raise ValueError("GibbsWithGradients flips two-valued units; use HMC or Langevin for Gaussian ones")
        if self.proposals < 1:
            raise ValueError(f"a step makes 1 or more proposals, got {self.proposals}")

    def init(self, *batch: int, beta: Tensor | float = 1.0, rng: torch.Generator) -> Chains:
        return random_chains(self.model, batch, beta, rng)

    @torch.no_grad()
    def step(self, chains: Chains) -> dict[str, Tensor]:
        x, beta = chains.x.reshape(-1, self.model.n_sites), chains.beta.expand(chains.batch).reshape(-1)
        energy, cost = first_order_flips(self.model, x)
        log_q = torch.log_softmax(-0.5 * beta[:, None] * cost, -1)
        accepted, both = torch.zeros_like(beta), _both_values(self.model, x)
        for _ in range(self.proposals):
            if bool(energy.isnan().any() or log_q.isnan().any()):
                raise ValueError("the energy or its gradient is not a number: check the model's parameters")
            site = torch.multinomial(log_q.exp(), 1, generator=chains.rng)
            there = x.scatter(-1, site, both[site] - x.gather(-1, site))
            energy_there, cost_there = first_order_flips(self.model, there)
            log_q_there = torch.log_softmax(-0.5 * beta[:, None] * cost_there, -1)
            back_and_forth = (log_q_there.gather(-1, site) - log_q.gather(-1, site)).squeeze(-1)
            moves = uniforms(beta.shape, chains.rng) < (back_and_forth - beta * (energy_there - energy)).exp()
            x = torch.where(moves[:, None], there, x)
            energy = torch.where(moves, energy_there, energy)
            log_q = torch.where(moves[:, None], log_q_there, log_q)
            accepted += moves
        chains.x = x.reshape(*chains.batch, -1)
        return {"acceptance": (accepted / self.proposals).reshape(chains.batch)}
