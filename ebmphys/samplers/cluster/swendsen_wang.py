"""Swendsen-Wang: every cluster of the configuration gets a new sign at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from ebmphys.energies import Ising
from ebmphys.samplers.base import Chains, random_chains
from ebmphys.samplers.cluster.bonds import (
    HALF,
    ONE,
    BondList,
    Gains,
    activate,
    bond_activation,
    check_ferromagnet,
    threshold_of,
    thresholds,
)
from ebmphys.samplers.cluster.components import connected_components, flatten, propagated_components, unite
from ebmphys.samplers.cluster.estimators import cluster_sizes, improved_magnetization_squared
from ebmphys.samplers.cluster.storage import betas, step_seeds, working_spins
from ebmphys.samplers.compiled import next_word, torch_threads


@dataclass(frozen=True)
class SwendsenWang:
    """Cluster updates of a ferromagnet on any graph (Swendsen and Wang 1987). One step gives every spin a new value.

    A bond between equal spins is active with probability 1 - exp(-2 beta J); each connected component of the active
    bonds gets a sign at random. Fields are couplings to a ghost spin that stays up: a site aligned with its field is
    bound to it with probability 1 - exp(-2 beta |h|), and components bound to it keep their sign. Probabilities are
    resolved to 2^-32 on the CPU (compiled, union-find) and 2^-53 on other devices (label propagation). Returns
    ``clusters``, their number, ``largest``, the size of the largest, and without fields ``magnetization_squared``,
    the improved estimator of m^2; all (*batch,). Raises ValueError for a coupling J < 0.
    """

    model: Ising

    def __post_init__(self) -> None:
        check_ferromagnet(self.model, "SwendsenWang")

    def init(self, *batch: int, beta: Tensor | float = 1.0, rng: torch.Generator) -> Chains:
        return random_chains(self.model, batch, beta, rng)

    @cached_property
    def _in_field(self) -> bool:
        return bool(self.model.fields.any())

    @cached_property
    def _tables(self) -> tuple[Any, ...]:
        bonds = BondList.of(self.model.graph, Gains.of(2 * self.model.couplings))
        fields = self.model.fields.cpu().numpy()
        ghost = Gains.of(2 * self.model.fields.abs())
        signs = np.sign(fields) if self._in_field else fields[:0]
        return bonds.later, bonds.earlier, bonds.gains.values, bonds.gains.kinds, ghost.values, ghost.kinds, signs

    @torch.no_grad()
    def labels(self, chains: Chains) -> Tensor:
        """Fresh clusters of the present configurations, which stay as they are: each site's smallest partner.

        -> (*batch, n_sites), for ``improved_two_point``; bonds only, no ghost. Draws from the chains' generator.
        """
        return connected_components(drawn_bonds(self.model, chains), _ends(self.model), self.model.n_sites)

    def step(self, chains: Chains) -> dict[str, Tensor]:
        if chains.x.device.type != "cpu":
            labels = torch_step(self.model, chains)
            sizes = cluster_sizes(labels)
            happened = {"clusters": (sizes > 0).sum(-1), "largest": sizes.amax(-1)}
            squared = improved_magnetization_squared(labels)
        else:
            counts = np.empty((chains.batch.numel(), 3), np.int64)
            self._run(chains, 1, counts)
            clusters, largest, squares = torch.from_numpy(counts).reshape(*chains.batch, 3).unbind(-1)
            happened = {"clusters": clusters, "largest": largest}
            squared = squares.double() / self.model.n_sites**2
        return happened if self._in_field else happened | {"magnetization_squared": squared}

    def advance(self, chains: Chains, steps: int) -> None:
        """Take many steps, the same as so many calls of ``step``."""
        if chains.x.device.type == "cpu":
            self._run(chains, steps, np.empty((0, 3), np.int64))
        else:
            for _ in range(steps):
                torch_step(self.model, chains)

    def _run(self, chains: Chains, steps: int, counts: Any) -> None:
        x = working_spins(chains)
        flat = x.detach().reshape(-1, x.shape[-1]).numpy()
        beta = betas(chains)
        with torch_threads():
            for words in step_seeds(steps, len(flat), chains.rng):
                _chains(flat, beta, words, *self._tables, counts)
        chains.x = x


def _ends(model: Ising) -> Tensor:
    return torch.from_numpy(model.graph.bonds).to(model.device)


def drawn_bonds(model: Ising, chains: Chains) -> Tensor:
    """The active bonds of each chain at random, in plain torch; -> (*batch, n_bonds)."""
    left, right = _ends(model).unbind(-1)
    x = chains.x
    u = torch.rand(*chains.batch, len(left), generator=chains.rng, device=x.device, dtype=torch.float64)
    return bond_activation(x[..., left] == x[..., right], 2 * model.couplings, chains.beta, u)


@torch.no_grad()
def torch_step(model: Ising, chains: Chains) -> Tensor:
    """One step in plain torch, on any device; returns the labels of the components, (*batch, n_sites)."""
    x, rng = chains.x, chains.rng
    labels = propagated_components(drawn_bonds(model, chains), _ends(model), model.n_sites)
    signs = torch.randint(2, x.shape, generator=rng, device=x.device).to(x) * 2 - 1
    if bool(model.fields.any()):
        u = torch.rand(x.shape, generator=rng, device=x.device, dtype=torch.float64)
        bound = bond_activation(x * model.fields > 0, 2 * model.fields.abs(), chains.beta, u)
        kept = torch.zeros_like(labels).scatter_reduce_(-1, labels, bound.long(), "amax").bool()
        signs = torch.where(kept, x, signs)
    chains.x = signs.gather(-1, labels)
    return labels


@njit(cache=True, nogil=True)
def _bind_to_ghost(x: Any, signs: Any, bounds: Any, kinds: Any, state: Any, parent: Any, kept: Any) -> None:
    """Mark the roots of the components that an aligned field holds; 32 random bits a site."""
    flatten(parent)
    kept[:] = False
    for site in range(len(x)):
        bound = threshold_of(bounds, kinds, np.uint64(site))
        if (next_word(state) >> HALF) < bound and x[site] == signs[site]:
            kept[parent[site]] = True


@njit(cache=True, nogil=True)
def _assign(x: Any, parent: Any, kept: Any, state: Any) -> None:
    """Draw a sign for every root that is not kept, and give it to the component; leaves ``parent`` flat."""
    word = next_word(state)
    for site in range(len(x)):
        if site & 63 == 0:
            word = next_word(state)
        root = parent[parent[site]]
        parent[site] = root
        sign = np.float32(2.0) * np.float32(word & ONE) - np.float32(1.0)
        word >>= ONE
        # A root comes before its component, so its place already holds the new sign.
        x[site] = x[root] if root != site or (len(kept) > 0 and kept[site]) else sign


@njit(cache=True, nogil=True)
def _count(parent: Any, counts: Any) -> None:
    """Clusters, largest cluster, sum of squared sizes."""
    sizes = np.zeros(len(parent), np.int64)
    for root in parent:
        sizes[root] += 1
    counts[:] = 0
    for size in sizes:
        counts[0] += size > 0
        counts[1] = max(counts[1], size)
        counts[2] += size * size


@njit(cache=True, nogil=True, parallel=True)
def _chains(
    x: Any,
    beta: Any,
    seeds: Any,
    later: Any,
    earlier: Any,
    gains: Any,
    kinds: Any,
    ghost_gains: Any,
    ghost_kinds: Any,
    signs: Any,
    counts: Any,
) -> None:
    """The steps of each chain, one after the other; counts: (n_chains, 3), of the last one, or empty."""
    for chain in prange(len(x)):
        spins = x[chain]
        bounds, ghost_bounds = thresholds(beta[chain], gains), thresholds(beta[chain], ghost_gains)
        active = np.empty(len(later) + 1, np.uint32)
        parent = np.empty(len(spins), np.uint32)
        kept = np.empty(len(signs), np.bool_)
        for step in range(len(seeds)):
            state = seeds[step, chain]
            count = activate(spins, later, earlier, bounds, kinds, state, active)
            unite(later, earlier, active, count, parent)
            if len(signs) > 0:
                _bind_to_ghost(spins, signs, ghost_bounds, ghost_kinds, state, parent, kept)
            _assign(spins, parent, kept, state)
        if len(counts) > 0:
            _count(parent, counts[chain])
