"""The same sweep in plain torch, one site at a time and with numbers for bits: to read, and to hold the kernels to.

It uses the same random words in the same order, so that a kernel must agree with it bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ebmphys.samplers.multispin.chains import PackedChains
from ebmphys.samplers.multispin.kernel import FRESH, PLANES, turn_copies
from ebmphys.samplers.multispin.layout import BITS, as_bits, as_words
from ebmphys.samplers.multispin.rules import Rule
from ebmphys.samplers.multispin.vector import LANES

RandomBits = Callable[[Tensor], Tensor]


def reference_sweep(chains: PackedChains, rule: Rule, attempt: float, random: RandomBits | None = None) -> None:
    """One sweep of packed chains, in place.

    random: called with the blocks that need bits, (blocks,) truth values, gives random bits (blocks, BITS); from the
    chains' own streams unless given.
    """
    layout = chains.layout
    draw = (lambda needed: stream_bits(chains, needed)) if random is None else random
    beta = torch.from_numpy(chains.beta_of_bits())
    flips = torch.from_numpy(as_bits(np.broadcast_to(layout.flips, (*layout.flips.shape[:-1], LANES)))).long()
    for colour in range(len(layout.colours) - 1):
        bits = torch.from_numpy(as_bits(chains.words)).long()  # (blocks, slots, BITS)
        for i in range(layout.colours[colour], layout.colours[colour + 1]):
            site = int(layout.order[i])
            around = bits[:, layout.neighbours[i]] ^ (flips[i] if layout.flip_words else flips)
            bits[:, site] = updated(chains, rule, attempt, beta, around.sum(1), bits[:, site], draw)
        chains.words[...] = as_words(bits.numpy())
        turn_copies(chains.words, layout)


def updated(
    chains: PackedChains, rule: Rule, attempt: float, beta: Tensor, up: Tensor, own: Tensor, draw: RandomBits
) -> Tensor:
    """New values of one site's 512 bits, from how many neighbours are up and the values before; all (blocks, BITS)."""
    degree = chains.layout.neighbours.shape[1]
    coupling, field = chains.model.couplings.abs().max().item(), chains.model.fields[0].item()
    local = coupling * (2 * up.double() - degree) + field
    if rule == Rule.HEAT_BATH:
        return (2 * up > degree) ^ below(torch.sigmoid(-2 * beta * local.abs()), draw)
    if rule == Rule.HEAT_BATH_FIELD:
        return below(torch.sigmoid(2 * beta * local), draw).long()
    cost = 2 * (2 * own - 1) * local
    return own ^ below(attempt * torch.exp(-beta * cost).clamp(max=1), draw)


def below(p: Tensor, draw: RandomBits) -> Tensor:
    """Whether a random number R of PLANES bits is below p rounded to as many; both (blocks, BITS).

    The first FRESH bits of R are drawn for all, from the last of them to the first; then one more at a time, for blocks
    in which the bits of some R have all been those of its p.
    """
    target = (p * 2.0**PLANES).round().clamp(0, 2**PLANES - 1).long()
    number = torch.zeros_like(target)
    every = torch.ones(len(p), dtype=torch.bool)
    for plane in range(FRESH - 1, -1, -1):
        number |= draw(every) << (PLANES - 1 - plane)
    for plane in range(FRESH, PLANES):
        rest = PLANES - plane
        tied = ((number >> rest) == (target >> rest)).any(-1)
        if not tied.any():
            break
        number |= (draw(tied) * tied[:, None].long()) << (rest - 1)
    return number < target


def stream_bits(chains: PackedChains, needed: Tensor) -> Tensor:
    """The next 512 bits of the streams of the blocks that need them, xoshiro256++; (blocks,) -> (blocks, BITS)."""
    s = chains.streams[needed.numpy()]
    word = _rotated(s[:, 0] + s[:, 3], 23) + s[:, 0]
    shifted = s[:, 1] << np.uint64(17)
    s[:, 2] ^= s[:, 0]
    s[:, 3] ^= s[:, 1]
    s[:, 1] ^= s[:, 2]
    s[:, 0] ^= s[:, 3]
    s[:, 2] ^= shifted
    s[:, 3] = _rotated(s[:, 3], 45)
    chains.streams[needed.numpy()] = s
    bits = torch.zeros(len(needed), BITS, dtype=torch.long)
    bits[needed] = torch.from_numpy(as_bits(word)).long()
    return bits


def _rotated(words: np.ndarray, by: int) -> np.ndarray:
    return (words << np.uint64(by)) | (words >> np.uint64(64 - by))
