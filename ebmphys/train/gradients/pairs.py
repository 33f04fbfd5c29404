"""Machines of pairs, E = - sum W s s' - sum b s + ...: how weights act as fields on a mean configuration."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Protocol

import torch
from torch import Tensor, nn

from ebmphys.energies import RBM, BoltzmannMachine, DeepBoltzmannMachine
from ebmphys.energies.two_layers import flat_statistics
from ebmphys.units import Unit

Layer = tuple[Unit, slice]


class Pairs(Protocol):
    """The weights and biases of a machine, and the linear map from weights to the fields that they make.

    Means are the units' statistics, one vector for all sites in their order. ``layers`` are stretches of sites with
    units of one kind.
    """

    layers: list[Layer]
    weights: list[Tensor]
    biases: list[Tensor]

    def fields(self, weights: list[Tensor], means: Tensor) -> list[Tensor]:
        """The fields of weights at the means, W m, in the shapes of the biases."""
        ...

    def pull(self, along: list[Tensor], means: Tensor) -> list[Tensor]:
        """The transpose of ``fields``: the gradient over the weights of sum along . W m."""
        ...

    def spans(self, half: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Half the span of both units of a weight, multiplied, and that of the unit of a bias."""
        ...


class Layered:
    """Layers in a row, each bound to the next."""

    def __init__(self, layers: list[Layer], weights: list[Tensor], biases: list[Tensor]) -> None:
        self.layers, self.weights, self.biases = layers, weights, biases

    def fields(self, weights: list[Tensor], means: Tensor) -> list[Tensor]:
        mean = self._split(means)
        total = [torch.zeros_like(layer) for layer in mean]
        for k, w in enumerate(weights):
            total[k].addmv_(w, mean[k + 1])
            total[k + 1].addmv_(w.T, mean[k])
        return total

    def pull(self, along: list[Tensor], means: Tensor) -> list[Tensor]:
        mean = self._split(means)
        pairs = range(len(self.weights))
        return [torch.outer(along[k], mean[k + 1]).addr_(mean[k], along[k + 1]) for k in pairs]

    def spans(self, half: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        layers = list(self._split(half))
        return [torch.outer(below, above) for below, above in pairwise(layers)], layers

    def _split(self, means: Tensor) -> tuple[Tensor, ...]:
        return means.split([len(bias) for bias in self.biases])


class Bonded:
    """Any graph of bonds between units of one kind, with weights and biases that may be shared inside classes."""

    def __init__(self, model: BoltzmannMachine) -> None:
        self.layers: list[Layer] = [(model.unit, slice(0, model.n_sites))]
        self.weights: list[Tensor] = [model.weights]
        self.biases: list[Tensor] = [model.bias]
        self.left, self.right = torch.from_numpy(model.graph.bonds).to(model.device).unbind(-1)
        self.bond_class, self.site_class = model.ties
        self.shared_by = torch.bincount(self.site_class).to(model.bias)

    def fields(self, weights: list[Tensor], means: Tensor) -> list[Tensor]:
        bond = weights[0][self.bond_class]
        site = torch.zeros_like(means).index_add_(0, self.left, bond * means[self.right])
        site.index_add_(0, self.right, bond * means[self.left])
        # A bias can only follow the mean over the sites that share it.
        return [torch.zeros_like(self.shared_by).index_add_(0, self.site_class, site) / self.shared_by]

    def pull(self, along: list[Tensor], means: Tensor) -> list[Tensor]:
        site = (along[0] / self.shared_by)[self.site_class]
        bond = site[self.left] * means[self.right] + site[self.right] * means[self.left]
        return [torch.zeros_like(self.weights[0]).index_add_(0, self.bond_class, bond)]

    def spans(self, half: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        one = half[0]  # all units of such a machine are alike
        return [torch.ones_like(self.weights[0]) * one**2], [torch.ones_like(self.biases[0]) * one]


def pairs_of(model: nn.Module) -> Pairs | None:
    """The pairs of an RBM, a Boltzmann machine or a deep one, all of whose weights and biases learn; None for others.

    Hidden Potts units are among the others.
    """
    pairs: Pairs
    if isinstance(model, RBM):
        row = _row((model.visible, model.hidden), (model.n_visible, model.n_hidden))
        pairs = Layered(row, [model.weights], [model.visible_bias, model.hidden_bias])
    elif isinstance(model, DeepBoltzmannMachine):
        pairs = Layered(_row(model.layer_units, model.sizes), [*model.weights], [*model.bias])
    elif isinstance(model, BoltzmannMachine):
        pairs = Bonded(model)
    else:
        return None
    one_each = all(unit.n_statistics == 1 for unit, sites in pairs.layers if sites.start >= model.n_visible)
    return pairs if one_each and all(p.requires_grad for p in (*pairs.weights, *pairs.biases)) else None


def statistics_of(pairs: Pairs, x: Tensor) -> Tensor:
    """The statistics of every site, in one vector; (*batch, n_sites) -> (*batch, n_statistics)."""
    return torch.cat([flat_statistics(unit, x[..., sites]) for unit, sites in pairs.layers], -1)


def half_spans(pairs: Pairs, like: Tensor) -> Tensor:
    """Half the distance of the values of each statistic: 1 for a spin, 1/2 for a bit, 1 where there are no two."""
    halves = []
    for unit, sites in pairs.layers:
        values = (0.0, 1.0) if unit.n_statistics > 1 else unit.values
        half = (values[-1] - values[0]) / 2 if len(values) == 2 else 1.0
        halves.append(like.new_full(((sites.stop - sites.start) * unit.n_statistics,), half))
    return torch.cat(halves)


def _row(units: tuple[Unit, ...], sizes: tuple[int, ...]) -> list[Layer]:
    ends = accumulate(sizes, initial=0)
    return [(unit, slice(*between)) for unit, between in zip(units, pairwise(ends), strict=True)]
