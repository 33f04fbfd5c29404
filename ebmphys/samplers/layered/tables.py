"""Heat-bath sweeps of two layers of two-valued units without a matrix product.

Four units have sixteen states, so the field of a layer is a sum of table rows, one for every four units of the other
layer, and a row serves all chains in which those four are alike: a quarter of the additions of a matrix product and no
multiplication (the method of the four Russians; Arlazarov, Dinic, Kronrod and Faradzhev 1970). Fields stay in registers
until sixteen units at once are decided, and a word holds sixty-four units of a chain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from torch import Tensor

from ebmphys.energies import TwoLayers
from ebmphys.samplers.compiled import Words
from ebmphys.samplers.layered.base import CHUNK, PackedSweeps
from ebmphys.samplers.layered.floats import heat_bath_bits, load_floats
from ebmphys.samplers.multispin.kernel import STREAM, next_vector
from ebmphys.samplers.multispin.vector import LANES, load
from ebmphys.samplers.two_valued import seed
from ebmphys.units import Unit

TILE = 64  # units a word, and sums in registers at a time
MOST_WEIGHTS = 2**19  # the tables of more, sixteen times their size, would not stay near the processor
_FOURS, _STATES = TILE // 4, 16
_FIFTEEN, _4, _16, _32, _48 = (np.uint64(n) for n in (15, 4, 16, 32, 48))


class TabulatedSweeps(PackedSweeps):
    """``PackedSweeps`` of any weights between the layers."""

    def __init__(self, model: TwoLayers, beta: Tensor, x: Tensor) -> None:
        super().__init__(model, beta, x)
        given = model.couplings()
        self.up = _Direction(given.weights, given.hidden_bias, model.visible, model.hidden)
        self.down = _Direction(given.weights.T, given.visible_bias, model.hidden, model.visible)

    def _sweep(self, keys: Words, threaded: bool) -> None:
        v = np.empty((len(self.x), self.up.words), np.uint64)
        h = np.empty((len(self.x), self.down.words), np.uint64)
        _pack(self.x, 0, self.split, v)
        kernel = _sweeps_threaded if threaded else _sweeps
        kernel(keys, v, h, self.up.table, self.up.bias, self.down.table, self.down.bias, self.rates)
        low, high, hidden_low, hidden_high = self.ends
        _unpack(v, self.x, 0, self.split, low, high)
        _unpack(h, self.x, self.split, self.x.shape[1], hidden_low, hidden_high)


class _Direction:
    """The fields that a layer exerts on the other: ``table`` (tiles, fours, 16, 64) and ``bias`` (tiles, 64), flat."""

    def __init__(self, weights: Tensor, bias: Tensor, source: Unit, target: Unit) -> None:
        # Linear for two-valued units: scaled beforehand, the sums are natural parameters.
        rows, columns = weights.shape
        self.words, tiles = -(-rows // TILE), -(-columns // TILE)
        wide = np.zeros((self.words * TILE, tiles * TILE), np.float32)
        wide[:rows, :columns] = target.natural(weights.detach()).numpy()
        self.bias = np.zeros(tiles * TILE, np.float32)
        self.bias[:columns] = target.natural(bias.detach()).numpy()
        low, high = (np.float32(value) for value in source.values)
        self.table = np.empty(tiles * self.words * _FOURS * _STATES * TILE, np.float32)
        _tabulate(wide, low, high, self.table)


@njit(cache=True, nogil=True)
def _tabulate(weights: Any, low: Any, high: Any, table: Any) -> None:
    """The sums of every four rows over their sixteen states, the unit of bit k being the k-th of the four."""
    fours, tiles = weights.shape[0] // 4, weights.shape[1] // TILE
    for tile in range(tiles):
        for four in range(fours):
            begin = (tile * fours + four) * _STATES * TILE
            some = weights[4 * four : 4 * four + 4, tile * TILE : (tile + 1) * TILE]
            for c in range(TILE):
                table[begin + c] = low * (some[0, c] + some[1, c] + some[2, c] + some[3, c])
            for k in range(4):
                for state in range(1 << k):
                    source, target = begin + state * TILE, begin + (state + (1 << k)) * TILE
                    for c in range(TILE):
                        table[target + c] = table[source + c] + (high - low) * some[k, c]


@njit(cache=True, nogil=True)
def _half(begin: int, end: int, source: Any, table: Any, bias: Any, rates: Any, state: Any, target: Any) -> Any:
    """One layer of some chains drawn from the other; returns the stream after it."""
    words, tiles = source.shape[1], target.shape[1]
    for tile in range(tiles):
        place = tile * TILE
        for row in range(begin, end):
            a, b = load_floats(bias, place), load_floats(bias, place + 16)
            c, d = load_floats(bias, place + 32), load_floats(bias, place + 48)
            at = tile * words * _FOURS * _STATES * TILE
            for number in range(words):
                word = source[row, number]
                for _ in range(_FOURS):
                    entry = at + np.intp(word & _FIFTEEN) * TILE
                    a = a + load_floats(table, entry)
                    b = b + load_floats(table, entry + 16)
                    c = c + load_floats(table, entry + 32)
                    d = d + load_floats(table, entry + 48)
                    word >>= _4
                    at += _STATES * TILE
            rate = rates[row]
            random, state = next_vector(state)
            bits = heat_bath_bits(a, rate, random)
            random, state = next_vector(state)
            bits |= heat_bath_bits(b, rate, random) << _16
            random, state = next_vector(state)
            bits |= heat_bath_bits(c, rate, random) << _32
            random, state = next_vector(state)
            target[row, tile] = bits | (heat_bath_bits(d, rate, random) << _48)
    return state


@njit(cache=True, nogil=True)
def _chunk(chunk: int, keys: Any, v: Any, h: Any, up: Any, up_bias: Any, down: Any, down_bias: Any, rates: Any) -> None:
    begin, end = chunk * CHUNK, min((chunk + 1) * CHUNK, len(v))
    stream = np.empty(STREAM, np.uint64)
    for step in range(len(keys)):
        seed(stream, keys[step], chunk)
        state = (load(stream, 0), load(stream, LANES), load(stream, 2 * LANES), load(stream, 3 * LANES))
        state = _half(begin, end, v, up, up_bias, rates, state, h)
        _half(begin, end, h, down, down_bias, rates, state, v)


@njit(cache=True, nogil=True)
def _sweeps(keys: Any, v: Any, h: Any, up: Any, up_bias: Any, down: Any, down_bias: Any, rates: Any) -> None:
    for chunk in range(-(-len(v) // CHUNK)):
        _chunk(chunk, keys, v, h, up, up_bias, down, down_bias, rates)


@njit(cache=True, nogil=True, parallel=True)
def _sweeps_threaded(keys: Any, v: Any, h: Any, up: Any, up_bias: Any, down: Any, down_bias: Any, rates: Any) -> None:
    for chunk in prange(-(-len(v) // CHUNK)):
        _chunk(chunk, keys, v, h, up, up_bias, down, down_bias, rates)


@njit(cache=True, nogil=True)
def _pack(x: Any, first: int, stop: int, words: Any) -> None:
    """A set bit for each positive value of sites ``first`` to ``stop``, the first the lowest; the rest unset."""
    for row in range(len(x)):
        for number in range(words.shape[1]):
            word, begin = np.uint64(0), first + number * TILE
            for k in range(min(TILE, stop - begin)):
                word |= np.uint64(x[row, begin + k] > 0) << np.uint64(k)
            words[row, number] = word


@njit(cache=True, nogil=True)
def _unpack(words: Any, x: Any, first: int, stop: int, low: Any, high: Any) -> None:
    for row in range(len(x)):
        for site in range(stop - first):
            bit = (words[row, site // TILE] >> np.uint64(site % TILE)) & np.uint64(1)
            x[row, first + site] = high if bit else low
