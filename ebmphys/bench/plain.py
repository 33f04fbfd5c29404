"""Peers that need no package: the single-spin loop an expert writes for numba, and the usual torch checkerboard."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit, prange

from ebmphys.bench.task import Entrant, Real, Task, observed
from ebmphys.rng import generator
from ebmphys.samplers.compiled import seeds, torch_threads

_ONE, _17, _26, _23, _32 = (np.uint64(n) for n in (1, 17, 26, 23, 32))


@njit(cache=True, nogil=True, parallel=True)
def _sweeps(spins: Any, bounds: Any, states: Any, sweeps: int) -> None:
    """Heat bath, site after site: xorshift128+ (Vigna 2017), 32 bits a decision, a table of p by the neighbours."""
    chains, rows, columns = spins.shape
    for chain in prange(chains):
        a, b = states[chain, 0], states[chain, 1]
        for _ in range(sweeps):
            for i in range(rows):
                here = spins[chain, i]
                above = spins[chain, i - 1 if i else rows - 1]
                below = spins[chain, i + 1 if i < rows - 1 else 0]
                left = here[columns - 1]
                for j in range(columns):
                    right = here[j + 1 if j < columns - 1 else 0]
                    t = a
                    a = b
                    t ^= t << _23
                    b = t ^ a ^ (t >> _17) ^ (a >> _26)
                    field = left + right + above[j] + below[j]
                    left = np.int8(1) if ((a + b) >> _32) < bounds[field + 4] else np.int8(-1)
                    here[j] = left
        states[chain, 0], states[chain, 1] = a, b


def _square(task: Task, name: str) -> tuple[int, int]:
    if len(task.shape) != 2 or min(task.shape) < 2:
        raise ValueError(f"{name} was written for two dimensions")
    return task.shape[0], task.shape[1]


class NumbaLoop:
    """One spin after the other, one chain after the other, chains spread over threads."""

    def __init__(self, task: Task) -> None:
        shape = _square(task, "the numba loop")
        if task.device.type != "cpu":
            raise ValueError("the numba loop runs on the CPU")
        self.task = task
        self.states = seeds((task.chains, 2), generator(task.seed, "bench", "numba", device="cpu"))
        self.spins = np.ones((task.chains, *shape), dtype=np.int8)
        p = 1 / (1 + np.exp(-2 * task.beta * np.arange(-4, 5)))
        self.bounds = np.rint(p * 2.0**32).astype(np.uint64)

    def advance(self, steps: int) -> None:
        with torch_threads():
            _sweeps(self.spins, self.bounds, self.states, steps)

    def observe(self) -> tuple[Real, Real]:
        return observed(self.task, self.spins)


class TorchRoll:
    """What most people write: neighbour sums by roll over the whole lattice, a mask for each colour."""

    def __init__(self, task: Task) -> None:
        rows, columns = _square(task, "the torch checkerboard")
        if rows % 2 or columns % 2:
            raise ValueError("a checkerboard needs even sides")
        self.task = task
        self.rng = generator(task.seed, "bench", "torch", device=task.device)
        self.spins = torch.ones(task.chains, rows, columns, device=task.device)
        sum_of_indices = torch.arange(rows, device=task.device)[:, None] + torch.arange(columns, device=task.device)
        self.even = sum_of_indices % 2 == 0

    @torch.no_grad()
    def advance(self, steps: int) -> None:
        spins = self.spins
        for _ in range(steps):
            for colour in (self.even, ~self.even):
                field = spins.roll(1, 1) + spins.roll(-1, 1) + spins.roll(1, 2) + spins.roll(-1, 2)
                p = torch.sigmoid(2 * self.task.beta * field)
                drawn = (torch.rand(spins.shape, generator=self.rng, device=spins.device) < p).float() * 2 - 1
                spins = torch.where(colour, drawn, spins)
        self.spins = spins
        if self.task.device.type == "cuda":
            torch.cuda.synchronize()

    def observe(self) -> tuple[Real, Real]:
        return observed(self.task, self.spins.to(torch.int8).cpu().numpy())


PLAIN: tuple[Entrant, ...] = (
    Entrant("numba-loop", NumbaLoop, peer=True),
    Entrant("torch-roll", TorchRoll, peer=True),
)
