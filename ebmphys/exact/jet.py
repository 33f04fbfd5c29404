"""Functions of one variable carried together with their first and second derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Jet:
    """A function's value, slope and curvature at one point: (f, f', f'').

    Arithmetic applies the product and chain rules to second order, so a formula written once gives exact
    derivatives to rounding. The members are arrays of one shape (or scalars), elementwise.
    """

    value: Array
    slope: Array
    curvature: Array

    @staticmethod
    def variable(point: float) -> Jet:
        """The identity x -> x at `point`."""
        return Jet(np.float64(point), np.float64(1.0), np.float64(0.0))  # type: ignore[arg-type]

    @staticmethod
    def constant(value: npt.ArrayLike) -> Jet:
        """A constant: both derivatives vanish."""
        array = np.asarray(value, dtype=np.float64)
        return Jet(array, np.zeros_like(array), np.zeros_like(array))

    def chain(self, value: Any, slope: Any, curvature: Any) -> Jet:
        """The composition g(f), given g, g' and g'' at f."""
        return Jet(value, slope * self.slope, slope * self.curvature + curvature * self.slope**2)

    def __neg__(self) -> Jet:
        return Jet(-self.value, -self.slope, -self.curvature)

    def __add__(self, other: Jet | npt.ArrayLike) -> Jet:
        g = _lift(other)
        return Jet(self.value + g.value, self.slope + g.slope, self.curvature + g.curvature)

    def __sub__(self, other: Jet | npt.ArrayLike) -> Jet:
        return self + (-_lift(other))

    def __mul__(self, other: Jet | npt.ArrayLike) -> Jet:
        g = _lift(other)
        return Jet(
            self.value * g.value,
            self.slope * g.value + self.value * g.slope,
            self.curvature * g.value + 2 * self.slope * g.slope + self.value * g.curvature,
        )

    def __truediv__(self, other: Jet | npt.ArrayLike) -> Jet:
        return self * _lift(other) ** -1

    def __pow__(self, power: int) -> Jet:
        x = self.value
        # A vanishing coefficient must win over 0**negative: x**1 has no curvature, at x = 0 either.
        slope = power * x ** (power - 1) if power != 0 else 0 * x
        curvature = power * (power - 1) * x ** (power - 2) if power not in (0, 1) else 0 * x
        return self.chain(x**power, slope, curvature)

    def sqrt(self) -> Jet:
        """The square root of a positive function."""
        root = np.sqrt(self.value)
        return self.chain(root, 0.5 / root, -0.25 / (root * self.value))

    def exp(self) -> Jet:
        """The exponential."""
        e = np.exp(self.value)
        return self.chain(e, e, e)

    def log(self) -> Jet:
        """The natural logarithm of a positive function."""
        return self.chain(np.log(self.value), 1 / self.value, -1 / self.value**2)

    def log1p(self) -> Jet:
        """log(1 + f), exact for small f."""
        x = 1 + self.value
        return self.chain(np.log1p(self.value), 1 / x, -1 / x**2)

    def expm1(self) -> Jet:
        """exp(f) - 1, exact for small f."""
        e = np.exp(self.value)
        return self.chain(np.expm1(self.value), e, e)

    def sum(self) -> Jet:
        """The sum over all elements."""
        return Jet(self.value.sum(), self.slope.sum(), self.curvature.sum())


def _lift(x: Jet | npt.ArrayLike) -> Jet:
    return x if isinstance(x, Jet) else Jet.constant(x)
