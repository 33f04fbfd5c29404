"""The global flip: a move between the two signs of an ordered phase, which local steps do not cross."""

from __future__ import annotations

import torch

from ebmphys.energies import EnergyModel
from ebmphys.rng import uniforms
from ebmphys.samplers.base import Chains


def can_flip(model: EnergyModel) -> bool:
    """Whether visible units are two-valued and a sweep begins by drawing all hidden units anew."""
    first = next(iter(model.blocks.values()))
    every = torch.arange(model.n_sites, device=model.device)
    fresh = model.n_sites == model.n_visible or torch.equal(every[first], every[model.n_visible :])
    return fresh and len(model.visible_unit.values) == 2


@torch.no_grad()
def offer_flips(model: EnergyModel, chains: Chains) -> None:
    """Offer every chain its visible sites turned over, accepted with min(1, exp(beta F(v) - beta F(-v))) / 2.

    A Metropolis move on p(v), right for every model whether or not it has the symmetry; the half keeps chains
    of a symmetric model from turning over at every offer, in step. The hidden sites are left as they are, so a step
    that draws them first has to follow: see ``can_flip``.
    """
    v = chains.x[..., : model.n_visible]
    turned = sum(model.visible_unit.values) - v
    now, then = (-chains.beta * model.free_energy(torch.stack([v, turned]), chains.beta)).unbind(0)
    accepted = uniforms(chains.batch, chains.rng) < torch.exp(then - now).clamp_(max=1) / 2
    chains.x[..., : model.n_visible] = torch.where(accepted[..., None], turned, v)
