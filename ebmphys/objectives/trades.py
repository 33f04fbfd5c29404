"""What passes between the chains of two machines on the same sites: trades, and draws made into the other's."""

from __future__ import annotations

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.rng import uniforms
from ebmphys.samplers import BlockGibbs, Chains


@torch.no_grad()
def trade(one: EnergyModel, other: EnergyModel, at_one: Chains, at_other: Chains) -> Tensor:
    """Offer the chains of two machines each other's configurations, pair by pair; -> mean acceptance, a scalar.

    Keeps the product of both laws. Raises ValueError where an energy is not a number.
    """
    x, y = at_one.x, at_other.x
    chance = trade_chance(one, other, x, y)
    accepted = (uniforms(at_one.batch, at_one.rng) < chance)[:, None]
    at_one.x, at_other.x = torch.where(accepted, y, x), torch.where(accepted, x, y)
    if one.sums_out_hidden:
        for model, chains in ((one, at_one), (other, at_other)):
            BlockGibbs(model, clamp=model.visible_blocks).step(chains)
    return chance.mean()


def trade_chance(one: EnergyModel, other: EnergyModel, x: Tensor, y: Tensor) -> Tensor:
    """min(1, exp(F_one(x) + F_other(y) - F_one(y) - F_other(x))), float64; (n, n_sites) twice -> (n,)."""
    own, theirs = costs(one, other, x, y)
    log_ratio = own[0] + theirs[1] - own[1] - theirs[0]
    if bool(log_ratio.isnan().any()):
        raise ValueError("an energy is not a number or infinite: check the model's parameters")
    return log_ratio.exp().clamp(max=1)


def costs(one: EnergyModel, other: EnergyModel, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """(F_one, F_other) at x and at y, energies of all sites where hidden ones are not summed out; (2, n) each."""
    both = torch.cat([x, y])
    found = [
        model.free_energy(both[:, : model.n_visible]) if model.sums_out_hidden else model.energy(both)
        for model in (one, other)
    ]
    at_x, at_y = torch.stack(found).double().split([len(x), len(y)], dim=1)
    return at_x, at_y


def resampled(one: EnergyModel, other: EnergyModel, at_one: Chains) -> Chains:
    """As many chains of ``other``: those of ``one`` by their importance weights, hidden units drawn anew."""
    at_both, _ = costs(one, other, at_one.x, at_one.x)
    weights = torch.softmax(at_both[0] - at_both[1], 0)
    chosen = torch.multinomial(weights, len(at_one.x), replacement=True, generator=at_one.rng)
    chains = Chains(at_one.x[chosen], at_one.beta.clone(), at_one.rng)
    if other.sums_out_hidden:
        BlockGibbs(other, clamp=other.visible_blocks).step(chains)
    return chains
