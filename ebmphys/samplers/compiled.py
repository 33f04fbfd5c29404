"""What compiled kernels share: threads that follow torch's, seeds for their streams, and a scalar generator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numba.core.config
import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

Words = NDArray[np.uint64]


@contextmanager
def torch_threads() -> Iterator[int]:
    """Let numba use as many threads as torch does (``OMP_NUM_THREADS``, ``torch.set_num_threads``)."""
    before, asked = numba.get_num_threads(), torch.get_num_threads()
    wanted = min(asked, numba.core.config.NUMBA_NUM_THREADS)
    numba.set_num_threads(wanted)
    try:
        yield wanted
    finally:
        numba.set_num_threads(before)
        # Where both share one OpenMP runtime, numba's first parallel kernel sets torch's threads too.
        torch.set_num_threads(asked)


def seeds(shape: tuple[int, ...], rng: torch.Generator) -> Words:
    """Random 64-bit words to seed the streams of a kernel, from the generator that travels with the chains."""
    words = torch.empty(shape, dtype=torch.int64, device=rng.device)
    # random_() without bounds leaves out the sign bit, so two draws of 32 bits make one word.
    high = words.random_(0, 2**32, generator=rng).clone()
    low = words.random_(0, 2**32, generator=rng)
    return ((high << 32) | low).cpu().numpy().view(np.uint64)


_23, _41, _17, _45, _19 = np.uint64(23), np.uint64(41), np.uint64(17), np.uint64(45), np.uint64(19)
_11, _GRID = np.uint64(11), 2.0**-53


@njit(cache=True, nogil=True, inline="always")
def next_word(state: Any) -> Any:
    """64 random bits of xoshiro256++ (Blackman and Vigna 2021) from a state of four words, not all zero; in place."""
    total = state[0] + state[3]
    word = ((total << _23) | (total >> _41)) + state[0]
    shifted = state[1] << _17
    state[2] ^= state[0]
    state[3] ^= state[1]
    state[1] ^= state[2]
    state[0] ^= state[3]
    state[2] ^= shifted
    state[3] = (state[3] << _45) | (state[3] >> _19)
    return word


@njit(cache=True, nogil=True, inline="always")
def next_uniform(state: Any) -> float:
    """A uniform number in [0, 1) on a grid of 2^-53."""
    return (next_word(state) >> _11) * _GRID
