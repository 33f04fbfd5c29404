"""What a site may be: an exponential family each, with how it is drawn and what summing it out leaves.

A unit in a local field h carries the energy -h x plus its own free energy term ``energy(x)``. ``natural(h)``
turns the field into natural parameters eta at beta = 1; at inverse temperature beta they are beta * eta, all
of them, so a sampler multiplies and draws and never needs to know what the unit is. For two-valued units eta is the
log-odds of the upper value: 2h for +-1 spins, h for 0/1 units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor
from torch.nn.functional import softplus


class Unit(Protocol):
    """One kind of site; n_parameters > 1 means that eta has a trailing axis of that length."""

    name: ClassVar[str]
    values: ClassVar[tuple[float, ...]]  # the states in ascending order; empty for a continuous unit
    n_parameters: ClassVar[int]

    def natural(self, field: Tensor) -> Tensor:
        """Natural parameters at beta = 1 in a local field; (*shape) -> (*shape[, n_parameters])."""
        ...

    def draw(self, eta: Tensor, u: Tensor) -> Tensor:
        """A value for each uniform u in [0, 1); (*shape[, n_parameters]), (*shape) -> (*shape)."""
        ...

    def mean(self, eta: Tensor) -> Tensor:
        """E[x | eta]; (*shape[, n_parameters]) -> (*shape)."""
        ...

    def log_partition(self, eta: Tensor) -> Tensor:
        """log of the sum (integral) over x of exp(-beta (energy(x) - h x)); (*shape[, n_parameters]) -> (*shape)."""
        ...

    def energy(self, x: Tensor) -> Tensor:
        """The energy of a free unit, before any field; (*shape) -> (*shape)."""
        ...


@dataclass(frozen=True)
class Spin:
    """An Ising spin, x in {-1, +1}: eta = 2h, P(x = +1) = 1 / (1 + exp(-eta))."""

    name: ClassVar[str] = "spin"
    values: ClassVar[tuple[float, ...]] = (-1.0, 1.0)
    n_parameters: ClassVar[int] = 1

    def natural(self, field: Tensor) -> Tensor:
        return 2 * field

    def draw(self, eta: Tensor, u: Tensor) -> Tensor:
        return (u < torch.sigmoid(eta)).to(eta.dtype).mul_(2).sub_(1)

    def mean(self, eta: Tensor) -> Tensor:
        return torch.tanh(eta / 2)

    def log_partition(self, eta: Tensor) -> Tensor:
        return softplus(eta) - eta / 2  # log 2 cosh h, which cosh itself would overflow

    def energy(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


@dataclass(frozen=True)
class Bit:
    """A two-valued unit, x in {0, 1}: eta = h, P(x = 1) = 1 / (1 + exp(-eta))."""

    name: ClassVar[str] = "bit"
    values: ClassVar[tuple[float, ...]] = (0.0, 1.0)
    n_parameters: ClassVar[int] = 1

    def natural(self, field: Tensor) -> Tensor:
        return field

    def draw(self, eta: Tensor, u: Tensor) -> Tensor:
        return (u < torch.sigmoid(eta)).to(eta.dtype)

    def mean(self, eta: Tensor) -> Tensor:
        return torch.sigmoid(eta)

    def log_partition(self, eta: Tensor) -> Tensor:
        return softplus(eta)

    def energy(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


@dataclass(frozen=True)
class Gaussian:
    """A real unit with energy x^2 / (2 sigma^2): eta = (h, 1/sigma^2), x ~ N(sigma^2 h, sigma^2 / beta).

    Drawn by inverting the normal distribution on the uniform's grid of 2^-24, so |x - mean| stays below 5.4
    standard deviations (a probability of 6e-8 is cut off).
    """

    sigma: float = 1.0
    name: ClassVar[str] = "gaussian"
    values: ClassVar[tuple[float, ...]] = ()
    n_parameters: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if not (self.sigma > 0 and math.isfinite(self.sigma)):
            raise ValueError(f"sigma must be a positive number, got {self.sigma}")

    def natural(self, field: Tensor) -> Tensor:
        return torch.stack([field, torch.full_like(field, self.sigma**-2)], dim=-1)

    def draw(self, eta: Tensor, u: Tensor) -> Tensor:
        field, precision = eta.unbind(-1)
        # In float64, where half a grid step off both ends of [0, 1) is exact and the quantile stays finite.
        quantile = torch.special.ndtri(u.double() + 2.0**-25).to(eta.dtype)
        return field / precision + quantile * precision.rsqrt()

    def mean(self, eta: Tensor) -> Tensor:
        field, precision = eta.unbind(-1)
        return field / precision

    def log_partition(self, eta: Tensor) -> Tensor:
        field, precision = eta.unbind(-1)
        return field**2 / (2 * precision) + 0.5 * torch.log(2 * math.pi / precision)

    def energy(self, x: Tensor) -> Tensor:
        return x**2 / (2 * self.sigma**2)


def unit_config(unit: Unit) -> dict[str, object]:
    """The unit as plain data, from which ``build_unit`` makes it again."""
    return {"unit": unit.name} | ({"sigma": unit.sigma} if isinstance(unit, Gaussian) else {})


def build_unit(config: dict[str, object] | str) -> Unit:
    """The unit that a configuration or a name describes: ``"spin"``, ``"bit"``, ``"gaussian"``.

    Raises ValueError for a name it does not know.
    """
    options = {"unit": config} if isinstance(config, str) else dict(config)
    name = options.pop("unit", None)
    kinds = {kind.name: kind for kind in (Spin, Bit, Gaussian)}
    if name not in kinds:
        raise ValueError(f"unit must be one of {', '.join(kinds)}, got {name!r}")
    return kinds[name](**options)
