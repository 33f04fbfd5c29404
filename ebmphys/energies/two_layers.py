"""Machines of one visible and one hidden layer with no bonds inside a layer, whatever the bonds between them are."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ebmphys.energies.base import EnergyModel
from ebmphys.units import Quadratic, Unit, mirrors


class Couplings(NamedTuple):
    """The numbers of E = -a.s - b.t - s.W t: weights (n_visible m, n_hidden m'), a (n_visible m), b (n_hidden m').

    s and t are the statistics of the layers, m and m' numbers a unit, those of one unit beside each other.
    """

    weights: Tensor
    visible_bias: Tensor
    hidden_bias: Tensor


class TwoLayers(EnergyModel):
    """E(v, h) = -a.s(v) - b.t(h) - s(v).W t(h) + sum of the units' own energies (Smolensky 1986, Hinton 2002).

    s and t are the units' statistics: x itself, or for Potts units the indicators of the states. A state is (v, h)
    in one vector, visible sites first. A subclass sets the layers and says what fields they exert on each other.
    ``visible_log_precision`` and ``hidden_log_precision`` are log 1/sigma^2 a site where it is learned, else None.
    """

    visible: Unit
    hidden: Unit
    n_hidden: int
    biases: bool
    visible_log_precision: Tensor | None
    hidden_log_precision: Tensor | None

    @abstractmethod
    def couplings(self) -> Couplings:
        """Weights and biases of every pair and site, written out."""

    @abstractmethod
    def visible_fields(self) -> Tensor:
        """a, one number for each statistic of each visible site; -> (n_visible m,)."""

    @abstractmethod
    def hidden_field(self, s: Tensor) -> Tensor:
        """b + s W; (*batch, n_visible m) -> (*batch, n_hidden m')."""

    @abstractmethod
    def visible_field(self, t: Tensor) -> Tensor:
        """a + W t; (*batch, n_hidden m') -> (*batch, n_visible m)."""

    @property
    def even(self) -> bool:
        return not self.biases and mirrors(self.visible) and mirrors(self.hidden)

    @property
    def blocks(self) -> Mapping[str, slice]:
        return {"hidden": slice(self.n_visible, self.n_sites), "visible": slice(0, self.n_visible)}

    @property
    def units(self) -> Mapping[str, Unit]:
        return {"hidden": self.hidden, "visible": self.visible}

    def energy(self, x: Tensor) -> Tensor:
        v, h = x[..., : self.n_visible], x[..., self.n_visible :]
        s, t = flat_statistics(self.visible, v), flat_statistics(self.hidden, h)
        hidden_alone = _own_energy(self.hidden, h, self.hidden_log_precision)
        return self._visible_alone(v, s) + hidden_alone - (self.hidden_field(s) * t).sum(-1)

    def conditional(self, x: Tensor, block: str) -> Tensor:
        if block == "hidden":
            return self._hidden_eta(flat_statistics(self.visible, x[..., : self.n_visible]))
        t = flat_statistics(self.hidden, x[..., self.n_visible :])
        return _natural(self.visible, self.visible_field(t), self.visible_log_precision)

    def free_energy(self, v: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """F_beta(v) = E_v(v) - (1/beta) sum_j A_j(beta eta_j(v)), A the hidden unit's log partition function."""
        s = flat_statistics(self.visible, v)
        eta = self._hidden_eta(s)
        heat = torch.as_tensor(beta, dtype=v.dtype, device=v.device)
        scaled = eta * heat.reshape(heat.shape + (1,) * (eta.ndim - v.ndim + 1))
        return self._visible_alone(v, s) - self.hidden.log_partition(scaled).sum(-1) / heat

    def _hidden_eta(self, s: Tensor) -> Tensor:
        return _natural(self.hidden, self.hidden_field(s), self.hidden_log_precision)

    def _visible_alone(self, v: Tensor, s: Tensor) -> Tensor:
        return _own_energy(self.visible, v, self.visible_log_precision) - s @ self.visible_fields()


def flat_statistics(unit: Unit, x: Tensor) -> Tensor:
    """The statistics of a layer in one vector, those of one unit side by side; (*batch, n) -> (*batch, n m)."""
    statistics = unit.statistics(x)
    return statistics if unit.n_statistics == 1 else statistics.flatten(-2)


def _natural(unit: Unit, field: Tensor, log_precision: Tensor | None) -> Tensor:
    if unit.n_statistics > 1:
        field = field.unflatten(-1, (-1, unit.n_statistics))
    if log_precision is not None and isinstance(unit, Quadratic):
        return unit.natural(field, log_precision.exp())
    return unit.natural(field)


def _own_energy(unit: Unit, x: Tensor, log_precision: Tensor | None) -> Tensor:
    if log_precision is not None and isinstance(unit, Quadratic):
        return unit.energy(x, log_precision.exp()).sum(-1)
    return unit.energy(x).sum(-1)
