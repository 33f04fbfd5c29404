"""Pairs of sites of a periodic lattice in classes that its translations, and its point group, map onto each other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from ebmphys.lattice import Index, Lattice

Displacement = tuple[int, int, tuple[int, ...]]  # basis site here, basis site there, cells between them


def displacement_classes(
    lattice: Lattice, reach: float | None = None, point_group: bool = False
) -> tuple[Index, Index, Index]:
    """Every pair of sites up to the distance ``reach`` (None: all pairs), once, with the number of its class.

    Two pairs are of one class where a translation maps one onto the other, or with ``point_group`` any rotation or
    reflection that the lattice and its periods allow. Classes are numbered by distance, nearest neighbours first;
    sites by their place in the cell. -> pairs (n_pairs, 2), classes (n_pairs,), classes of sites (n_sites,)
    Raises ValueError for a lattice with open edges, for a reach shorter than a bond, and for the point group of a
    lattice with more than one site a cell.
    """
    if not all(lattice.periodic):
        raise ValueError(f"translations need a periodic lattice, got periodic = {list(lattice.periodic)}")
    n_basis = len(lattice.basis)
    if point_group and n_basis > 1:
        raise ValueError(f"the point group is known for lattices with one site a cell, a {lattice.geometry} has more")
    group = _point_group(lattice) if point_group else [np.eye(lattice.dimension, dtype=np.int64)]
    found: dict[Displacement, list[Displacement]] = {}
    length: dict[Displacement, float] = {}
    for here, step in _within(lattice, reach):
        key = min(image for a in group for image in _both_ways(lattice, (here, step[1], tuple(step[2] @ a))))
        found.setdefault(key, []).append((here, step[1], tuple(step[2].tolist())))
        length[key] = step[0]
    if not found:
        raise ValueError(f"no two sites are within reach = {reach}: nearest neighbours are at distance 1")
    ordered = sorted(found, key=lambda key: (round(length[key], 9), key))
    pairs = [_pairs(lattice, found[key]) for key in ordered]
    classes = np.repeat(np.arange(len(pairs)), [len(each) for each in pairs])
    return np.concatenate(pairs), classes, np.tile(np.arange(n_basis), lattice.n_cells)


def _within(lattice: Lattice, reach: float | None) -> Iterator[tuple[int, tuple[float, int, Index]]]:
    """From each site of the first cell to every other site: (distance, basis site there, cells between)."""
    n_basis = len(lattice.basis)
    for here in range(n_basis):
        others = np.flatnonzero(np.arange(lattice.n_sites) != here)
        for site, distance in zip(others.tolist(), lattice.distance(here, others).tolist(), strict=True):
            if reach is None or distance <= reach + 1e-9:
                yield here, (distance, site % n_basis, lattice.cells[site // n_basis])


def _both_ways(lattice: Lattice, displacement: Displacement) -> tuple[Displacement, Displacement]:
    here, there, step = displacement
    forth, back = np.mod(step, lattice.shape), np.mod(-np.asarray(step), lattice.shape)
    return (here, there, tuple(forth.tolist())), (there, here, tuple(back.tolist()))


def _pairs(lattice: Lattice, displacements: list[Displacement]) -> Index:
    """The pairs that these displacements join, each once though both ways round may be listed."""
    n_basis, each = len(lattice.basis), []
    for here, there, step in displacements:
        cells = np.ravel_multi_index(tuple(np.mod(lattice.cells + np.array(step), lattice.shape).T), lattice.shape)
        each.append(np.stack([np.arange(lattice.n_cells) * n_basis + here, cells * n_basis + there], axis=-1))
    return np.unique(np.sort(np.concatenate(each), axis=-1), axis=0)


def _point_group(lattice: Lattice) -> list[Index]:
    """The integer matrices that keep all distances and map the periods onto themselves; cells transform as d @ a."""
    metric, sides = lattice.vectors @ lattice.vectors.T, np.array(lattice.shape)
    short = np.array(list(product((-1, 0, 1), repeat=lattice.dimension)))
    images = [short[np.isclose(np.einsum("ki,ij,kj->k", short, metric, short), row)] for row in np.diag(metric)]
    group = []
    for rows in product(*images):
        a = np.array(rows)
        if np.allclose(a @ metric @ a.T, metric) and not (sides[:, None] * a % sides).any():
            group.append(a)
    return group
