"""Symmetries of the data, applied to each batch at random: what the physics knows need not be learned.

An augmentation is ``(v, rng) -> v`` that maps the law of the data to itself. Training then sees the data's whole
orbit: noise of the sample that breaks a symmetry is averaged out, and there is that much less to overfit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ebmphys.lattice import Lattice
from ebmphys.units import Gaussian, Unit

Augmentation = Callable[[Tensor, torch.Generator], Tensor]


class GlobalFlip:
    """Each configuration turned over with probability 1/2: the Z2 symmetry of a lattice without a field.

    lower <-> upper value of a two-valued unit, x -> -x for a Gaussian one; (batch, n) -> (batch, n).
    Raises ValueError for other units.
    """

    def __init__(self, unit: Unit) -> None:
        if len(unit.values) != 2 and not isinstance(unit, Gaussian):
            raise ValueError(f"{unit.name} units have no global flip: spins, bits and Gaussian units do")
        self.mirror = sum(unit.values)

    def __call__(self, v: Tensor, rng: torch.Generator) -> Tensor:
        heads = torch.rand(len(v), 1, generator=rng, device=rng.device).to(v.device) < 0.5
        return torch.where(heads, self.mirror - v, v)


class LatticeMoves:
    """A random translation along the periodic axes and, on hypercubic lattices, a random rotation or reflection.

    One move a batch: the configurations of a batch are independent, so over the updates each meets every move,
    and a single gather serves all of them. For uniform couplings; (batch, n_sites) -> (batch, n_sites).
    Raises ValueError where v does not have the lattice's sites.
    """

    def __init__(self, lattice: Lattice) -> None:
        self.lattice = lattice
        self.sides, self.wraps = np.array(lattice.shape), np.array(lattice.periodic)
        self.basis = np.arange(len(lattice.basis))
        kinds = list(zip(lattice.shape, lattice.periodic, strict=True))
        # Axes may be exchanged where they are alike; skewed lattices keep theirs.
        self.alike = [[a for a, kind in enumerate(kinds) if kind == own] for own in dict.fromkeys(kinds)]

    def sites(self, rng: torch.Generator) -> Tensor:
        """The site that each site's value comes from under a random move; (n_sites,)."""
        d = self.lattice.dimension
        u = torch.rand(3, d, generator=rng, device=rng.device).tolist()
        cells = self.lattice.cells
        if self.lattice.geometry == "hypercubic":
            axes = np.arange(d)
            for group in self.alike:
                axes[group] = sorted(group, key=u[0].__getitem__)
            reflected = np.array(u[1]) < 0.5
            cells = np.where(reflected, self.sides - 1 - cells, cells)[:, axes]
        shift = np.where(self.wraps, np.array(u[2]) * self.sides, 0).astype(np.int64)
        cells = np.ravel_multi_index(tuple(((cells + shift) % self.sides).T), self.lattice.shape)
        return torch.from_numpy((cells[:, None] * len(self.basis) + self.basis).ravel())

    def __call__(self, v: Tensor, rng: torch.Generator) -> Tensor:
        if v.shape[-1] != self.lattice.n_sites:
            raise ValueError(f"the lattice has {self.lattice.n_sites} sites, the data {v.shape[-1]}")
        return v.index_select(-1, self.sites(rng).to(v.device))
