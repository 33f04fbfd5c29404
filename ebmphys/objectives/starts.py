"""Chains that start at data, and chains as plain data for a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ebmphys.samplers import Chains, Sampler


def at_data(sampler: Sampler, v: Tensor, *batch: int, beta: Tensor | float = 1.0, rng: torch.Generator) -> Chains:
    """Chains with rows of v on the visible sites, in turn along the first axis of the batch; hidden sites at random."""
    chains = sampler.init(*batch, beta=beta, rng=rng)
    rows = v[torch.arange(batch[0], device=v.device) % len(v)]
    x = chains.x
    x[..., : v.shape[-1]] = rows.reshape(batch[0], *(1,) * (len(batch) - 1), v.shape[-1])
    chains.x = x  # packed chains give out a copy
    return chains


def stored(chains: Chains | None) -> dict[str, Tensor]:
    """The chains as tensors, their generator apart; empty for None."""
    return {} if chains is None else {"x": chains.x.clone(), "beta": chains.beta.clone()}


def revived(state: Mapping[str, Any], n_chains: int, rng: torch.Generator) -> Chains | None:
    """What ``stored`` made, on the generator's device.

    Raises ValueError where the number of chains is another.
    """
    if not state:
        return None
    if len(state["x"]) != n_chains:
        raise ValueError(f"{len(state['x'])} chains are stored, the negative phase has n_chains = {n_chains}")
    x, beta = (state[name].to(rng.device, copy=True) for name in ("x", "beta"))
    return Chains(x, beta, rng)


def kept_draws(state: Mapping[str, Any]) -> Tensor | None:
    """The model's own chains in what a negative phase stored, at beta = 1 of a ladder; (n_chains, n_sites) or None."""
    x = state["x"][-1] if state.get("x") else state.get("chains", {}).get("x")
    if x is None:
        return None
    kept: Tensor = x if x.ndim == 2 else x[:, -1]
    return kept
