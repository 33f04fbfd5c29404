"""The negative phase without noise: every configuration of a small machine, weighted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.exact.enumeration import MOST_SITES, log_weights, states
from ebmphys.objectives.base import Draws


class Exact:
    """Every configuration with its probability, so that ``TwoPhase`` has the gradient of the exact likelihood.

    Visible configurations where hidden units are summed out, of all sites where not; two-valued units, up to 24 sites,
    2^n energies an update (Ackley, Hinton and Sejnowski 1985). Raises ValueError for machines that are not enumerable.
    """

    warning = ""

    @torch.no_grad()
    def draw(self, model: EnergyModel, v: Tensor) -> Draws:
        if model.sums_out_hidden:
            law = log_weights(model).softmax(0)
            return Draws(states(model.visible_unit.values, model.n_visible, dtype=v.dtype, device=v.device), law)
        x = _all_sites(model, v)
        return Draws(x, (-model.energy(x).double()).softmax(0))

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


def _all_sites(model: EnergyModel, v: Tensor) -> Tensor:
    """Every configuration of visible and hidden sites, whose units may differ; -> (2^n_sites, n_sites)."""
    if model.n_sites > MOST_SITES:
        raise ValueError(f"enumeration takes up to {MOST_SITES} sites, this machine has {model.n_sites}")
    x = states((0.0, 1.0), model.n_sites, dtype=v.dtype, device=v.device)
    for name, sites in model.blocks.items():
        values = model.units[name].values
        if len(values) != 2:
            raise ValueError(f"enumeration needs two-valued units, block {name} has {len(values)} values")
        x[:, sites] = x[:, sites] * (values[1] - values[0]) + values[0]
    return x
