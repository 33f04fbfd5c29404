"""The sweep of one colour in Triton: as in the compiled kernel, with tiles of sites by 16 words for vectors.

A decision R < p is made from FRESH planes of random bits and then, where some spin of the tile is still tied, from more
of them up to PLANES. Random words are Philox's of (place in the block, block, sweep, plane): what is drawn for a spin
depends on that spin alone, and neither tile, nor grid, nor device changes a result.
"""

# Triton has no starred tuples, and mypy no tuples that grow.
# ruff: noqa: RUF005
# mypy: disable-error-code="assignment"

from __future__ import annotations

import triton
import triton.language as tl

from ebmphys.samplers.multispin.gpu.random import philox
from ebmphys.samplers.multispin.gpu.rules import HEAT_BATH, METROPOLIS, balanced, choose, count, majority, threshold

WORDS = tl.constexpr(16)  # of 32 bits, in a slot
PLANES = tl.constexpr(32)


@triton.jit(do_not_specialize=["ahead", "first", "last"])
def sweep_colour(
    words: tl.tensor, thresholds: tl.tensor, order: tl.tensor, near: tl.tensor, flips: tl.tensor, key: tl.tensor,
    sweeps: tl.tensor, numbers: tl.tensor, given: tl.tensor,
    ahead: tl.tensor, first: tl.tensor, last: tl.tensor, n_chunks: tl.tensor, n_slots: tl.tensor, n_sites: tl.tensor,
    RULE: tl.constexpr, DEGREE: tl.constexpr, PER: tl.constexpr, CLASSES: tl.constexpr, ONE_BETA: tl.constexpr,
    FRESH: tl.constexpr, SHARED: tl.constexpr, GIVEN: tl.constexpr, ROWS: tl.constexpr, CHUNK: tl.constexpr,
) -> None:  # fmt: skip
    """Update the sites ``first`` to ``last`` in order: in each program CHUNK of one block, ROWS at a time.

    words: (blocks, n_slots, WORDS); thresholds: planes (blocks, CLASSES, PLANES, WORDS), or where ONE_BETA serves each
    block numbers (blocks, CLASSES) of PLANES bits; order, near: of ``Layout``, times WORDS; flips: WORDS, 1 or 0 words
    a bond as PER says; key: two words; sweeps: how many came before, to which ``ahead`` is added; given:
    (blocks, n_sites, PLANES, WORDS) random words, used instead of Philox's where GIVEN.
    """
    program = tl.program_id(0)
    block = program // n_chunks
    begin = first + (program % n_chunks) * CHUNK
    end = tl.minimum(begin + CHUNK, last)
    word = tl.arange(0, WORDS)[None, :]
    number = tl.load(numbers + (tl.zeros([ROWS, 1], tl.int32) + word))
    here = words + block.to(tl.int64) * (n_slots * WORDS)
    if ONE_BETA:
        thresholds += block * CLASSES
    else:
        thresholds += block.to(tl.int64) * (CLASSES * PLANES * WORDS)
    drawn = (block, tl.load(sweeps) + ahead, tl.load(key), tl.load(key + 1), given, n_sites)
    for start in range(begin, end, ROWS):
        row = start + tl.arange(0, ROWS)
        i = tl.minimum(row, end - 1)
        slot = tl.multiple_of(tl.load(order + i), WORDS)[:, None]
        at = slot + number
        around = neighbours(here, near, flips, i, word, DEGREE, PER)
        own = around[0]
        if RULE >= METROPOLIS:
            own = tl.load(here + (slot + word))
        if RULE == METROPOLIS:
            around = turned(around, own, DEGREE)
        one, two, four = count(around, DEGREE)
        spins = (one, two, four, own)
        below, top, tied = compare(at, drawn, thresholds, spins, RULE, DEGREE, CLASSES, ONE_BETA, FRESH, SHARED, GIVEN)
        if not SHARED:
            below = settle(below, tied, at, drawn, thresholds, spins, RULE, DEGREE, CLASSES, ONE_BETA, FRESH, GIVEN)
        if RULE >= METROPOLIS:
            below ^= own
        if RULE == HEAT_BATH:
            below ^= majority(one, two, four, DEGREE)
            if DEGREE % 2 == 0:
                below = choose(balanced(one, two, DEGREE), ~top, below)
        tl.store(here + (slot + word), below, mask=(row < end)[:, None])


@triton.jit
def neighbours(
    here: tl.tensor,
    near: tl.tensor,
    flips: tl.tensor,
    i: tl.tensor,
    word: tl.tensor,
    DEGREE: tl.constexpr,
    PER: tl.constexpr,
) -> tl.tensor:
    """The words of all neighbours, turned over where their J < 0."""
    around = ()
    for k in tl.static_range(DEGREE):
        bond = i * DEGREE + k
        v = tl.load(here + (tl.multiple_of(tl.load(near + bond), WORDS)[:, None] + word))
        if PER == WORDS:
            v ^= tl.load(flips + (bond[:, None] * WORDS + word))
        elif PER == 1:
            v ^= tl.load(flips + bond)[:, None]
        else:
            v ^= tl.load(flips)
        around = around + (v,)
    return around


@triton.jit
def turned(around: tl.tensor, by: tl.tensor, DEGREE: tl.constexpr) -> tl.tensor:
    """All neighbours turned over where ``by``."""
    result = ()
    for k in tl.static_range(DEGREE):
        result = result + (around[k] ^ by,)
    return result


@triton.jit
def random_words(at: tl.tensor, drawn: tl.tensor, group: tl.tensor, GIVEN: tl.constexpr) -> tl.tensor:
    """Four planes of random words, from plane 4 ``group`` on."""
    block, sweep, key_0, key_1, given, n_sites = drawn
    if GIVEN:
        first = given + block * (n_sites * PLANES * WORDS) + (at // WORDS) * (PLANES * WORDS)
        first += at % WORDS + group * (4 * WORDS)
        r = tl.load(first), tl.load(first + WORDS), tl.load(first + 2 * WORDS), tl.load(first + 3 * WORDS)
    else:
        # The high half of the count of sweeps stands above the number of the group.
        c3 = (sweep >> 32).to(tl.int32) * (PLANES // 4) + group
        r = philox(at, block, sweep.to(tl.int32), c3, key_0, key_1)
    return r


@triton.jit
def plane_of(
    plane: tl.tensor, at: tl.tensor, thresholds: tl.tensor, spins: tl.tensor,
    RULE: tl.constexpr, DEGREE: tl.constexpr, CLASSES: tl.constexpr, ONE_BETA: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """One plane of every spin's p."""
    p = ()
    for c in tl.static_range(CLASSES):
        if ONE_BETA:
            p = p + ((tl.load(thresholds + c) << plane) >> (PLANES - 1),)
        else:
            # Addresses of the tile's own shape, or Triton would carry the words over through shared memory.
            p = p + (tl.load(thresholds + ((c * PLANES + plane) * WORDS + at % WORDS)),)
    return threshold(p, spins, RULE, DEGREE)


@triton.jit
def compare(
    at: tl.tensor, drawn: tl.tensor, thresholds: tl.tensor, spins: tl.tensor,
    RULE: tl.constexpr, DEGREE: tl.constexpr, CLASSES: tl.constexpr, ONE_BETA: tl.constexpr,
    FRESH: tl.constexpr, SHARED: tl.constexpr, GIVEN: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """R < p by FRESH planes; the first plane; and where all have been those of p, unless SHARED has settled that."""
    below = at ^ at
    tied = ~below
    r = (below, below, below, below)
    # From the lowest plane up, so that each one overrules those before it.
    for group in tl.static_range(FRESH // 4 - 1, -1, -1):
        r = random_words(at, drawn, group, GIVEN)
        if SHARED and group == FRESH // 4 - 1:
            below = shared(r, thresholds, spins, RULE, DEGREE, CLASSES, FRESH)
        for k in tl.static_range(3, -1, -1):
            p = plane_of(4 * group + k, at, thresholds, spins, RULE, DEGREE, CLASSES, ONE_BETA)
            below = (p & ~r[k]) | (~(p ^ r[k]) & below)
            if not SHARED:
                tied &= ~(p ^ r[k])
    return below, r[0], tied


@triton.jit
def shared(
    r: tl.tensor, thresholds: tl.tensor, spins: tl.tensor,
    RULE: tl.constexpr, DEGREE: tl.constexpr, CLASSES: tl.constexpr, FRESH: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """Ties of 32 replicas settled by one word, for a beta that they share.

    The word is made of three planes, turned so that no two spins' own bits settle any bit of it: whatever they are, it
    is uniform for both.
    """
    number = r[0] ^ rotated(r[1], 8) ^ rotated(r[2], 16)
    p = ()
    for c in tl.static_range(CLASSES):
        rest = (tl.load(thresholds + c) << FRESH).to(tl.uint32, bitcast=True)
        p = p + (tl.where(number.to(tl.uint32, bitcast=True) < rest, -1, 0),)
    return threshold(p, spins, RULE, DEGREE)


@triton.jit
def rotated(word: tl.tensor, by: tl.constexpr) -> tl.tensor:
    """A word turned towards its upper end."""
    word = word.to(tl.uint32, bitcast=True)
    return ((word << by) | (word >> (32 - by))).to(tl.int32, bitcast=True)


@triton.jit
def any_bit(a: tl.tensor, b: tl.tensor) -> tl.tensor:
    """Bits set in either."""
    return a | b


@triton.jit
def settle(
    below: tl.tensor, tied: tl.tensor, at: tl.tensor, drawn: tl.tensor, thresholds: tl.tensor, spins: tl.tensor,
    RULE: tl.constexpr, DEGREE: tl.constexpr, CLASSES: tl.constexpr, ONE_BETA: tl.constexpr,
    FRESH: tl.constexpr, GIVEN: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """Ties settled by further planes, four at a time, as long as there are any in the tile."""
    group = FRESH // 4
    while (group < PLANES // 4) & (tl.reduce(tied, None, any_bit) != 0):
        r = random_words(at, drawn, group, GIVEN)
        for k in tl.static_range(4):
            p = plane_of(4 * group + k, at, thresholds, spins, RULE, DEGREE, CLASSES, ONE_BETA)
            below |= tied & p & ~r[k]
            tied &= ~(p ^ r[k])
        group += 1
    return below
