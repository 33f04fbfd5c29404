"""Heat-bath sweeps of convolutional machines of short reach: sixty-four chains a word, the same unit of each.

A unit is coupled to few others, at the same displacements and with the same weights everywhere, so its fields in
sixteen chains are as many additions as it has bonds, under masks that are the chains' own words.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from torch import Tensor

from ebmphys.energies import ConvolutionalRBM
from ebmphys.lattice import Index
from ebmphys.samplers.compiled import Words
from ebmphys.samplers.layered.base import CHUNK, PackedSweeps
from ebmphys.samplers.layered.floats import add_where, all_floats, heat_bath_bits, load_floats
from ebmphys.samplers.multispin.kernel import STREAM, next_vector
from ebmphys.samplers.multispin.vector import LANES, load
from ebmphys.samplers.two_valued import seed
from ebmphys.units import Unit

CHAINS = 64  # a word
_WORDS = CHUNK // CHAINS  # that share a stream
_SPARSE = 4  # sites a displacement, from which on tables of four units at once take more additions
_16, _32, _48, _1 = (np.uint64(n) for n in (16, 32, 48, 1))


def is_local(model: ConvolutionalRBM) -> bool:
    """Whether adding bond by bond is less work than tables."""
    return _SPARSE * len(model.displacements) <= model.n_visible


class LocalSweeps(PackedSweeps):
    """``PackedSweeps`` of filters that reach over a small part of the lattice."""

    def __init__(self, model: ConvolutionalRBM, beta: Tensor, x: Tensor) -> None:
        super().__init__(model, beta, x)
        n, kernels, displacements = model.n_visible, model.filters.detach(), model.displacements
        spread = np.arange(model.n_filters)[:, None] * n
        back = spread + displacements.behind[:, None, :]  # (site, filter, displacement)
        hidden_bias, visible_bias = model.hidden_bias.detach(), model.visible_bias.detach()
        self.up = _bonds(kernels, hidden_bias, model.visible, model.hidden, displacements.ahead)
        self.down = _bonds(kernels.view(1, -1), visible_bias, model.hidden, model.visible, back.reshape(n, -1))
        words = -(-len(self.x) // CHAINS)
        self.rates = np.concatenate([self.rates, np.zeros(words * CHAINS - len(self.x), np.float32)])

    def _sweep(self, keys: Words, threaded: bool) -> None:
        words, n_sites = len(self.rates) // CHAINS, self.x.shape[1]
        v, h = np.empty((words, self.split), np.uint64), np.empty((words, n_sites - self.split), np.uint64)
        _pack(self.x, 0, v)
        kernel = _sweeps_threaded if threaded else _sweeps
        kernel(keys, v, h, *self.up, *self.down, self.rates)
        low, high, hidden_low, hidden_high = self.ends
        _unpack(v, self.x, 0, low, high)
        _unpack(h, self.x, self.split, hidden_low, hidden_high)


def _bonds(weights: Tensor, bias: Tensor, source: Unit, target: Unit, sites: Index) -> tuple[Any, Any, Any]:
    """What a unit's natural parameter is made of, for each group of units that share weights.

    (groups, bonds), (groups,), and the source of each bond of each unit of a group, (units, bonds) -> what a source's
    upper value adds to its lower one, all sources at their lower value, and the sources.
    """
    low, high = source.values
    at_low = target.natural(bias + low * weights.sum(1))
    gain = target.natural((high - low) * weights)
    return gain.contiguous().numpy(), at_low.contiguous().numpy(), np.ascontiguousarray(sites, np.int32)


@njit(cache=True, nogil=True)
def _half(source: Any, gain: Any, base: Any, sites: Any, rates: Any, state: Any, target: Any) -> Any:
    """One layer of sixty-four chains drawn from the other; returns the stream after it."""
    units, bonds = sites.shape
    ra, rb, rc, rd = (load_floats(rates, 0), load_floats(rates, 16), load_floats(rates, 32), load_floats(rates, 48))
    for group in range(len(base)):
        for unit in range(units):
            a = b = c = d = all_floats(base[group])
            for bond in range(bonds):
                word, weight = source[sites[unit, bond]], gain[group, bond]
                a = add_where(a, word, weight)
                b = add_where(b, word >> _16, weight)
                c = add_where(c, word >> _32, weight)
                d = add_where(d, word >> _48, weight)
            random, state = next_vector(state)
            bits = heat_bath_bits(a, ra, random)
            random, state = next_vector(state)
            bits |= heat_bath_bits(b, rb, random) << _16
            random, state = next_vector(state)
            bits |= heat_bath_bits(c, rc, random) << _32
            random, state = next_vector(state)
            target[group * units + unit] = bits | (heat_bath_bits(d, rd, random) << _48)
    return state


@njit(cache=True, nogil=True)
def _chunk(
    chunk: int,
    keys: Any,
    v: Any,
    h: Any,
    up: Any,
    up_base: Any,
    up_sites: Any,
    down: Any,
    down_base: Any,
    down_sites: Any,
    rates: Any,
) -> None:
    stream = np.empty(STREAM, np.uint64)
    for step in range(len(keys)):
        seed(stream, keys[step], chunk)
        state = (load(stream, 0), load(stream, LANES), load(stream, 2 * LANES), load(stream, 3 * LANES))
        for word in range(chunk * _WORDS, min((chunk + 1) * _WORDS, len(v))):
            own = rates[word * CHAINS : (word + 1) * CHAINS]
            state = _half(v[word], up, up_base, up_sites, own, state, h[word])
            state = _half(h[word], down, down_base, down_sites, own, state, v[word])


@njit(cache=True, nogil=True)
def _sweeps(
    keys: Any, v: Any, h: Any, up: Any, up_b: Any, up_s: Any, down: Any, down_b: Any, down_s: Any, rates: Any
) -> None:
    for chunk in range(-(-len(v) // _WORDS)):
        _chunk(chunk, keys, v, h, up, up_b, up_s, down, down_b, down_s, rates)


@njit(cache=True, nogil=True, parallel=True)
def _sweeps_threaded(
    keys: Any, v: Any, h: Any, up: Any, up_b: Any, up_s: Any, down: Any, down_b: Any, down_s: Any, rates: Any
) -> None:
    for chunk in prange(-(-len(v) // _WORDS)):
        _chunk(chunk, keys, v, h, up, up_b, up_s, down, down_b, down_s, rates)


@njit(cache=True, nogil=True)
def _pack(x: Any, first: int, words: Any) -> None:
    """A set bit for each positive value, the first chain the lowest; from site ``first`` on, (words, n)."""
    words[:] = 0
    for row in range(len(x)):
        k = np.uint64(row % CHAINS)
        own = words[row // CHAINS]
        for site in range(len(own)):
            own[site] |= np.uint64(x[row, first + site] > 0) << k


@njit(cache=True, nogil=True)
def _unpack(words: Any, x: Any, first: int, low: Any, high: Any) -> None:
    for row in range(len(x)):
        k = np.uint64(row % CHAINS)
        own = words[row // CHAINS]
        for site in range(len(own)):
            x[row, first + site] = high if (own[site] >> k) & _1 else low
