"""The global flip: a move between the two signs of an ordered phase, which local steps do not cross."""

from __future__ import annotations

import torch

from ebmphys.energies import EnergyModel, Ising
from ebmphys.rng import uniforms
from ebmphys.samplers.base import Chains
from ebmphys.samplers.gibbs import BlockGibbs
from ebmphys.samplers.multispin import BitChains


def can_flip(model: EnergyModel) -> bool:
    """Whether ``offer_flips`` is right: for even models, and two-valued visible units with hidden ones summed out."""
    return model.even or (len(model.visible_unit.values) == 2 and model.sums_out_hidden)


@torch.no_grad()
def offer_flips(model: EnergyModel, chains: Chains) -> None:
    """Offer every chain its visible sites turned over, accepted with min(1, exp(beta F(v) - beta F(-v))) / 2.

    A Metropolis move on p(v), right for every model whether or not it has the symmetry; the half keeps chains
    of a symmetric model from turning over at every offer, in step. Hidden units are then drawn anew from their
    conditional, so the joint law is kept whatever step follows. Where the model is even by construction hidden sites
    are turned over with the visible ones, which costs nothing. Only for models that ``can_flip``.
    """
    if isinstance(chains, BitChains):
        _offer_packed(chains)
        return
    if model.even:
        chains.x.mul_(torch.where(uniforms(chains.batch, chains.rng) < 0.5, -1.0, 1.0)[..., None])
        return
    v = chains.x[..., : model.n_visible]
    turned = sum(model.visible_unit.values) - v
    if isinstance(model, Ising):  # the bonds keep their energy, so two sums over all of them are saved
        gain = -2 * chains.beta * (v @ model.fields)
    else:
        now, then = (-chains.beta * model.free_energy(torch.stack([v, turned]), chains.beta)).unbind(0)
        gain = then - now
    accepted = uniforms(chains.batch, chains.rng) < torch.exp(gain).clamp_(max=1) / 2
    chains.x[..., : model.n_visible] = torch.where(accepted[..., None], turned, v)
    if model.hidden_blocks:
        BlockGibbs(model, clamp=model.visible_blocks).step(chains)


def _offer_packed(chains: BitChains) -> None:
    """The same without unpacking: in a field h on every site E(-x) - E(x) = 2 h M, M the sum of all spins."""
    n_sites = chains.model.n_sites
    cost = 2 * float(chains.model.fields[0]) * n_sites * chains.magnetization(n_sites)
    u = torch.rand(chains.batch, generator=chains.rng, dtype=torch.float64, device=chains.rng.device)
    chains.turn_over(u < torch.exp(-chains.beta * cost).clamp_(max=1) / 2)
