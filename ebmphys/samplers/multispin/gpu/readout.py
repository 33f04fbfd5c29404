"""Ghost slots and counts on the device, without unpacking."""

from __future__ import annotations

import triton
import triton.language as tl

from ebmphys.samplers.multispin.gpu.kernel import WORDS

PAIRS = tl.constexpr(255)  # that a count of eight bits can hold


@triton.jit
def turn_ghosts(
    words: tl.tensor, ghosts: tl.tensor, first: tl.tensor, last: tl.tensor, n_sites: tl.tensor, n_slots: tl.tensor,
    n_groups: tl.tensor, ROWS: tl.constexpr,
) -> None:  # fmt: skip
    """Fill the ghost slots ``first`` to ``last``, ROWS of one block in each program; words (blocks, n_slots, 8) int64.

    Bit b of lane l is bit b + turn of lane l + turn of the source, both cyclically.
    """
    program = tl.program_id(0)
    block = program // n_groups
    ghost = first + (program % n_groups) * ROWS + tl.arange(0, ROWS)
    inside = ghost < last
    lane = tl.arange(0, 8)[None, :]
    here = words + block.to(tl.int64) * (n_slots * 8)
    source = tl.load(ghosts + 3 * ghost, mask=inside, other=0)[:, None]
    bits = tl.load(ghosts + 3 * ghost + 1, mask=inside, other=0)[:, None].to(tl.uint64)
    lanes = tl.load(ghosts + 3 * ghost + 2, mask=inside, other=0)[:, None]
    word = tl.load(here + source * 8 + (lane + lanes) % 8).to(tl.uint64, bitcast=True)
    word = (word >> bits) | (word << ((64 - bits) & 63))
    tl.store(here + (n_sites + ghost)[:, None] * 8 + lane, word.to(tl.int64, bitcast=True), mask=inside[:, None])


@triton.jit
def tally(
    words: tl.tensor, pairs: tl.tensor, flips: tl.tensor, counts: tl.tensor,
    n_pairs: tl.tensor, n_chunks: tl.tensor, n_slots: tl.tensor, PER: tl.constexpr, ROWS: tl.constexpr,
) -> None:  # fmt: skip
    """Add to ``counts``, (blocks, 32 WORDS), how often the two slots of a pair differ, turned over where J < 0.

    Each program has ROWS times PAIRS pairs of a block. pairs: (n_pairs, 2) slots; the rest as for ``sweep_colour``.
    """
    program = tl.program_id(0)
    block = program // n_chunks
    begin = (program % n_chunks) * (ROWS * PAIRS)
    word = tl.arange(0, WORDS)[None, :]
    here = words + block.to(tl.int64) * (n_slots * WORDS)
    none = tl.zeros([ROWS, WORDS], tl.int32)
    b0, b1, b2, b3, b4, b5, b6, b7 = none, none, none, none, none, none, none, none
    for start in range(begin, tl.minimum(begin + ROWS * PAIRS, n_pairs), ROWS):
        pair = start + tl.arange(0, ROWS)
        inside = pair < n_pairs
        left = tl.load(pairs + 2 * pair, mask=inside, other=0)[:, None] * WORDS
        right = tl.load(pairs + 2 * pair + 1, mask=inside, other=0)[:, None] * WORDS
        v = tl.load(here + (left + word)) ^ tl.load(here + (right + word))
        if PER == WORDS:
            v ^= tl.load(flips + (pair[:, None] * WORDS + word), mask=inside[:, None], other=0)
        elif PER == 1:
            v ^= tl.load(flips + pair, mask=inside, other=0)[:, None]
        else:
            v ^= tl.load(flips)
        v = tl.where(inside[:, None], v, 0)
        b0, v = b0 ^ v, b0 & v
        b1, v = b1 ^ v, b1 & v
        b2, v = b2 ^ v, b2 & v
        b3, v = b3 ^ v, b3 & v
        b4, v = b4 ^ v, b4 & v
        b5, v = b5 ^ v, b5 & v
        b6, v = b6 ^ v, b6 & v
        b7 = b7 ^ v
    bit = tl.arange(0, 32)[None, None, :]
    total = tl.zeros([ROWS, WORDS, 32], tl.int32)
    planes = (b0, b1, b2, b3, b4, b5, b6, b7)
    for k in tl.static_range(8):
        total += ((planes[k][:, :, None] >> bit) & 1) << k
    here = counts + block.to(tl.int64) * (32 * WORDS)
    at = tl.arange(0, WORDS)[:, None] * 32 + tl.arange(0, 32)[None, :]
    tl.atomic_add(here + at, tl.sum(total, 0))
