"""log Z where it can be had exactly: a sum over the smaller side, or a closed form."""

from __future__ import annotations

from copy import deepcopy

import torch

from ebmphys.energies import DeepBoltzmannMachine, EnergyModel, TwoLayers, exchanged
from ebmphys.exact.enumeration import MOST_SITES, states
from ebmphys.exact.enumeration import log_partition as visible_sum
from ebmphys.exact.known import exact_source, exact_values
from ebmphys.likelihood.products import visible_law

_SUMMED_AT_ONCE = 16  # up to here the sum takes milliseconds and a closed form is not looked for


def log_partition(model: EnergyModel, beta: float = 1.0) -> float:
    """log Z = log sum_x exp(-beta E(x)), exactly, in nats and in float64.

    The units of one side are summed in closed form and the configurations of the other one by one: of an RBM the
    side with fewer units (visible or hidden, two-valued, up to 24), so that Gaussian visible units work too.
    Deep machines: over the states of one hidden layer after the other, whatever the visible units are.
    Larger Ising models: by transfer matrix or Kaufman's closed form where ``exact_values`` knows one.
    Raises ValueError for what is no energy, where no exact way is left (``ais`` estimates), or beta is negative or not
    finite.
    """
    if not isinstance(model, EnergyModel):
        raise ValueError(f"log Z is that of an energy: a {type(model).__name__} has none, or a law that is normalised")
    if isinstance(model, DeepBoltzmannMachine) and not model.sums_out_hidden:
        return _layer_by_layer(model, beta)
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
    """The model, and for a machine of two layers also the same one with visible and hidden exchanged."""
    return [model, exchanged(model)] if isinstance(model, TwoLayers) else [model]


@torch.no_grad()
def _layer_by_layer(machine: DeepBoltzmannMachine, beta: float) -> float:
    """log Z of the hidden layers alone, and their average of what summing the visible layer out leaves."""
    exact = deepcopy(machine).double()
    hidden, unit = exact.hidden_machine(), exact.layer_units[0]
    first = states(exact.layer_units[1].values, exact.sizes[1], dtype=torch.float64, device=exact.device)
    x = torch.cat([first.new_zeros(len(first), exact.n_visible), first], -1)
    x = torch.cat([x, x.new_zeros(len(x), exact.n_sites - x.shape[-1])], -1)
    leftover = unit.log_partition(beta * exact.conditional(x, "visible")).sum(-1)
    return log_partition(hidden, beta) + float(torch.logsumexp(visible_law(hidden, beta) + leftover, 0))
