"""Graphs and lattices: sites, bonds, neighbours, colours, positions, distances and momenta.

Bonds follow the sum over sites i and directions mu of s_i s_(i+mu), so on a periodic side of length 2 the two
bonds between a site and its neighbour are both there: a *doubled bond*, as in the transfer matrix and in
Kaufman's torus. On a periodic side of length 1 the bond would join a site with itself; s^2 is a constant of no
consequence for two-valued spins, and such a bond is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]
Real = NDArray[np.float64]


class Graph:
    """Sites 0..n_sites-1 joined by bonds; a pair listed twice is a doubled bond.

    bonds: (n_bonds, 2). Raises ValueError for a bond that leaves the graph or joins a site with itself.
    """

    def __init__(self, n_sites: int, bonds: Any) -> None:
        pairs = np.asarray(bonds, dtype=np.int64).reshape(-1, 2)
        if n_sites < 1:
            raise ValueError(f"a graph needs at least one site, got n_sites = {n_sites}")
        if pairs.size and (pairs.min() < 0 or pairs.max() >= n_sites):
            raise ValueError(f"bonds must join sites 0 to {n_sites - 1}, got {pairs.min()} to {pairs.max()}")
        if (pairs[:, 0] == pairs[:, 1]).any():
            raise ValueError("a bond must join two different sites")
        self.n_sites = n_sites
        self.bonds: Index = pairs

    @property
    def config(self) -> dict[str, Any]:
        """Plain data from which ``build_graph`` makes the same graph."""
        return {"n_sites": self.n_sites, "bonds": self.bonds.tolist()}

    @property
    def n_bonds(self) -> int:
        return len(self.bonds)

    @cached_property
    def degree(self) -> Index:
        """Bonds that end on each site, doubled ones counted twice; (n_sites,)."""
        return np.bincount(self.bonds.ravel(), minlength=self.n_sites)

    @cached_property
    def _incidence(self) -> tuple[Index, Index]:
        sites = np.concatenate([self.bonds[:, 0], self.bonds[:, 1]])
        others = np.concatenate([self.bonds[:, 1], self.bonds[:, 0]])
        bond = np.tile(np.arange(self.n_bonds), 2)
        order = np.argsort(sites, kind="stable")
        rank = np.arange(len(sites)) - np.repeat(np.cumsum(self.degree) - self.degree, self.degree)
        shape = (self.n_sites, int(self.degree.max(initial=0)))
        neighbours, through = np.full(shape, -1), np.full(shape, -1)
        neighbours[sites[order], rank] = others[order]
        through[sites[order], rank] = bond[order]
        return neighbours, through

    @property
    def neighbours(self) -> Index:
        """The sites at the other ends of a site's bonds, -1 where there are fewer; (n_sites, max degree)."""
        return self._incidence[0]

    @property
    def neighbour_bonds(self) -> Index:
        """The bonds that lead to ``neighbours``, -1 where there are fewer; (n_sites, max degree)."""
        return self._incidence[1]

    @cached_property
    def colours(self) -> list[Index]:
        """A partition of the sites into independent sets: no bond joins two sites of one colour."""
        labels = self._labels()
        return [np.flatnonzero(labels == c) for c in np.unique(labels)]

    def _labels(self) -> Index:
        """Greedy colouring in site order, at most max degree + 1 colours."""
        labels = np.full(self.n_sites, -1)
        for site, around in enumerate(self.neighbours):
            taken = set(labels[around[around >= 0]].tolist())
            labels[site] = next(c for c in range(len(taken) + 1) if c not in taken)
        return labels


# Each geometry: primitive vectors, positions in the cell, bonds as (from basis, to basis, cell offset).
_HALF_SQRT3 = np.sqrt(3) / 2


class Lattice(Graph):
    """A regular lattice of prod(shape) cells; row-major sites, the last axis fastest.

    geometry: ``"hypercubic"`` in as many dimensions as shape has (a chain, the square lattice, the cubic one);
    ``"triangular"``, shape (L, W), six neighbours at distance 1; ``"honeycomb"``, shape (L, W) cells of
    two sites (site = 2 cell + sublattice), three neighbours at distance 1.
    periodic: one truth value, or one an axis. Raises ValueError for shapes and names that make no lattice.
    """

    def __init__(
        self,
        shape: Sequence[int] | int,
        geometry: str = "hypercubic",
        periodic: bool | Sequence[bool] = True,
    ) -> None:
        if isinstance(shape, str):
            raise ValueError(f"a shape is a tuple of sides such as (4, 4), got {shape!r}")
        self.shape: tuple[int, ...] = (shape,) if isinstance(shape, int) else tuple(int(s) for s in shape)
        if not self.shape or any(side < 1 for side in self.shape):
            raise ValueError(f"every side of a lattice must be at least 1, got shape {self.shape}")
        self.geometry = _GEOMETRY_ALIASES.get((geometry, len(self.shape)), geometry)
        self.vectors, self.basis, steps = _unit_cell(self.geometry, len(self.shape))
        flags = (periodic,) * len(self.shape) if isinstance(periodic, bool) else tuple(map(bool, periodic))
        if len(flags) != len(self.shape):
            raise ValueError(f"periodic needs one value an axis ({len(self.shape)}), got {len(flags)}")
        self.periodic = flags
        super().__init__(self.n_cells * len(self.basis), self._all_bonds(steps))

    @property
    def config(self) -> dict[str, Any]:
        return {"shape": list(self.shape), "geometry": self.geometry, "periodic": list(self.periodic)}

    @property
    def dimension(self) -> int:
        return len(self.shape)

    @property
    def n_cells(self) -> int:
        return int(np.prod(self.shape))

    @cached_property
    def cells(self) -> Index:
        """Integer coordinates of each cell; (n_cells, dimension)."""
        return np.stack(np.unravel_index(np.arange(self.n_cells), self.shape), axis=-1)

    @cached_property
    def positions(self) -> Real:
        """Cartesian positions, nearest neighbours at distance 1; (n_sites, dimension)."""
        corners = self.cells @ self.vectors
        return (corners[:, None, :] + self.basis[None, :, :]).reshape(self.n_sites, self.dimension)

    def distance(self, i: Any, j: Any) -> Real:
        """Euclidean distance of sites i and j, along the shortest way round where periodic; broadcasts."""
        separation = self.positions[np.asarray(j)] - self.positions[np.asarray(i)]
        # On a skewed cell the nearest image may be one period off along each axis, after reduction to the cell.
        fraction = separation @ np.linalg.inv(self._periods)
        wraps = np.where(self.periodic, np.round(fraction), 0.0)
        images = np.stack(np.meshgrid(*[[-1, 0, 1] if p else [0] for p in self.periodic]), -1)
        shifts = (images.reshape(-1, self.dimension) @ self._periods).T
        nearest = (separation - wraps @ self._periods)[..., None] - shifts
        return np.sqrt((nearest**2).sum(-2).min(-1))

    @cached_property
    def momenta(self) -> Real:
        """Wave vectors k with exp(i k . r) periodic, k = sum n_a b_a / L_a, in the order of ``cells``;
        (n_cells, dimension). For open axes they are the same vectors, as a Fourier basis."""
        return 2 * np.pi * (self.cells / np.array(self.shape)) @ np.linalg.inv(self.vectors).T

    @property
    def _periods(self) -> Real:
        return np.array(self.shape)[:, None] * self.vectors

    def _all_bonds(self, steps: Sequence[tuple[int, int, tuple[int, ...]]]) -> Index:
        sides, n_basis = np.array(self.shape), len(self.basis)
        bonds = []
        for start, end, offset in steps:
            target = self.cells + np.array(offset)
            inside = ((target >= 0) & (target < sides)) | np.array(self.periodic)
            keep = inside.all(axis=1)
            wrapped = np.ravel_multi_index(tuple((target % sides).T), self.shape)
            pairs = np.stack([np.arange(self.n_cells) * n_basis + start, wrapped * n_basis + end], axis=-1)
            bonds.append(pairs[keep & (pairs[:, 0] != pairs[:, 1])])
        return np.concatenate(bonds) if bonds else np.empty((0, 2), dtype=np.int64)

    def _labels(self) -> Index:
        """Two colours where the lattice allows, three on hypercubic tori with an odd side, else greedy."""
        if self.geometry == "honeycomb":
            return np.tile([0, 1], self.n_cells)
        if self.geometry == "triangular":
            # x - y mod 3 separates all six neighbours unless a period that is no multiple of 3 breaks it.
            fits = all(side % 3 == 0 or not wraps for side, wraps in zip(self.shape, self.periodic, strict=True))
            return (self.cells[:, 0] - self.cells[:, 1]) % 3 if fits else super()._labels()
        # Each axis is coloured as a cycle (an odd one needs a third colour, on its last site); the sum of
        # the axes' colours, modulo how many there are, then changes along every bond.
        odd = [wraps and side % 2 == 1 and side > 1 for side, wraps in zip(self.shape, self.periodic, strict=True)]
        along = self.cells % 2
        for axis in np.flatnonzero(odd):
            along[self.cells[:, axis] == self.shape[axis] - 1, axis] = 2
        return along.sum(axis=1) % (3 if any(odd) else 2)


_GEOMETRY_ALIASES = {("chain", 1): "hypercubic", ("square", 2): "hypercubic", ("cubic", 3): "hypercubic"}


def _unit_cell(geometry: str, dimension: int) -> tuple[Real, Real, list[tuple[int, int, tuple[int, ...]]]]:
    """Primitive vectors (rows), basis positions, and the bonds that each cell owns (from, to, cell offset)."""
    if geometry == "hypercubic":
        axes = np.eye(dimension, dtype=int)
        return np.eye(dimension), np.zeros((1, dimension)), [(0, 0, tuple(axis.tolist())) for axis in axes]
    if geometry not in ("triangular", "honeycomb"):
        raise ValueError(
            f"geometry must be hypercubic (chain, square, cubic), triangular or honeycomb, got {geometry!r}"
            f" in {dimension} dimension(s)"
        )
    if dimension != 2:
        raise ValueError(f"a {geometry} lattice has two sides, got {dimension}")
    skewed = np.array([[1.0, 0.0], [0.5, _HALF_SQRT3]])
    if geometry == "triangular":
        return skewed, np.zeros((1, 2)), [(0, 0, (1, 0)), (0, 0, (0, 1)), (0, 0, (1, -1))]
    # Sublattice 1 sits in the middle of a triangle of sublattice 0, one bond length away from its corners.
    cell = np.sqrt(3) * skewed
    return (
        cell,
        np.array([[0.0, 0.0], cell.sum(axis=0) / 3]),
        [(0, 1, (0, 0)), (1, 0, (1, 0)), (1, 0, (0, 1))],
    )


def build_graph(config: dict[str, Any]) -> Graph:
    """The graph or lattice that its ``config`` describes."""
    return Lattice(**config) if "shape" in config else Graph(**config)
