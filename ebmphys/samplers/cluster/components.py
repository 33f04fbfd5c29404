"""Connected components of the active bonds, each labelled by its smallest site: compiled, and in plain torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from ebmphys.samplers.compiled import torch_threads


@njit(cache=True, nogil=True)
def unite(later: Any, earlier: Any, active: Any, count: Any, parent: Any) -> None:
    """Make ``parent`` a forest whose trees are the components, every parent no larger than its child.

    Union-find by Rem's algorithm with splicing (Dijkstra 1976; Patwary, Blair and Manne 2010): both paths climb in
    turn, the one that stands higher first, and stop where they meet.
    """
    for i in range(len(parent)):
        parent[i] = i
    for m in range(count):
        k = active[np.uint64(m)]
        i, j = later[k], earlier[k]
        p, q = parent[i], parent[j]
        while p != q:
            if p < q:
                i, j, p, q = j, i, q, p
            parent[i] = q
            if i == p:
                break
            i = p
            p = parent[i]


@njit(cache=True, nogil=True)
def flatten(parent: Any) -> None:
    """Replace each parent by its root: parents come before their children, so one pass in order does it."""
    for i in range(len(parent)):
        parent[i] = parent[parent[i]]


@njit(cache=True, nogil=True, parallel=True)
def _label(later: Any, earlier: Any, on: Any, labels: Any) -> None:
    for chain in prange(len(on)):
        active = np.flatnonzero(on[chain]).astype(np.uint32)
        parent = np.empty(labels.shape[1], np.uint32)
        unite(later, earlier, active, len(active), parent)
        flatten(parent)
        labels[chain] = parent


def united_components(active: Tensor, bonds: Tensor, n_sites: int) -> Tensor:
    """As ``propagated_components``, by compiled union-find on the CPU."""
    on = active.reshape(active.shape[:-1].numel(), active.shape[-1]).numpy()
    labels = np.empty((len(on), n_sites), np.int64)
    ends = np.sort(bonds.numpy(), axis=1).astype(np.uint32)
    with torch_threads():
        _label(ends[:, 1].copy(), ends[:, 0].copy(), on, labels)
    return torch.from_numpy(labels).reshape(*active.shape[:-1], n_sites)


def propagated_components(active: Tensor, bonds: Tensor, n_sites: int) -> Tensor:
    """The smallest site of the component that each site is in, by label propagation with pointer jumping.

    active: (*batch, n_bonds) of truth values; bonds: (n_bonds, 2); -> (*batch, n_sites) of site numbers.
    """
    on = active.reshape(active.shape[:-1].numel(), active.shape[-1])
    first = torch.arange(len(on), device=active.device)[:, None] * n_sites
    chain, bond = on.nonzero(as_tuple=True)
    left, right = (bonds[bond] + chain[:, None] * n_sites).unbind(-1)
    labels = torch.arange(len(on) * n_sites, device=active.device)
    while True:
        a, b = labels[left], labels[right]
        differ = a != b
        if not bool(differ.any()):
            return (labels.reshape(len(on), n_sites) - first).reshape(*active.shape[:-1], n_sites)
        # Hook the larger root under the smaller one, then let every site jump to its root.
        left, right, a, b = left[differ], right[differ], a[differ], b[differ]
        labels.scatter_reduce_(0, torch.maximum(a, b), torch.minimum(a, b), "amin")
        while not torch.equal(jumped := labels[labels], labels):
            labels = jumped


def connected_components(active: Tensor, bonds: Tensor, n_sites: int) -> Tensor:
    """The smallest site of the component that each site is in, by the method that suits the device.

    active: (*batch, n_bonds) of truth values; bonds: (n_bonds, 2); -> (*batch, n_sites) of site numbers.
    """
    method = united_components if active.device.type == "cpu" else propagated_components
    return method(active, bonds, n_sites)
