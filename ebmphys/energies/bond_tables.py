"""Index tables of a machine with one weight a bond, or one a class of bonds: what couples to what, through which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ebmphys.lattice import Graph, Index

_DENSE_DEGREE = 1 / 32  # of n_sites: where bonds are this many, or sites this few, a matrix product is the faster way
_DENSE_SITES = 64


def complete_graph(n_sites: int) -> Graph:
    """Every pair of sites joined once: (0, 1), (0, 2), ..., row by row of the upper triangle."""
    return Graph(n_sites, np.stack(np.triu_indices(n_sites, 1), axis=-1))


def numbered(classes: Sequence[int] | Index | None, count: int, of: str) -> Index:
    """The number of each one's parameter, its own where no classes are given; -> (count,).

    Raises ValueError unless each has a number, and the numbers run from 0 without a gap.
    """
    if classes is None:
        return np.arange(count)
    numbers = np.asarray(classes, dtype=np.int64)
    if numbers.shape != (count,) or set(numbers.tolist()) != set(range(int(numbers.max(initial=-1)) + 1)):
        raise ValueError(f"classes number every {of} ({count}) from 0 without a gap, got {numbers.size} numbers")
    return numbers


def separate_colours(graph: Graph, n_visible: int) -> dict[str, Index]:
    """Independent sets in sweep order, hidden ones first, none of which mixes hidden and visible sites."""
    hidden = graph.bonds >= n_visible
    inside: list[Index] = []
    if n_visible < graph.n_sites:
        inside = Graph(graph.n_sites - n_visible, graph.bonds[hidden.all(-1)] - n_visible).colours
    # A lattice knows better colours than the greedy ones, so it is asked itself where it can be.
    seen = (Graph(n_visible, graph.bonds[~hidden.any(-1)]) if inside else graph).colours
    named = {f"hidden {k}": sites + n_visible for k, sites in enumerate(inside)}
    return named | {f"visible {k}": sites for k, sites in enumerate(seen)}


def is_dense(graph: Graph) -> bool:
    """Whether energies are better had by a product with the matrix of couplings than bond by bond.

    Never with doubled bonds, each of which has a weight of its own but only one place in the matrix.
    """
    many = graph.degree.max(initial=0) >= graph.n_sites * _DENSE_DEGREE or graph.n_sites <= _DENSE_SITES
    return bool(many) and len(np.unique(np.sort(graph.bonds, axis=-1), axis=0)) == graph.n_bonds


def bond_matrix(graph: Graph, bonds: Index) -> Index:
    """1 + the number of the weight that joins two sites, 0 where none does; -> (n_sites, n_sites)."""
    matrix = np.zeros((graph.n_sites, graph.n_sites), dtype=np.int64)
    left, right = graph.bonds.T
    matrix[left, right] = matrix[right, left] = bonds + 1
    return matrix


def neighbour_tables(graph: Graph, bonds: Index, sites: Index) -> tuple[Index, Index]:
    """The neighbours of some sites and 1 + the number of the weight to each; two of (max degree, len(sites)).

    A missing neighbour is site 0 through no bond, 0.
    """
    around, through = graph.neighbours[sites].T, graph.neighbour_bonds[sites].T
    return around.clip(min=0), np.where(around >= 0, np.append(bonds + 1, 0)[through], 0)
