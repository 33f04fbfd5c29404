"""Pretraining of deep Boltzmann machines layer by layer, with copies of a layer in place of the one not there yet."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch

from ebmphys.energies.boltzmann import BoltzmannMachine
from ebmphys.energies.deep import DeepBoltzmannMachine
from ebmphys.lattice import Graph
from ebmphys.units import Unit


def pretraining_machine(
    sizes: Sequence[int],
    layer: int,
    unit: Unit | None = None,
    *,
    biases: bool = True,
    rng: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> BoltzmannMachine:
    """The machine of layers ``layer`` and ``layer + 1`` of a deep machine of these sizes, from the visible one up.

    In the deep machine a middle layer is driven from both sides, so a pair trained alone would learn weights twice too
    large. Here such a layer's units are driven by two copies of the other layer that share weights and biases, which
    doubles what arrives at the ends: the visible layer is there twice for layer 1, the last hidden layer twice for the
    one below it, and in between both are (Salakhutdinov and Hinton 2009). Data are repeated along the last axis,
    ``v.repeat(1, machine.n_visible // sizes[layer])``. Raises ValueError for a layer that has none above it.
    """
    if not 0 <= layer < len(sizes) - 1:
        raise ValueError(f"layer must be 0 to {len(sizes) - 2}, with one above it, got {layer}")
    below, above = sizes[layer], sizes[layer + 1]
    copies = (2 if layer + 2 < len(sizes) else 1, 2 if layer > 0 else 1)
    i, j = np.divmod(np.arange(copies[0] * below * copies[1] * above), copies[1] * above)
    graph = Graph(copies[0] * below + copies[1] * above, np.stack([i, copies[0] * below + j], axis=-1))
    sites = np.concatenate([np.tile(np.arange(below), copies[0]), np.tile(below + np.arange(above), copies[1])])
    pairs = i % below * above + j % above
    return BoltzmannMachine(
        graph, copies[1] * above, unit, pairs, site_classes=sites, biases=biases, rng=rng, device=device
    )


def stacked(sizes: Sequence[int], machines: Sequence[BoltzmannMachine]) -> DeepBoltzmannMachine:
    """The deep machine of pretrained pairs: their weights, and the mean bias where two pairs share a layer.

    The field on a middle layer is then the mean of the fields in the two pairs that it was trained in.
    Raises ValueError where the machines are not those of ``pretraining_machine``, one for each pair of layers.
    """
    pairs = list(pairwise(sizes))
    fits = len(machines) == len(pairs) and all(
        machine.weights.shape == (below * above,) and machine.bias.shape == (below + above,)
        for machine, (below, above) in zip(machines, pairs, strict=True)
    )
    if not fits:
        raise ValueError(f"layers of {list(sizes)} sites need one pretraining_machine for each pair of neighbours")
    first = machines[0]
    deep = DeepBoltzmannMachine(sizes[0], sizes[1:], first.unit, biases=first.biases, device=first.device)
    with torch.no_grad():
        for k, (machine, (below, above)) in enumerate(zip(machines, pairs, strict=True)):
            deep.weights[k].copy_(machine.weights.reshape(below, above))
            deep.bias[k].add_(machine.bias[:below], alpha=0.5 if k > 0 else 1.0)
            deep.bias[k + 1].add_(machine.bias[below:], alpha=0.5 if k + 1 < len(pairs) else 1.0)
    return deep
