"""The factorised approximation to hidden units given visible ones: the fixed point of their means."""

from __future__ import annotations

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.samplers.base import scaled


@torch.no_grad()
def mean_field(
    model: EnergyModel, v: Tensor, steps: int = 20, beta: Tensor | float = 1.0, damping: float = 0.0
) -> Tensor:
    """Means of the hidden units given visible ones, mu <- (1 - damping) E[x | mu elsewhere] + damping mu.

    Block after block, ``steps`` times, from the means of free units. Undamped, each such update raises the bound
    log p(v) >= <-beta E>_q + S(q) - log Z of the factorised q, so it converges. For two-valued units <E>_q = E(v, mu):
    the energy is linear in each of them; units with a square of their own in E add its variance. Exact where hidden
    units do not act on each other. (*batch, n_visible) -> (*batch, n_sites), v first.
    Raises ValueError for steps < 1, damping outside [0, 1), and hidden units whose statistics are not their values.
    """
    if steps < 1 or not 0 <= damping < 1:
        raise ValueError(f"mean field needs steps >= 1 and 0 <= damping < 1, got {steps} and {damping}")
    if any(model.units[name].n_statistics > 1 for name in model.hidden_blocks):
        raise ValueError("mean field is for hidden units with one mean each, not for Potts units")
    heat = torch.as_tensor(beta, dtype=v.dtype, device=v.device)
    x = torch.cat([v, v.new_zeros(*v.shape[:-1], model.n_sites - model.n_visible)], -1)
    for name in model.hidden_blocks:
        unit, sites = model.units[name], model.blocks[name]
        x[..., sites] = unit.mean(unit.natural(torch.zeros_like(x[..., sites])))
    for _ in range(steps):
        for name in model.hidden_blocks:
            sites = model.blocks[name]
            mean = model.units[name].mean(scaled(heat, model.conditional(x, name), v.shape[:-1]))
            x[..., sites] = mean.lerp(x[..., sites], damping)
    return x
