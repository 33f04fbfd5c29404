"""Improved estimators: averages over the 2^clusters configurations that share the clusters of one, in zero field.

Two spins of one cluster are equal and spins of different clusters are independent, so s_i s_j averages to 1 or 0
(Sweeny 1983; Wolff 1988). The means are those of the plain estimators, with a smaller variance where clusters are
small.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ebmphys.lattice import Lattice


def improved_magnetization_squared(labels: Tensor) -> Tensor:
    """Square of the magnetization per site averaged over the clusters' signs: m^2 = sum_C |C|^2 / N^2.

    labels: (*batch, n_sites), the number of a site of the cluster that each site is in, the same all over a cluster;
    -> (*batch,), float64. N times its mean is the susceptibility above T_c over beta.
    """
    return (cluster_sizes(labels).double() ** 2).sum(-1) / labels.shape[-1] ** 2


def improved_two_point(labels: Tensor, lattice: Lattice) -> Tensor:
    """Two-point function averaged over the clusters' signs: the fraction of pairs at distance r in one cluster.

    G(r) = 1/(d N) sum_a sum_i [i and i + r e_a in one cluster], r = 0 .. min(shape) // 2, as ``two_point``;
    (*batch, n_sites) -> (*batch, min(shape) // 2 + 1), float64.
    Raises ValueError for lattices that are not periodic or have more than one site a cell.
    """
    if not all(lattice.periodic) or len(lattice.basis) != 1:
        raise ValueError("a two-point function along the axes needs a periodic lattice with one site a cell")
    grid = labels.unflatten(-1, lattice.shape)
    axes = range(-len(lattice.shape), 0)
    together = [
        torch.stack([(grid == grid.roll(-r, axis)).flatten(labels.ndim - 1).double().mean(-1) for axis in axes])
        for r in range(min(lattice.shape) // 2 + 1)
    ]
    return torch.stack([along.mean(0) for along in together], -1)


def cluster_sizes(labels: Tensor) -> Tensor:
    """The size of the cluster that each site labels, 0 for a site that labels none; (*batch, n_sites) -> the same."""
    return torch.zeros_like(labels).scatter_add_(-1, labels, torch.ones_like(labels))
