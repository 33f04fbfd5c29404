"""What is measured: one task for all, and the face that a sampler or a peer shows to whoever holds the watch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ebmphys.energies import Ising, ferromagnet

Real = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """Independent chains of the Ising ferromagnet, J = 1 without field, on a periodic hypercubic lattice.

    Raises ValueError for a task without chains, or a beta that is not positive and finite.
    """

    shape: tuple[int, ...]
    chains: int
    beta: float
    device: torch.device
    seed: int = 1

    def __post_init__(self) -> None:
        if self.chains < 1:
            raise ValueError(f"chains must be at least 1, got {self.chains}")
        if not 0 < self.beta < math.inf:
            raise ValueError(f"beta must be positive and finite, got {self.beta}")

    @cached_property
    def model(self) -> Ising:
        return ferromagnet(self.shape, device=self.device)

    @property
    def n_sites(self) -> int:
        return math.prod(self.shape)

    @property
    def spins(self) -> int:
        """Spins of all chains together: what one sweep updates."""
        return self.n_sites * self.chains


class Running(Protocol):
    """A sampler at work on a task."""

    def advance(self, steps: int) -> None:
        """Take so many steps of every chain, and return when they are done."""
        ...

    def observe(self) -> tuple[Real, Real]:
        """Energy per site and magnetization per site of each chain as it is now; both (chains,)."""
        ...


@dataclass(frozen=True)
class Entrant:
    """A sampler of this package or a peer: its name, and how it starts on a task.

    ``start`` raises ValueError where it cannot do the task and ImportError where its package is not installed.
    ``one_cluster`` marks steps that flip one cluster in place of a sweep.
    """

    name: str
    start: Callable[[Task], Running]
    peer: bool = False
    one_cluster: bool = False


def observed(task: Task, spins: NDArray[np.int8]) -> tuple[Real, Real]:
    """Energy and magnetization per site from spins -1 and +1 in rows, (chains, n_sites); -> both (chains,)."""
    grid = spins.reshape(task.chains, *task.shape)
    bonds = np.zeros(task.chains)
    for axis in range(1, grid.ndim):
        # On a side of length 1 the bond would join a site with itself; the model has no such bond.
        if grid.shape[axis] > 1:
            bonds += (grid * np.roll(grid, 1, axis)).reshape(task.chains, -1).sum(-1, dtype=np.float64)
    return -bonds / task.n_sites, spins.reshape(task.chains, -1).mean(-1, dtype=np.float64)
