"""log Z where it can be had exactly: a sum over the smaller side, or a closed form."""

from __future__ import annotations

import torch

from ebmphys.energies import RBM, EnergyModel
from ebmphys.exact.enumeration import MOST_SITES
from ebmphys.exact.enumeration import log_partition as visible_sum
from ebmphys.exact.known import exact_source, exact_values

_SUMMED_AT_ONCE = 16  # up to here the sum takes milliseconds and a closed form is not looked for


def log_partition(model: EnergyModel, beta: float = 1.0) -> float:
    """log Z = log sum_x exp(-beta E(x)), exactly, in nats and in float64.

    The units of one side are summed in closed form and the configurations of the other one by one: of an RBM the
    side with fewer units (visible or hidden, two-valued, up to 24), so that Gaussian visible units work too.
    Larger Ising models: by transfer matrix or Kaufman's closed form where ``exact_values`` knows one.
    Raises ValueError where no exact way is left (``ais`` estimates), or beta is negative or not finite.
    """
    ways = [side for side in _sides(model) if len(side.visible_unit.values) == 2 and side.n_visible <= MOST_SITES]
    smallest = min(ways, key=lambda side: side.n_visible, default=None)
    if smallest is not None and smallest.n_visible <= _SUMMED_AT_ONCE:
        return visible_sum(smallest, beta)
    if exact_source(model):
        return exact_values(model, beta)["log_partition"]
    if smallest is None:
        raise ValueError(
            f"log Z is not known exactly here: enumeration takes up to {MOST_SITES} two-valued units "
            f"on one side, and this model has {model.n_visible} visible sites of {model.n_sites}; estimate it by ais"
        )
    return visible_sum(smallest, beta)


def _sides(model: EnergyModel) -> list[EnergyModel]:
    """The model, and for an RBM also the same one with visible and hidden exchanged."""
    if not isinstance(model, RBM):
        return [model]
    turned = RBM(model.n_hidden, model.n_visible, model.hidden, model.visible, device=model.device)
    with torch.no_grad():
        turned.weights.copy_(model.weights.T)
        turned.visible_bias.copy_(model.hidden_bias)
        turned.hidden_bias.copy_(model.visible_bias)
    return [model, turned]
