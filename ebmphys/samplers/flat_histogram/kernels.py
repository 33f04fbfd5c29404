"""Single-spin flips with the energy bin kept up to date: Wang and Landau's walk, and one with fixed weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange

from ebmphys.samplers.compiled import next_uniform, next_word

_32 = np.uint64(32)


@njit(cache=True, nogil=True)
def pick_site(n_sites: int, state: Any) -> int:
    """A site at random, each with probability 1 / n_sites to within 2^-32."""
    return int(((next_word(state) >> _32) * np.uint64(n_sites)) >> _32)


@njit(cache=True, nogil=True)
def bins_gained(spins: Any, site: int, neighbours: Any, strengths: Any, fields: Any, spacing: int) -> int:
    """By how many bins the energy would rise if a site flipped."""
    local = fields[site]
    for k in range(neighbours.shape[1]):
        local += strengths[site, k] * spins[neighbours[site, k]]
    return 2 * spins[site] * local // spacing


@njit(cache=True, nogil=True)
def accepted(log_ratio: float, state: Any) -> bool:
    """True with probability min(1, exp(log_ratio))."""
    return log_ratio >= 0 or next_uniform(state) < math.exp(log_ratio)


@njit(cache=True, nogil=True)
def _lowest_estimate(log_g: Any, visited: Any) -> float:
    lowest = math.inf
    for b in range(len(log_g)):
        if visited[b] and log_g[b] < lowest:
            lowest = log_g[b]
    return lowest


@njit(cache=True, nogil=True, parallel=True)
def wang_landau_moves(
    count: int,
    spins: Any,
    bins: Any,
    log_g: Any,
    histogram: Any,
    visited: Any,
    log_f: Any,
    timed: Any,
    done: Any,
    levels: int,
    neighbours: Any,
    strengths: Any,
    fields: Any,
    spacing: int,
    states: Any,
) -> Any:
    """``count`` moves of every walker (the first axis of the arrays, all changed in place).

    The bin in which a walker is after a move, accepted or not, gains log f: the walker's own ``log_f``, or where
    ``timed`` levels / moves done. Returns how many bins each walker saw for the first time; their estimates begin
    at the lowest that the walker has.
    """
    new = np.zeros(len(spins), dtype=np.int64)
    for w in prange(len(spins)):
        here, state = bins[w], states[w]
        for move in range(count):
            site = pick_site(spins.shape[1], state)
            there = here + bins_gained(spins[w], site, neighbours, strengths, fields, spacing)
            if not visited[w, there]:
                log_g[w, there] = _lowest_estimate(log_g[w], visited[w])
                visited[w, there] = True
                new[w] += 1
                spins[w, site] = -spins[w, site]
                here = there
            elif accepted(log_g[w, here] - log_g[w, there], state):
                spins[w, site] = -spins[w, site]
                here = there
            log_g[w, here] += levels / (done[w] + move + 1) if timed[w] else log_f[w]
            histogram[w, here] += 1
        bins[w] = here
        done[w] += count
    return new


@njit(cache=True, nogil=True, parallel=True)
def weighted_sweep(
    spins: Any, bins: Any, log_weight: Any, neighbours: Any, strengths: Any, fields: Any, spacing: int, states: Any
) -> Any:
    """n_sites attempted flips of every chain at sites picked at random, with weights W(bin); -> flips accepted."""
    flips = np.zeros(len(spins), dtype=np.int64)
    for c in prange(len(spins)):
        here, state = bins[c], states[c]
        for _ in range(spins.shape[1]):
            site = pick_site(spins.shape[1], state)
            there = here + bins_gained(spins[c], site, neighbours, strengths, fields, spacing)
            if accepted(log_weight[there] - log_weight[here], state):
                spins[c, site] = -spins[c, site]
                here = there
                flips[c] += 1
        bins[c] = here
    return flips
