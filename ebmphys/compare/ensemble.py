"""An ensemble: configurations drawn at one temperature, as plain arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]


@dataclass(frozen=True)
class Ensemble:
    """Draws of one model at one temperature.

    energy_per_site, magnetization: (draw, chain), measured with the *reference's* Hamiltonian; x: configurations of
    +-1 in draw-major order, (draw * chain, n_sites), of all draws or of every k-th, or None where they were not kept;
    model: config of the reference's Hamiltonian, or None. Raises ValueError for shapes that do not fit, a
    temperature that is not positive, and numbers that are not finite.
    """

    name: str
    temperature: float
    n_sites: int
    energy_per_site: Real
    magnetization: Real
    x: Any = None
    model: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"{self.name}: a temperature must be positive and finite, got {self.temperature}")
        for what in ("energy_per_site", "magnetization"):
            series = np.asarray(getattr(self, what), dtype=np.float64)
            if series.ndim != 2 or series.size < 2:
                raise ValueError(f"{self.name}: {what} must be (draw, chain), two draws or more, got {series.shape}")
            if not np.isfinite(series).all():
                raise ValueError(f"{self.name}: {what} holds values that are nan or inf")
            object.__setattr__(self, what, series)
        shape = self.energy_per_site.shape
        if self.magnetization.shape != shape:
            raise ValueError(f"{self.name}: energy is {shape} but magnetization is {self.magnetization.shape}")
        if self.x is not None:
            rows, sites = tuple(self.x.shape)
            if sites != self.n_sites or rows % shape[1] or not 0 < rows <= shape[0] * shape[1]:
                expected = (shape[0] * shape[1], self.n_sites)
                raise ValueError(f"{self.name}: configurations must be {expected}, got {tuple(self.x.shape)}")

    @property
    def beta(self) -> float:
        return 1 / self.temperature

    @property
    def one_sign(self) -> bool:
        """Whether every draw has a magnetization of one and the same sign."""
        return bool((self.magnetization > 0).all() or (self.magnetization < 0).all())


def same_temperature(a: float, b: float) -> bool:
    """Whether two temperatures are the same but for rounding to single precision."""
    return math.isclose(a, b, rel_tol=1e-6)
