"""Reading packed configurations without unpacking them: counts for energies and magnetizations, bits for files."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ebmphys.samplers.multispin.layout import BITS, Layout, Words, as_bits
from ebmphys.samplers.multispin.vector import LANES, any_bit, broadcast, load, store

_PLANES = 32  # of a count: up to 2^32 bonds
_BEFORE_CARRY = 15  # vectors that a count of four bits can hold


def opposite_bonds(words: Words, layout: Layout) -> NDArray[np.int64]:
    """Bonds that their coupling does not satisfy, for each bit; (blocks, slots, LANES) -> (blocks, BITS)."""
    per = 0 if layout.bond_flips.ndim == 1 else layout.bond_flips.shape[-1]
    return _counts(words, layout.bonds, layout.bond_flips.ravel(), per)


def up_spins(words: Words, layout: Layout) -> NDArray[np.int64]:
    """Spins that are up, for each bit; (blocks, slots, LANES) -> (blocks, BITS)."""
    slots = np.arange(len(layout.order))
    alone = np.stack([slots, np.full_like(slots, layout.zero_slot)], axis=1)
    return _counts(words, alone, np.zeros(1, dtype=np.uint64), 0)


def replica_rows(words: Words, layout: Layout) -> Words:
    """Configurations of replicas one after the other, in the order of bits of ``numpy.packbits`` (as bytes).

    (blocks, slots, LANES) -> (blocks * BITS, ceil(n_sites / 64)) words.
    """
    rows = np.zeros((len(words) * BITS, -(-layout.n_sites // 64)), dtype=np.uint64)
    _transpose(words, layout.n_sites, rows)
    return rows


def _counts(words: Words, pairs: NDArray[np.int64], flips: Words, per: int) -> NDArray[np.int64]:
    planes = np.zeros((len(words), _PLANES, LANES), dtype=np.uint64)
    _tally(words.reshape(-1), pairs, flips, per, planes.reshape(-1), len(words))
    used = len(pairs).bit_length()
    weights = 1 << np.arange(used)
    return np.einsum("bpr,p->br", as_bits(planes[:, :used]).astype(np.int64), weights)


@njit(cache=True, nogil=True)
def _tally(words: Any, pairs: Any, flips: Any, per: int, planes: Any, n_blocks: int) -> None:
    """Count, in bit planes, how often the two slots of a pair differ."""
    for block in range(n_blocks):
        base = block * (words.size // n_blocks)
        into = block * _PLANES * LANES
        none = broadcast(np.uint64(0))
        a, b, c, d = none, none, none, none
        held = 0
        for i in range(pairs.shape[0]):
            v = load(words, base + pairs[i, 0] * LANES) ^ load(words, base + pairs[i, 1] * LANES)
            v = v ^ load(flips, i * LANES) if per == LANES else v ^ broadcast(flips[i * per])
            carry = a & v
            a = a ^ v
            v = b & carry
            b = b ^ carry
            carry = c & v
            c = c ^ v
            d = d ^ carry
            held += 1
            if held == _BEFORE_CARRY or i == pairs.shape[0] - 1:
                v = _add_plane(planes, into, a, none)
                v = _add_plane(planes, into + LANES, b, v)
                v = _add_plane(planes, into + 2 * LANES, c, v)
                v = _add_plane(planes, into + 3 * LANES, d, v)
                plane = 4
                while plane < _PLANES and any_bit(v):
                    v = _add_plane(planes, into + plane * LANES, v, none)
                    plane += 1
                a, b, c, d = none, none, none, none
                held = 0


@njit(forceinline=True)
def _add_plane(planes: Any, at: int, more: Any, carry: Any) -> Any:
    """Add two vectors to a plane of a count; the carry to the next one."""
    old = load(planes, at)
    store(planes, at, old ^ more ^ carry)
    return (old & (more | carry)) | (more & carry)


@njit(cache=True, nogil=True)
def _transpose(words: Any, n_sites: int, rows: Any) -> None:
    square = np.empty(64, dtype=np.uint64)
    for block in range(words.shape[0]):
        for lane in range(LANES):
            for group in range(rows.shape[1]):
                for k in range(64):
                    # Bit k of a little-endian word is site k ^ 7 of numpy's order, the first site highest in its byte.
                    site = 64 * group + (k ^ 7)
                    square[k] = words[block, site, lane] if site < n_sites else np.uint64(0)
                _transpose_square(square)
                first = (block * LANES + lane) * 64
                for k in range(64):
                    rows[first + k, group] = square[k]


@njit(cache=True, nogil=True)
def _transpose_square(square: Any) -> None:
    """Transpose 64 x 64 bits by swapping ever smaller blocks off the diagonal (Warren, Hacker's Delight, 2002)."""
    width = np.uint64(32)
    mask = np.uint64(0x00000000FFFFFFFF)
    while width > np.uint64(0):
        k = 0
        step = int(width)
        while k < 64:
            swap = ((square[k] >> width) ^ square[k + step]) & mask
            square[k] ^= swap << width
            square[k + step] ^= swap
            k = (k + step + 1) & ~step
        width >>= np.uint64(1)
        mask ^= mask << width
