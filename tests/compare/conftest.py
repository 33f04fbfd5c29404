"""Exact independent draws of the 4 x 4 Ising lattice, by enumeration in plain numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from ebmphys.compare import Ensemble
from ebmphys.lattice import Lattice

SITES = 16
T_C = 2.269185314213022
MODEL = {"model": "ising", "graph": Lattice((4, 4)).config, "coupling": 1.0, "field": 0.0}

Draw = Callable[..., Ensemble]


class Enumerated:
    """All 65536 configurations with their energies; ``draw`` takes independent ones at 1/T times ``factor``."""

    def __init__(self) -> None:
        bits = (np.arange(2**SITES)[:, None] >> np.arange(SITES)) & 1
        self.spins = (2 * bits - 1).astype(np.int8)
        start, end = Lattice((4, 4)).bonds.T
        self.energy = -(self.spins[:, start] * self.spins[:, end]).sum(axis=1, dtype=np.int64)
        self.magnetization = self.spins.sum(axis=1, dtype=np.int64) / SITES

    def law(self, temperature: float) -> np.ndarray:
        weights = np.exp(-(self.energy - self.energy.min()) / temperature)
        return weights / weights.sum()

    def ensemble(self, name: str, temperature: float, index: np.ndarray, *, keep: bool = True) -> Ensemble:
        """The ensemble of given configurations, (draw, chain) of their numbers."""
        x = torch.from_numpy(self.spins[index.ravel()]) if keep else None
        energy, m = self.energy[index] / SITES, self.magnetization[index]
        return Ensemble(name, temperature, SITES, energy, m, x, MODEL)

    def draw(
        self,
        name: str,
        seed: int,
        *,
        temperature: float = T_C,
        shape: tuple[int, int] = (100, 40),
        factor: float = 1.0,
        keep: bool = True,
    ) -> Ensemble:
        rng = np.random.default_rng(seed)
        index = rng.choice(2**SITES, size=shape, p=self.law(temperature / factor))
        return self.ensemble(name, temperature, index, keep=keep)


@pytest.fixture(scope="session")
def enumerated() -> Enumerated:
    return Enumerated()


@pytest.fixture(scope="session")
def draw(enumerated: Enumerated) -> Draw:
    return enumerated.draw
