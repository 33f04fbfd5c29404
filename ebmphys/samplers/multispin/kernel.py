"""The compiled sweep: 512 spins at a time by bitwise arithmetic, one kernel for every rule, lattice and packing.

Neighbours are added by full adders into the bits of a count. The count picks one of a few probabilities p, and the
decision R < p is made bit by bit from random words: at first FRESH planes of 512 random bits for all spins at once,
then, only where some spin's random bits have all been equal to those of its p, one more plane at a time. Every decision
uses random bits of its own, and its probability is p to PLANES bits exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import njit

from ebmphys.samplers.multispin.layout import Layout, Words
from ebmphys.samplers.multispin.rules import Rule, class_masks, count, even_chance, majority
from ebmphys.samplers.multispin.vector import (
    LANES,
    any_bit,
    broadcast,
    chosen_for,
    load,
    rotate_left,
    shift_left,
    store,
)

PLANES = 32
FRESH = 12  # about a tenth of all vectors then need one more plane; fewer planes or more were slower
STREAM = 4 * LANES  # words of a stream: the four of xoshiro256++ for each lane
_STRIDE = PLANES * LANES
_17, _23, _45, _63, _64 = (np.uint64(n) for n in (17, 23, 45, 63, 64))


@njit(forceinline=True)
def next_vector(s: Any) -> Any:
    """512 random bits, and the state after them: xoshiro256++ (Blackman and Vigna 2021) in each of eight lanes."""
    s0, s1, s2, s3 = s
    bits = rotate_left(s0 + s3, _23) + s0
    shifted = shift_left(s1, _17)
    s2 = s2 ^ s0
    s3 = s3 ^ s1
    return bits, (s0 ^ s3, s1 ^ s2, s2 ^ shifted, rotate_left(s3, _45))


def threshold(masks: Any, thresholds: Any, place: int) -> Any:
    """One plane of every spin's p: that of the one mask it is in, of classes that follow each other in memory."""


@chosen_for(threshold)
def _threshold(masks: Any, thresholds: Any, place: Any) -> Callable[..., Any]:
    if masks.count == 1:
        return lambda masks, thresholds, place: masks[0] & load(thresholds, place)
    return lambda masks, thresholds, place: (
        (masks[0] & load(thresholds, place)) | threshold(masks[1:], thresholds, place + _STRIDE)
    )


@njit(forceinline=True)
def decide(masks: Any, half: Any, thresholds: Any, place: int, s: Any) -> Any:
    """R < p for each of 512 spins, p = 1/2 where ``half``, and the state of the stream after it."""
    below = half ^ half
    tied = ~below
    for back in range(FRESH):
        # From the lowest plane up, so that each one overrules those before it.
        plane = FRESH - 1 - back
        r, s = next_vector(s)
        p = threshold(masks, thresholds, place + plane * LANES)
        if plane == 0:
            p = p | half
        below = (p & ~r) | (~(p ^ r) & below)
        tied = tied & ~(p ^ r)
    plane = FRESH
    while plane < PLANES and any_bit(tied):
        r, s = next_vector(s)
        p = threshold(masks, thresholds, place + plane * LANES)
        below = below | (tied & p & ~r)
        tied = tied & ~(p ^ r)
        plane += 1
    return below, s


@njit(forceinline=True)
def neighbour(words: Any, base: int, near: Any, flips: Any, per: int, i: int, k: int) -> Any:
    """The k-th neighbour of the i-th site in order, turned over where its J < 0; ``per`` as for ``sweeper``."""
    v = load(words, base + near[i, k] * LANES)
    if per == LANES:
        return v ^ load(flips, (i * near.shape[1] + k) * LANES)
    return v ^ broadcast(flips[(i * near.shape[1] + k) * per])


def around(words: Any, base: int, near: Any, flips: Any, per: int, i: int, degree: int) -> Any:
    """All neighbours of the i-th site in order."""


@chosen_for(around)
def _around(words: Any, base: Any, near: Any, flips: Any, per: Any, i: Any, degree: Any) -> Callable[..., Any]:
    def two(words: Any, base: Any, near: Any, flips: Any, per: Any, i: Any, degree: Any) -> Any:
        return neighbour(words, base, near, flips, per, i, 0), neighbour(words, base, near, flips, per, i, 1)

    def three(words: Any, base: Any, near: Any, flips: Any, per: Any, i: Any, degree: Any) -> Any:
        return (*around(words, base, near, flips, per, i, 2), neighbour(words, base, near, flips, per, i, 2))

    def four(words: Any, base: Any, near: Any, flips: Any, per: Any, i: Any, degree: Any) -> Any:
        return (*around(words, base, near, flips, per, i, 3), neighbour(words, base, near, flips, per, i, 3))

    def six(words: Any, base: Any, near: Any, flips: Any, per: Any, i: Any, degree: Any) -> Any:
        return (
            *around(words, base, near, flips, per, i, 4),
            neighbour(words, base, near, flips, per, i, 4),
            neighbour(words, base, near, flips, per, i, 5),
        )

    return {2: two, 3: three, 4: four, 6: six}[degree.literal_value]


def turned(v: Any, by: Any) -> Any:
    """Every vector of a tuple turned over where ``by``."""


@chosen_for(turned)
def _turned(v: Any, by: Any) -> Callable[..., Any]:
    if v.count == 1:
        return lambda v, by: (v[0] ^ by,)
    return lambda v, by: (v[0] ^ by, *turned(v[1:], by))


@njit(forceinline=True)
def turn_copy(words: Any, base: int, ghosts: Any, slot: int, g: int) -> None:
    """Fill a ghost slot: bit b of lane l is bit b + turn of lane l + turn of the source, both cyclically."""
    source, bits, lanes = base + ghosts[g, 0] * LANES, np.uint64(ghosts[g, 1]), ghosts[g, 2]
    for lane in range(LANES):
        word = words[source + (lane + lanes) % LANES]
        words[base + slot * LANES + lane] = (word >> bits) | (word << ((_64 - bits) & _63))


@njit(cache=True, nogil=True)
def _turn_all(words: Any, ghosts: Any, first: int, n_blocks: int) -> None:
    for block in range(n_blocks):
        for g in range(ghosts.shape[0]):
            turn_copy(words, block * (words.size // n_blocks), ghosts, first + g, g)


def turn_copies(words: Words, layout: Layout) -> None:
    """Fill every ghost slot of words (blocks, slots, LANES) from its source."""
    _turn_all(words.reshape(-1), layout.ghosts, len(layout.order), len(words))


@cache
def sweeper(rule: Rule, degree: int, per: int) -> Callable[..., None]:
    """The compiled sweep of a rule on a lattice with so many neighbours.

    per: how many words of ``flips`` each bond has: LANES, 1 (one for all spins of a slot) or 0 (one for all bonds).
    The sweep takes a range of blocks, words (blocks, slots, LANES), thresholds (blocks, classes, PLANES, LANES) and
    streams (blocks, 4, LANES), all flat, the tables of a ``Layout``, and how many sweeps to do. It changes words and
    streams. It holds no lock of Python's and what happens in a block depends on that block alone, so threads may share
    the blocks in any way.
    """
    kind = int(rule)

    @njit(cache=True, nogil=True)
    def sweep(
        first: int, last: int, words: Any, thresholds: Any, streams: Any, order: Any, colours: Any, near: Any,
        flips: Any, ghosts: Any, ghost_colours: Any, sweeps: int,
    ) -> None:  # fmt: skip
        n_blocks = streams.size // STREAM
        for block in range(first, last):
            base = block * (words.size // n_blocks)
            place = block * (thresholds.size // n_blocks)
            stream = block * STREAM
            s = (
                load(streams, stream),
                load(streams, stream + LANES),
                load(streams, stream + 2 * LANES),
                load(streams, stream + 3 * LANES),
            )
            for _ in range(sweeps):
                for colour in range(colours.size - 1):
                    for i in range(colours[colour], colours[colour + 1]):
                        here = base + order[i] * LANES
                        own = load(words, here)
                        near_by = around(words, base, near, flips, per, i, degree)
                        bits = count(turned(near_by, own) if kind == 2 else near_by)
                        known = own if kind >= 2 else majority(bits, degree) if kind == 0 else own ^ own
                        masks = class_masks(bits, own, degree, kind)
                        decision, s = decide(masks, even_chance(bits, degree, kind), thresholds, place, s)
                        store(words, here, known ^ decision)
                    for g in range(ghost_colours[colour], ghost_colours[colour + 1]):
                        turn_copy(words, base, ghosts, order.size + g, g)
            store(streams, stream, s[0])
            store(streams, stream + LANES, s[1])
            store(streams, stream + 2 * LANES, s[2])
            store(streams, stream + 3 * LANES, s[3])

    return sweep
