"""Laws that are mixtures of independent sites, over every visible configuration, by one matrix product."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial

import torch
from torch import Tensor

from ebmphys.energies import DeepBoltzmannMachine, EnergyModel
from ebmphys.exact.enumeration import log_weights, states
from ebmphys.generators import DeepBeliefNet, TractableModel

_CHUNK = 2**23  # numbers in one table
_ROWS = 2**12  # at a time through a network

Natural = Callable[[Tensor], Tensor]


def mixture_of_products(natural: Natural, nodes: Tensor, log_weight: Tensor) -> Tensor:
    """log sum_z w_z prod_i p(v_i | z) of every configuration v of two-valued sites, order of ``states``.

    natural(nodes) -> (n_nodes, n), the log-odds of the upper value of each site at beta = 1. With P(a | z) and P(b | z)
    of the two halves of the sites it is one matrix product, sum_z w_z P(a | z) P(b | z).
    (n_nodes, *), (n_nodes,) -> (2^n,)
    """
    n = natural(nodes[:1]).shape[-1]
    first, largest = n // 2, log_weight.max()
    law = log_weight.new_zeros(())
    at_once = max(1, _CHUNK // 2 ** (n - first))
    for some, weight in zip(nodes.split(at_once), (log_weight - largest).exp().split(at_once), strict=True):
        a, b = (_products(half) for half in natural(some).tensor_split([first], dim=-1))
        law = law + (a.T * weight) @ b
    return law.log().flatten() + largest


def _products(eta: Tensor) -> Tensor:
    """P of every configuration of independent two-valued sites, site 0 slowest; (nodes, n) -> (nodes, 2^n)."""
    law = eta.new_ones(len(eta), 1)
    for site in eta.unbind(-1):
        odds = torch.stack([torch.sigmoid(-site), torch.sigmoid(site)], dim=-1)
        law = (law[:, :, None] * odds[:, None, :]).flatten(1)
    return law


@torch.no_grad()
def visible_law(model: EnergyModel | DeepBeliefNet | TractableModel, beta: float = 1.0) -> Tensor:
    """log p(v) of every visible configuration, in float64; -> (2^n_visible,), order of ``states``.

    Energies through their free energy, normalised; tractable models through their ``log_prob``, as it is; deep machines
    and belief nets layer by layer from the top, each layer's law a mixture of products over the states of the layer
    above, which takes up to about 16 two-valued units a layer however many layers there are.
    Raises ValueError for units that are not two-valued, for a layer above 24 sites, and for a model without a
    temperature at another beta than 1.
    """
    exact = deepcopy(model).double()
    if isinstance(exact, DeepBeliefNet | TractableModel):
        if beta != 1:
            raise ValueError(f"a {type(model).__name__} has no temperature: beta must be 1")
        return _belief_law(exact) if isinstance(exact, DeepBeliefNet) else _tractable_law(exact)
    if isinstance(exact, DeepBoltzmannMachine) and not exact.sums_out_hidden:
        return _deep_law(exact, beta)
    return torch.log_softmax(log_weights(exact, beta), 0)


def _tractable_law(model: TractableModel) -> Tensor:
    every = states(model.visible_unit.values, model.n_visible, dtype=torch.float64, device=model.device)
    return torch.cat([model.log_prob(some) for some in every.split(_ROWS)])


def _deep_law(machine: DeepBoltzmannMachine, beta: float) -> Tensor:
    unit = machine.layer_units[0]
    states(unit.values, machine.n_visible, 0, 0)

    def natural(h: Tensor) -> Tensor:
        return beta * unit.natural(h @ machine.weights[0].T + machine.bias[0])

    nodes = states(machine.layer_units[1].values, machine.sizes[1], dtype=torch.float64, device=machine.device)
    log_weight = visible_law(machine.hidden_machine(), beta)
    # The layers above know nothing of the visible one: what summing it out leaves multiplies their law.
    log_weight = log_weight + unit.log_partition(natural(nodes)).sum(-1)
    return mixture_of_products(natural, nodes, torch.log_softmax(log_weight, 0))


def _belief_law(net: DeepBeliefNet) -> Tensor:
    states(net.visible.values, net.n_visible, 0, 0)
    law = visible_law(net.top)
    for layer in reversed(range(len(net.sizes) - 2)):
        nodes = states(net.hidden.values, net.sizes[layer + 1], dtype=torch.float64, device=net.device)
        law = mixture_of_products(partial(net.below, layer), nodes, law)
    return law
