"""Wolff: one cluster, grown from a random site, is flipped."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numba import njit, prange
from numpy.typing import NDArray
from torch import Tensor

from ebmphys.energies import Ising
from ebmphys.lattice import Graph
from ebmphys.samplers.base import Chains, random_chains
from ebmphys.samplers.cluster.bonds import (
    HALF,
    LOW,
    ONE,
    ZERO,
    Gains,
    Indices,
    check_ferromagnet,
    threshold_of,
    thresholds,
)
from ebmphys.samplers.cluster.components import propagated_components
from ebmphys.samplers.cluster.storage import betas, step_seeds, working_spins
from ebmphys.samplers.cluster.swendsen_wang import drawn_bonds
from ebmphys.samplers.compiled import advanced, next_uniform, next_word, torch_threads


@dataclass(frozen=True)
class Wolff:
    """Single-cluster updates of a ferromagnet on any graph (Wolff 1989). One step grows one cluster a chain.

    From a random site, every bond to an equal spin takes it into the cluster with probability 1 - exp(-2 beta J).
    Without fields the cluster is flipped. With fields it is flipped with probability
    min(1, exp(-2 beta sum_C h s)): growing the same cluster before and after the flip differs in probability by the
    Boltzmann factor of the couplings alone, so accepting on the energy in the field is detailed balance; where all
    fields have one sign this is the probability that the cluster is not bound to a ghost spin, and larger where they
    do not. Decisions are resolved to 2^-32, the acceptance in a field to 2^-53. At beta = 0 without fields a step
    flips exactly one spin, so whether the number of up spins is even alternates.
    Returns ``cluster_size``, flipped or not, (*batch,). Raises ValueError for a coupling J < 0.
    """

    model: Ising

    def __post_init__(self) -> None:
        check_ferromagnet(self.model, "Wolff")

    def init(self, *batch: int, beta: Tensor | float = 1.0, rng: torch.Generator) -> Chains:
        return random_chains(self.model, batch, beta, rng)

    @cached_property
    def _tables(self) -> tuple[Any, ...]:
        gains = Gains.of(2 * self.model.couplings)
        steps, kinds, through = neighbour_steps(self.model.graph)
        fields = self.model.fields.cpu().double().numpy()
        return steps, kinds, gains.values, gains.take(through).kinds, fields if fields.any() else fields[:0]

    def step(self, chains: Chains) -> dict[str, Tensor]:
        if chains.x.device.type != "cpu":
            return {"cluster_size": torch_step(self.model, chains)}
        return {"cluster_size": self._run(chains, 1)}

    def advance(self, chains: Chains, steps: int) -> None:
        """Take many steps, the same as so many calls of ``step``."""
        if chains.x.device.type == "cpu":
            self._run(chains, steps)
        else:
            for _ in range(steps):
                torch_step(self.model, chains)

    def _run(self, chains: Chains, steps: int) -> Tensor:
        x = working_spins(chains)
        flat = x.detach().reshape(-1, x.shape[-1]).numpy()
        beta, sizes = betas(chains), np.zeros(len(flat), np.int64)
        # A cluster jumps about in memory: with a byte a spin more of a large lattice stays in the cache.
        spins = flat.astype(np.int8) if steps > 1 else flat
        with torch_threads():
            for words in step_seeds(steps, len(flat), chains.rng):
                _chains(spins, beta, words, *self._tables, sizes)
        if spins is not flat:
            flat[...] = spins
        chains.x = x
        return torch.from_numpy(sizes).reshape(chains.batch)


def neighbour_steps(graph: Graph) -> tuple[Indices, NDArray[np.unsignedinteger], Indices]:
    """Where the neighbours of a site are: its number plus ``steps[kind]`` modulo 2^32, (n_kinds, an even number).

    Sites of one kind have all their neighbours at the same distances; a lattice has a few kinds (inside, edges,
    corners), so that a byte a site says it all and stays in the cache. A missing neighbour is the site itself: being in
    the cluster it is already flipped and never joins again. Also -> kind of each site (n_sites,), in as few bytes as
    will do, and the bonds to the neighbours (n_sites, an even number).
    """
    around, through = graph.neighbours, graph.neighbour_bonds
    spare = ((0, 0), (0, around.shape[1] % 2))
    around, through = (np.pad(table, spare, constant_values=-1) for table in (around, through))
    here = np.arange(graph.n_sites)[:, None]
    steps, kinds = np.unique(np.where(around < 0, 0, around - here), axis=0, return_inverse=True)
    return (
        np.ascontiguousarray(steps % 2**32, np.uint32),
        kinds.ravel().astype(np.min_scalar_type(len(steps) - 1)),
        np.ascontiguousarray(through.clip(min=0), np.uint32),
    )


@torch.no_grad()
def torch_step(model: Ising, chains: Chains) -> Tensor:
    """One step in plain torch, on any device: the component of a random site; returns its size, (*batch,)."""
    x, rng = chains.x, chains.rng
    bonds = torch.from_numpy(model.graph.bonds).to(x.device)
    labels = propagated_components(drawn_bonds(model, chains), bonds, model.n_sites)
    site = torch.randint(model.n_sites, (*chains.batch, 1), generator=rng, device=x.device)
    cluster = labels == labels.gather(-1, site)
    cost = 2 * (cluster * x * model.fields).sum(-1, dtype=torch.float64)
    u = torch.rand(chains.batch, generator=rng, device=x.device, dtype=torch.float64)
    flips = cluster & (u < torch.exp(-chains.beta * cost))[..., None]
    chains.x = torch.where(flips, -x, x)
    return cluster.sum(-1)


@njit(cache=True, nogil=True)
def _grow(x: Any, steps: Any, places: Any, bounds: Any, kinds: Any, state: Any, queue: Any) -> Any:
    """Flip a cluster while it grows, first come first served; its sites are in ``queue``, their number returned.

    Every neighbour is written to the end of the queue and counted or not: what no processor can foresee is no branch.
    """
    site = np.uint32(((next_word(state) >> HALF) * np.uint64(len(x))) >> HALF)
    a, b, c, d = state[0], state[1], state[2], state[3]
    old, new, degree = x[site], -x[site], np.uint64(steps.shape[1])
    x[site], queue[ZERO] = new, site
    head, tail = ZERO, ONE
    while head < tail:
        site = queue[head]
        head += ONE
        place = places[site]
        e = ZERO
        while e < degree:
            word, a, b, c, d = advanced(a, b, c, d)
            for half in (ZERO, HALF):
                j = np.uint32(site + steps[place, e])
                value = x[j]
                joins = (value == old) & (((word >> half) & LOW) < threshold_of(bounds, kinds, (site, e)))
                queue[tail] = j
                tail += ONE if joins else ZERO
                x[j] = new if joins else value
                e += ONE
    state[0], state[1], state[2], state[3] = a, b, c, d
    return tail


@njit(cache=True, nogil=True)
def _reject(x: Any, fields: Any, beta: float, state: Any, queue: Any, size: Any) -> None:
    """Flip a cluster back with the probability that the field asks for."""
    gain = 0.0
    for m in range(size):
        gain += fields[queue[m]] * x[queue[m]]
    if next_uniform(state) >= np.exp(2.0 * beta * gain):
        for m in range(size):
            x[queue[m]] = -x[queue[m]]


@njit(cache=True, nogil=True, parallel=True)
def _chains(
    x: Any, beta: Any, seeds: Any, steps: Any, places: Any, gains: Any, kinds: Any, fields: Any, sizes: Any
) -> None:
    """The steps of each chain, one after the other; sizes: (n_chains,), of the last clusters."""
    for chain in prange(len(x)):
        bounds = thresholds(beta[chain], gains)
        # One place more than sites: the next neighbour is written before it is known whether it joins.
        queue = np.empty(x.shape[1] + 1, np.uint32)
        for number in range(len(seeds)):
            state = seeds[number, chain]
            size = _grow(x[chain], steps, places, bounds, kinds, state, queue)
            if len(fields) > 0:
                _reject(x[chain], fields, beta[chain], state, queue, size)
            sizes[chain] = size
