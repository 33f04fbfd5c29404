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
    # torch is asked first: numba's first answer starts its threads, and with them sets torch's on a shared runtime.
    asked, before = torch.get_num_threads(), numba.get_num_threads()
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
    # From -2^63 without an upper bound: all 64 bits, in the order of the shape.
    words = torch.empty(shape, dtype=torch.int64, device=rng.device).random_(-(2**63), None, generator=rng)
    return words.cpu().numpy().view(np.uint64)


_23, _41, _17, _45, _19 = np.uint64(23), np.uint64(41), np.uint64(17), np.uint64(45), np.uint64(19)
_11, _GRID = np.uint64(11), 2.0**-53


@njit(cache=True, nogil=True, inline="always")
def advanced(a: Any, b: Any, c: Any, d: Any) -> Any:
    """64 random bits of xoshiro256++ (Blackman and Vigna 2021) and the four words of its next state, in registers."""
    total = a + d
    word = ((total << _23) | (total >> _41)) + a
    shifted = b << _17
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    return word, a, b, c, (d << _45) | (d >> _19)


@njit(cache=True, nogil=True, inline="always")
def next_word(state: Any) -> Any:
    """The same from a state of four words, not all zero, that is changed in place."""
    word, state[0], state[1], state[2], state[3] = advanced(state[0], state[1], state[2], state[3])
    return word


@njit(cache=True, nogil=True, inline="always")
def next_uniform(state: Any) -> float:
    """A uniform number in [0, 1) on a grid of 2^-53."""
    return (next_word(state) >> _11) * _GRID
