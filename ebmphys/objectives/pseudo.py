"""Pseudo-likelihood: each site given all others, which needs neither log Z nor chains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, logsigmoid

from ebmphys.energies import EnergyModel
from ebmphys.objectives.base import at_least_one, set_rng
from ebmphys.units import Unit


class PseudoLikelihood:
    """Minus sum_i log p(x_i | rest), in nats per configuration, averaged over the batch (Besag 1975).

    Consistent, though less precise than the likelihood, and exact without a chain. Through the conditionals where every
    site is visible. Where hidden units are summed out, through the free energies with one site changed,
    log p = -log sum over the values a of exp(F(v) - F(v, v_i = a)), n_visible of them a configuration; ``sites`` of
    them, drawn anew each batch with ``rng`` and counted n_visible / sites times, make that affordable and leave the
    mean over draws as it is. A prior weighs against this sum as against the likelihood (``Penalised``).
    (batch, n_visible) -> scalar. Raises ValueError for units without a finite number of values, for hidden units
    that cannot be summed out, and for ``sites`` without ``rng``.
    """

    def __init__(self, sites: int | None = None, rng: torch.Generator | None = None) -> None:
        if sites is not None:
            at_least_one("sites", sites)
            if rng is None:
                raise ValueError("a number of sites to draw needs a generator: give rng")
        self.sites, self.rng = sites, rng

    def __call__(self, model: nn.Module, v: Tensor) -> Tensor:
        if not isinstance(model, EnergyModel):
            raise ValueError(f"this objective is for energies, {type(model).__name__} is none: use ELBO for a VAE")
        if not all(model.units[name].values for name in model.visible_blocks):
            raise ValueError("pseudo-likelihood needs visible units with a finite number of values")
        if not model.sums_out_hidden:
            raise ValueError(f"hidden units of {type(model).__name__} cannot be summed out: use TwoPhase")
        if model.n_sites == model.n_visible:
            return -torch.cat([_given_the_rest(model, v, name) for name in model.blocks], -1).sum(-1).mean()
        found = self._by_changes(model, v)
        return -found.sum(0).mean() * (model.n_visible / len(found))

    def _by_changes(self, model: EnergyModel, v: Tensor) -> Tensor:
        """log p(v_i | the rest) of the chosen sites; -> (sites, batch)."""
        values = torch.tensor(model.visible_unit.values, dtype=v.dtype, device=v.device)
        sites = self._chosen(model.n_visible, v.device)
        now = torch.searchsorted(values, v.contiguous())
        energies = model.free_energy(v)
        gains = [torch.zeros(len(sites), len(v), dtype=v.dtype, device=v.device)]
        for shift in range(1, len(values)):
            changed = v.expand(len(sites), -1, -1).clone()
            other = values[(now + shift) % len(values)].T[sites]
            changed[torch.arange(len(sites), device=v.device), :, sites] = other
            gains.append(energies - model.free_energy(changed))
        return -torch.stack(gains).logsumexp(0)

    def _chosen(self, n: int, place: torch.device) -> Tensor:
        if self.sites is None or self.rng is None or self.sites >= n:
            return torch.arange(n, device=place)
        return torch.randperm(n, generator=self.rng, device=self.rng.device)[: self.sites].to(place)

    def state_dict(self) -> dict[str, Any]:
        return {} if self.rng is None else {"rng": self.rng.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if self.rng is not None:
            set_rng(self.rng, state["rng"])


def _given_the_rest(model: EnergyModel, x: Tensor, block: str) -> Tensor:
    """log p of each site of a block given all others; (batch, n_sites) -> (batch, |block|)."""
    unit: Unit = model.units[block]
    eta, sites = model.conditional(x, block), x[:, model.blocks[block]]
    if len(unit.values) == 2:
        return logsigmoid(torch.where(sites == unit.values[1], eta, -eta))
    values = torch.tensor(unit.values, dtype=x.dtype, device=x.device)
    return log_softmax(eta, -1).gather(-1, torch.searchsorted(values, sites.contiguous())[..., None])[..., 0]
