"""Which bonds hold a cluster together: a bond between equal values is active with probability 1 - exp(-beta gain).

The gain of a bond is what its energy loses by the two values being equal: 2 J for Ising spins, J for Potts states.
Nothing here knows what the values are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from ebmphys.energies import Ising
from ebmphys.lattice import Graph
from ebmphys.samplers.base import scaled
from ebmphys.samplers.compiled import advanced

HALF, LOW = np.uint64(32), np.uint64(2**32 - 1)
ZERO, ONE = np.uint64(0), np.uint64(1)

Indices = NDArray[np.uint32]  # unsigned, so that compiled code need not look for negative ones


@dataclass(frozen=True)
class Gains:
    """The gain of each bond (or field), as its kind: ``values[kinds[k]]``; kinds is None where all are equal."""

    values: NDArray[np.float64]
    kinds: Indices | None

    @classmethod
    def of(cls, gains: Tensor) -> Gains:
        values, kinds = np.unique(gains.cpu().double().numpy(), return_inverse=True)
        if len(values) <= 1:
            return cls(np.append(values, 0.0)[:1], None)
        return cls(values, kinds.astype(np.uint32))

    def take(self, order: NDArray[np.integer]) -> Gains:
        """The same for bonds in another order, or in a table."""
        return Gains(self.values, None if self.kinds is None else self.kinds[order])


@dataclass(frozen=True)
class BondList:
    """The bonds in the order of their later site, so that a pass over them walks through memory; an even number.

    A graph with an odd number of bonds gets one from site 0 to itself, which joins nothing.
    """

    later: Indices
    earlier: Indices
    gains: Gains

    @classmethod
    def of(cls, graph: Graph, gains: Gains) -> BondList:
        earlier, later = np.sort(graph.bonds, axis=1).T
        order = np.lexsort((earlier, later))
        if len(order) % 2:
            earlier, later = np.append(earlier[order], 0), np.append(later[order], 0)
            return cls(later.astype(np.uint32), earlier.astype(np.uint32), gains.take(np.append(order, order[0])))
        return cls(later[order].astype(np.uint32), earlier[order].astype(np.uint32), gains.take(order))


def check_ferromagnet(model: Ising, name: str) -> None:
    """Raise ValueError where a model is not an Ising model with couplings J >= 0."""
    if not isinstance(model, Ising):
        raise ValueError(f"{name} grows clusters of Ising spins, got {type(model).__name__}")
    if bool((model.couplings < 0).any()):
        raise ValueError(f"{name} needs couplings J >= 0, got J = {model.couplings.min().item():g}")


def bond_activation(equal: Tensor, gain: Tensor, beta: Tensor, u: Tensor) -> Tensor:
    """Whether each bond is active: its values are equal and u < 1 - exp(-beta gain) (Fortuin and Kasteleyn 1972).

    equal, u: (*batch, n_bonds); gain: (n_bonds,); beta broadcasts to batch; -> (*batch, n_bonds).
    """
    gains = gain.double().expand(equal.shape) if beta.ndim else gain.double()
    return equal & (u < -torch.expm1(-scaled(beta.double(), gains, equal.shape[:-1])))


@njit(cache=True, nogil=True)
def thresholds(beta: float, gains: Any) -> Any:
    """The numbers of 32 bits, of all 2^32, that are below each 1 - exp(-beta gain), rounded to the nearest."""
    out = np.empty(len(gains), np.uint64)
    for k in range(len(gains)):
        out[k] = np.uint64(-np.expm1(-beta * gains[k]) * 4294967296.0 + 0.5)
    return out


@njit(cache=True, nogil=True)
def threshold_of(bounds: Any, kinds: Any, k: Any) -> Any:
    # A test for None is decided when the kernel is compiled: uniform couplings pay nothing for the others.
    if kinds is None:
        return bounds[ZERO]
    return bounds[kinds[k]]


@njit(cache=True, nogil=True)
def activate(x: Any, later: Any, earlier: Any, bounds: Any, kinds: Any, state: Any, active: Any) -> Any:
    """Write the numbers of the active bonds to ``active`` and return how many; 32 random bits a bond."""
    a, b, c, d = state[0], state[1], state[2], state[3]
    count, k = ZERO, ZERO
    while k < np.uint64(len(later)):
        word, a, b, c, d = advanced(a, b, c, d)
        # Written in any case and counted or not: whether a bond is active is a coin toss no processor foresees.
        active[count] = k
        on = (x[later[k]] == x[earlier[k]]) & ((word & LOW) < threshold_of(bounds, kinds, k))
        count += ONE if on else ZERO
        k += ONE
        active[count] = k
        on = (x[later[k]] == x[earlier[k]]) & ((word >> HALF) < threshold_of(bounds, kinds, k))
        count += ONE if on else ZERO
        k += ONE
    state[0], state[1], state[2], state[3] = a, b, c, d
    return count
