"""What every unit promises: an exponential family of one site, with how it is drawn and what summing it out leaves."""

from __future__ import annotations

from typing import ClassVar, Protocol

from torch import Tensor


class Unit(Protocol):
    """One kind of site: energy(x) - h . statistics(x) in a local field h, natural parameters eta linear in h.

    Where ``n_statistics`` > 1 a field has a trailing axis of that length, where ``n_parameters`` > 1 eta has.
    """

    name: ClassVar[str]

    @property
    def values(self) -> tuple[float, ...]:
        """The states in ascending order; empty for a continuous unit."""
        ...

    @property
    def n_statistics(self) -> int:
        """How many numbers of a value a field acts on: x itself for most, one a state for Potts units."""
        ...

    @property
    def n_parameters(self) -> int:
        """How many natural parameters a site has."""
        ...

    def statistics(self, x: Tensor) -> Tensor:
        """What a field couples to; (*shape) -> (*shape[, n_statistics])."""
        ...

    def natural(self, field: Tensor) -> Tensor:
        """Natural parameters at beta = 1 in a local field; (*shape[, n_statistics]) -> (*shape[, n_parameters])."""
        ...

    def draw(self, eta: Tensor, u: Tensor) -> Tensor:
        """A value for each uniform u in [0, 1); (*shape[, n_parameters]), (*shape) -> (*shape)."""
        ...

    def mean(self, eta: Tensor) -> Tensor:
        """E[x | eta]; (*shape[, n_parameters]) -> (*shape)."""
        ...

    def log_partition(self, eta: Tensor) -> Tensor:
        """log of the sum (integral) over x of exp(-beta (energy(x) - h . statistics(x))).

        (*shape[, n_parameters]) -> (*shape)
        """
        ...

    def energy(self, x: Tensor) -> Tensor:
        """The energy of a free unit, before any field; (*shape) -> (*shape)."""
        ...


def no_field(unit: Unit, like: Tensor) -> Tensor:
    """Local fields of zero for as many units as ``like`` has numbers; (*shape) -> (*shape[, n_statistics])."""
    return like.new_zeros(like.shape if unit.n_statistics == 1 else (*like.shape, unit.n_statistics))
