"""What a configuration contributes to a transfer-matrix sum: a number, or a polynomial that remembers more."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

Elements = npt.NDArray[Any]


class Weight(ABC):
    """A commutative algebra in which a configuration's weight is x^excess y^up, and partial sums are added up.

    excess: the energy above all bonds and fields satisfied, a sum of non-negative terms; up: the number of up spins.
    Arrays of elements have shape (*outer, *element, batch), with `element` what `one` has.
    """

    dtype: type = np.float64

    @abstractmethod
    def one(self) -> Elements:
        """The weight of nothing."""

    @abstractmethod
    def add(self, out: Elements, psi: Elements, excess: float, up: int) -> None:
        """out += psi x^excess y^up, in place."""

    def extend(self, psi: Elements, spins: int, excess: float) -> Elements:
        """Make room for that many more spins and that much more excess."""
        return psi

    def rescale(self, psi: Elements) -> tuple[Elements, float]:
        """Divide by the largest entry; also its logarithm."""
        top = float(psi.max())
        return (psi / top, math.log(top)) if top > 0 else (psi, 0.0)


class EnergyMoments(Weight):
    """Boltzmann weights times excess^k, k = 0, 1, 2; element (3,)."""

    def __init__(self, beta: float) -> None:
        self.beta = beta

    def one(self) -> Elements:
        return np.array([1.0, 0.0, 0.0])

    def add(self, out: Elements, psi: Elements, excess: float, up: int) -> None:
        zeroth, first, second = (psi[..., k, :] * math.exp(-self.beta * excess) for k in range(3))
        out[..., 0, :] += zeroth
        out[..., 1, :] += first + excess * zeroth
        out[..., 2, :] += second + (2 * excess) * first + excess**2 * zeroth


class UpSpins(Weight):
    """Boltzmann weights sorted by the number of up spins; element (spins + 1,)."""

    def __init__(self, beta: float) -> None:
        self.beta = beta

    def one(self) -> Elements:
        return np.ones(1)

    def extend(self, psi: Elements, spins: int, excess: float) -> Elements:
        return _pad(psi, (spins,))

    def add(self, out: Elements, psi: Elements, excess: float, up: int) -> None:
        out[..., up:, :] += psi[..., : psi.shape[-2] - up, :] * math.exp(-self.beta * excess)


class LevelCounts(Weight):
    """Exact numbers of states sorted by excess and up spins; element (excess / 2 + 1, spins + 1), couplings integer."""

    dtype = np.uint64

    def one(self) -> Elements:
        return np.ones((1, 1), dtype=np.uint64)

    def extend(self, psi: Elements, spins: int, excess: float) -> Elements:
        return _pad(psi, (round(excess / 2), spins))

    def add(self, out: Elements, psi: Elements, excess: float, up: int) -> None:
        step = round(excess / 2)
        out[..., step:, up:, :] += psi[..., : psi.shape[-3] - step, : psi.shape[-2] - up, :]

    def rescale(self, psi: Elements) -> tuple[Elements, float]:
        return psi, 0.0


def _pad(psi: Elements, extra: tuple[int, ...]) -> Elements:
    first = psi.ndim - 1 - len(extra)
    element = tuple(n + e for n, e in zip(psi.shape[first:-1], extra, strict=True))
    out = np.zeros((*psi.shape[:first], *element, psi.shape[-1]), dtype=psi.dtype)
    inside: tuple[Any, ...] = (..., *(slice(n) for n in psi.shape[first:]))
    out[inside] = psi
    return out
