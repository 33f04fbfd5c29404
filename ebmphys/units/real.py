"""Real units with energy x^2 / (2 sigma^2): Gaussian ones, and those cut off at zero."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.special import erfcx, log_ndtr, ndtr, ndtri

_HALF_STEP = 2.0**-25  # of the uniforms' grid
_TAIL = -4.0  # below, the normal law's own quantile would cancel
_NEWTON_STEPS = 2  # relative errors 0.06, 2e-4, then below 1e-7


@dataclass(frozen=True)
class Quadratic(ABC):
    """A real unit with energy x^2 / (2 sigma^2): eta = (h, 1/sigma^2).

    Where every site has a precision of its own, 1/sigma^2 as a tensor, it takes the place of the unit's.
    Raises ValueError for a sigma that is not positive.
    """

    sigma: float = 1.0
    values: ClassVar[tuple[float, ...]] = ()
    n_statistics: ClassVar[int] = 1
    n_parameters: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if not (self.sigma > 0 and math.isfinite(self.sigma)):
            raise ValueError(f"sigma must be a positive number, got {self.sigma}")

    def statistics(self, x: Tensor) -> Tensor:
        return x

    def natural(self, field: Tensor, precision: Tensor | None = None) -> Tensor:
        own = torch.full_like(field, self.sigma**-2) if precision is None else precision.expand_as(field)
        return torch.stack([field, own], dim=-1)

    def energy(self, x: Tensor, precision: Tensor | None = None) -> Tensor:
        return x**2 / 2 * (self.sigma**-2 if precision is None else precision)

    @abstractmethod
    def draw(self, eta: Tensor, u: Tensor) -> Tensor: ...

    @abstractmethod
    def mean(self, eta: Tensor) -> Tensor: ...

    @abstractmethod
    def log_partition(self, eta: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Gaussian(Quadratic):
    """A real unit with energy x^2 / (2 sigma^2): eta = (h, 1/sigma^2), x ~ N(sigma^2 h, sigma^2 / beta).

    Drawn by inverting the normal distribution on the uniform's grid of 2^-24, so |x - mean| stays below 5.4
    standard deviations (a probability of 6e-8 is cut off).
    """

    name: ClassVar[str] = "gaussian"

    def draw(self, eta: Tensor, u: Tensor) -> Tensor:
        field, precision = eta.unbind(-1)
        # In float64, where half a grid step off both ends of [0, 1) is exact and the quantile stays finite.
        quantile = ndtri(u.double() + _HALF_STEP).to(eta.dtype)
        return field / precision + quantile * precision.rsqrt()

    def mean(self, eta: Tensor) -> Tensor:
        field, precision = eta.unbind(-1)
        return field / precision

    def log_partition(self, eta: Tensor) -> Tensor:
        field, precision = eta.unbind(-1)
        return field**2 / (2 * precision) + 0.5 * torch.log(2 * math.pi / precision)


@dataclass(frozen=True)
class ReLU(Quadratic):
    """A real unit x >= 0 with energy x^2 / (2 sigma^2): eta = (h, 1/sigma^2), a normal law cut off at zero.

    log_partition = z^2/2 + log Phi(z) + log(2 pi sigma^2 / beta)/2 with z = h sigma sqrt(beta), so that strong fields
    make it linear in h and negative ones silence it. Computed in float64, because the terms cancel where z is
    negative. Drawn by inversion on the uniform's grid of 2^-24 (3e-8 of the tail is cut off).
    Source: Nair and Hinton (2010) for the idea, Robert (1995) for the truncated law.
    """

    name: ClassVar[str] = "relu"

    def draw(self, eta: Tensor, u: Tensor) -> Tensor:
        z, scale = _standard(eta)
        below = u.double() + _HALF_STEP
        central = z - ndtri((1 - below) * ndtr(z.clamp(min=_TAIL)))
        tail = _tail_quantile(-z.clamp(max=_TAIL), -torch.log1p(-below))
        x = torch.where(z > _TAIL, central, tail)
        return (x.clamp(min=0) * scale).to(eta.dtype)

    def mean(self, eta: Tensor) -> Tensor:
        z, scale = _standard(eta)
        return ((z + math.sqrt(2 / math.pi) / erfcx(-z / math.sqrt(2))) * scale).to(eta.dtype)

    def log_partition(self, eta: Tensor) -> Tensor:
        z, scale = _standard(eta)
        return (z**2 / 2 + log_ndtr(z) + scale.log() + math.log(2 * math.pi) / 2).to(eta.dtype)


def _standard(eta: Tensor) -> tuple[Tensor, Tensor]:
    """The field in standard deviations, and the standard deviation, in float64."""
    field, precision = eta.double().unbind(-1)
    scale = precision.rsqrt()
    return field * scale, scale


def _tail_quantile(a: Tensor, hazard: Tensor) -> Tensor:
    """w >= 0 with -log P(W > w) = hazard for W normal about -a, cut off at zero, a >= 4.

    log P(W > w) = log erfcx((a + w)/sqrt 2) - log erfcx(a/sqrt 2) - w^2/2 - a w is concave, and without its first two
    terms, which are small, has the root that Newton's method starts from: it falls to the quantile from above.
    """
    w = 2 * hazard / ((a**2 + 2 * hazard).sqrt() + a)
    start = erfcx(a / math.sqrt(2)).log()
    for _ in range(_NEWTON_STEPS):
        ratio = erfcx((a + w) / math.sqrt(2))
        excess = start - ratio.log() + w**2 / 2 + a * w - hazard
        w = w - excess * ratio * math.sqrt(math.pi / 2)
    return w
