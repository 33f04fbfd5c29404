"""Sums over displacements on a periodic lattice, sum_d kernel(d) x(t + d), by three ways that give the same.

``forward(x, kernels)`` is y(o, t) = sum over channels i and displacements d of kernel(o, i, d) x(i, t + d), and with
``adjoint`` its transpose, z(i, t) = sum kernel(o, i, d) y(o, t - d); shapes (n, channels, n_sites) and (out, in,
n_displacements).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from ebmphys.lattice import Index, Lattice

_SAME = 1e-9  # of a distance
_FEW = 9  # displacements: nearest and next nearest neighbours of a square lattice
_DENSE_SITES = 144


class Displacements:
    """The cell displacements of a periodic lattice no longer than ``reach``, all of them where it is None.

    Raises ValueError for lattices with open axes or more than one site a cell, and for a reach below zero.
    """

    def __init__(self, lattice: Lattice, reach: float | None = None) -> None:
        if len(lattice.basis) > 1 or not all(lattice.periodic):
            raise ValueError("translations need a lattice that is periodic along every axis, with one site a cell")
        if reach is not None and not reach >= 0:
            raise ValueError(f"reach is a distance of 0 or more, or None for all, got {reach}")
        every = np.arange(lattice.n_sites)
        self.lattice = lattice
        self.cells: Index = every if reach is None else every[lattice.distance(0, every) <= reach + _SAME]

    def __len__(self) -> int:
        return len(self.cells)

    @cached_property
    def ahead(self) -> Index:
        """The site to which each displacement leads from each site; (n_sites, n_displacements)."""
        return self._ends(1)

    @cached_property
    def behind(self) -> Index:
        """The site from which it leads there."""
        return self._ends(-1)

    def _ends(self, sign: int) -> Index:
        shape, cells = self.lattice.shape, self.lattice.cells
        there = (cells[:, None] + sign * cells[self.cells][None, :]) % np.array(shape)
        return np.ravel_multi_index(tuple(np.moveaxis(there, -1, 0)), shape)

    @cached_property
    def table(self) -> Index:
        """The number of the displacement from t to v, n_displacements where it is too long; (t, v)."""
        number = np.full((self.lattice.n_sites,) * 2, len(self))
        np.put_along_axis(number, self.ahead, np.arange(len(self))[None, :], axis=1)
        return number


class TorusSum(nn.Module, ABC):
    """One way to the sums over a set of displacements."""

    @abstractmethod
    def forward(self, x: Tensor, kernels: Tensor, adjoint: bool = False) -> Tensor: ...


class Gathered(TorusSum):
    """A matrix product with the dense matrix kernel(v - t)."""

    table: Tensor

    def __init__(self, displacements: Displacements) -> None:
        super().__init__()
        self.register_buffer("table", torch.from_numpy(displacements.table), persistent=False)

    def matrix(self, kernels: Tensor) -> Tensor:
        """kernel(v - t) written out; (out, in, n_displacements) -> (out, t, in, v)."""
        spread = pad(kernels, (0, 1)).index_select(-1, self.table.flatten())
        return spread.unflatten(-1, self.table.shape).transpose(1, 2)

    def forward(self, x: Tensor, kernels: Tensor, adjoint: bool = False) -> Tensor:
        matrix = self.matrix(kernels).flatten(2).flatten(0, 1)
        return linear(x.flatten(1), matrix.T if adjoint else matrix).unflatten(1, (-1, x.shape[-1]))


class Shifted(TorusSum):
    """A product with the lattice shifted by each displacement: of few displacements the least work."""

    def __init__(self, displacements: Displacements) -> None:
        super().__init__()
        self.shape = displacements.lattice.shape
        self.steps = displacements.lattice.cells[displacements.cells].tolist()

    def forward(self, x: Tensor, kernels: Tensor, adjoint: bool = False) -> Tensor:
        grid, axes = x.transpose(0, 1).unflatten(-1, self.shape), tuple(range(2, 2 + len(self.shape)))
        matrix = (kernels.transpose(0, 1) if adjoint else kernels).flatten(1)
        sign = 1 if adjoint else -1  # a roll by d brings the values of t - d to t
        moved = torch.stack([grid.roll([sign * s for s in step], axes) for step in self.steps], 1)
        return (matrix @ moved.flatten(0, 1).flatten(1)).unflatten(1, (len(x), -1)).transpose(0, 1)


class Fourier(TorusSum):
    """Products in Fourier space, where the sum over displacements is one number a wave vector."""

    cells: Tensor

    def __init__(self, displacements: Displacements) -> None:
        super().__init__()
        self.shape = displacements.lattice.shape
        self.register_buffer("cells", torch.from_numpy(displacements.cells), persistent=False)

    def forward(self, x: Tensor, kernels: Tensor, adjoint: bool = False) -> Tensor:
        grid = kernels.new_zeros(*kernels.shape[:2], x.shape[-1]).index_copy(-1, self.cells, kernels)
        axes = tuple(range(2, 2 + len(self.shape)))
        waves = torch.fft.rfftn(x.unflatten(-1, self.shape), dim=axes)
        filters = torch.fft.rfftn(grid.unflatten(-1, self.shape), dim=axes)
        if adjoint:
            product = torch.einsum("no...,oi...->ni...", waves, filters)
        else:
            product = torch.einsum("ni...,oi...->no...", waves, filters.conj())
        return torch.fft.irfftn(product, s=self.shape, dim=axes).flatten(2)


def fastest(displacements: Displacements) -> TorusSum:
    """What takes least time on a CPU: shifts of up to 9, else the matrix up to 144 sites, Fourier space beyond."""
    if len(displacements) <= _FEW:
        return Shifted(displacements)
    way = Gathered if displacements.lattice.n_sites <= _DENSE_SITES else Fourier
    return way(displacements)
