"""Random words by number: Philox 4 x 32 (Salmon, Moraes, Dror and Shaw 2011), ten rounds.

For a word of 32 bits sm_90 takes 4.9 logical instructions and 4.1 multiplications to 64 bits, which have a pipe of
their own, beside 6.5 and 2 for xoshiro128++: less of what there is least of, and no state to be stored and shared out.
"""

from __future__ import annotations

import triton
import triton.language as tl

ROUNDS = tl.constexpr(10)


@triton.jit
def philox(c0: tl.tensor, c1: tl.tensor, c2: tl.tensor, c3: tl.tensor, key_0: tl.tensor, key_1: tl.tensor) -> tl.tensor:
    """The four words that (c0, c1, c2, c3) has under a key; all int32.

    Most of the first two rounds is the same for a whole tile where only c0 varies.
    """
    c0, c1 = c0.to(tl.uint32, bitcast=True), c1.to(tl.uint32, bitcast=True)
    c2, c3 = c2.to(tl.uint32, bitcast=True), c3.to(tl.uint32, bitcast=True)
    key_0, key_1 = key_0.to(tl.uint32, bitcast=True), key_1.to(tl.uint32, bitcast=True)
    for _ in tl.static_range(ROUNDS):
        # Both halves of a product of 64 bits come from one instruction; asked for one by one, from two.
        first = c0.to(tl.uint64) * 0xD2511F53
        second = c2.to(tl.uint64) * 0xCD9E8D57
        c0 = (second >> 32).to(tl.uint32) ^ c1 ^ key_0
        c2 = (first >> 32).to(tl.uint32) ^ c3 ^ key_1
        c1, c3 = second.to(tl.uint32), first.to(tl.uint32)
        key_0 += 0x9E3779B9
        key_1 += 0xBB67AE85
    c0, c1 = c0.to(tl.int32, bitcast=True), c1.to(tl.int32, bitcast=True)
    c2, c3 = c2.to(tl.int32, bitcast=True), c3.to(tl.int32, bitcast=True)
    return c0, c1, c2, c3
