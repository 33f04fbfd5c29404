"""Heat-bath draws of two-valued units in one pass: random words, logistic function and decision in a compiled kernel.

The decision u < 1 / (1 + exp(-t)) is made as u + u exp(-t) < 1, with u on a grid of 2^-24 and exp by a polynomial of
its own, which compilers turn into vector instructions. A key of four words, drawn from the generator that travels with
the chains, seeds a stream for every chunk of rows, and chunks depend on the shape alone, so that the draws are the
same for any number of threads.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import njit, prange, types
from numba.extending import intrinsic
from torch import Tensor

from ebmphys.samplers.base import scaled
from ebmphys.samplers.compiled import Words, torch_threads
from ebmphys.samplers.multispin.kernel import STREAM, next_vector
from ebmphys.samplers.multispin.vector import LANES, load, store
from ebmphys.units import Bit, Spin, Unit

_CHUNK = 4096  # units drawn at a time: their words, fields and values stay in the first cache
_WORTH_THREADS = 2**18  # units, about a tenth of a millisecond
PER_NAT = np.float32(-1 / math.log(2))
GRID = np.float32(2**24)
LIMIT = np.float32(126)  # 2^126 is still finite, and beyond 2^24 nothing changes but for u = 0
ROUND = np.float32(1.5 * 2**23)  # added to a number, leaves its nearest integer in the low bits
_EIGHT, _EXPONENT = np.uint32(8), np.int32(23)
# 2^f = sum c_k f^k on [-1/2, 1/2], Remez' minimax polynomial in relative error: 8e-8, 2e-7 with the rounding.
EXP2 = tuple(np.float32(c) for c in (1.00000007, 0.693146968, 0.240221143, 0.055507096, 0.00967575764, 0.00132779389))
_C0, _C1, _C2, _C3, _C4, _C5 = EXP2
_GOLDEN, _MIX1, _MIX2 = (np.uint64(c) for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_27, _30, _31 = np.uint64(27), np.uint64(30), np.uint64(31)


class CompiledDraw:
    """Draws of a block's two-valued units, written into x: prepared once, called once a sweep.

    P(upper value) = 1 / (1 + exp(-beta eta)) to 2^-24. x: (*batch, n_sites); beta broadcasts against the batch.
    For units, configurations and sites that ``compiles``.
    """

    def __init__(self, unit: Unit, beta: Tensor, x: Tensor, sites: Tensor | slice) -> None:
        self.x, self.sites, self.beta = x, sites, beta
        low, high = unit.values
        self.shared = beta.numel() == 1  # else beta is multiplied in before
        rate = PER_NAT * np.float32(float(beta)) if self.shared else PER_NAT
        self.numbers = (rate, np.float32(low), np.float32(high))
        # Sites that do not lie side by side are drawn aside first.
        self.aside = None if isinstance(sites, slice) else x.new_empty(*x.shape[:-1], len(sites))
        target = x if self.aside is None else self.aside
        self.target = target.detach().flatten(0, -2).numpy()
        self.first = (sites.start or 0) if isinstance(sites, slice) else 0

    def __call__(self, eta: Tensor, key: Words) -> None:
        """One draw of the block; eta: (*batch, n) at beta = 1, ``key`` four random words."""
        if not self.shared:
            eta = scaled(self.beta, eta, eta.shape[:-1])
        fields = eta.detach().flatten(0, -2).contiguous().numpy()
        if fields.size < _WORTH_THREADS or torch.get_num_threads() == 1:
            _draw(key, fields, *self.numbers, self.target, self.first)
        else:
            with torch_threads():
                _draw_threaded(key, fields, *self.numbers, self.target, self.first)
        if self.aside is not None:
            self.x[..., self.sites] = self.aside
        elif not self.x.is_inference():
            torch.autograd.graph.increment_version(self.x)  # numpy writes past autograd, which could not object then


def compiles(unit: Unit, x: Tensor, sites: Tensor | slice) -> bool:
    """Whether ``CompiledDraw`` can do it: spins and bits in float32 on the CPU, chains in one piece, at least one."""
    place = x.device.type == "cpu" and x.dtype == torch.float32 and x.is_contiguous() and x.ndim > 1
    return place and isinstance(unit, Spin | Bit) and (isinstance(sites, Tensor) or sites.step in (None, 1))


@intrinsic
def _as_float(typing_context: Any, bits: Any) -> Any:
    """The float32 with these bits."""
    return types.float32(types.int32), lambda context, builder, signature, args: builder.bitcast(
        args[0], ir.FloatType()
    )


@intrinsic
def _as_bits(typing_context: Any, number: Any) -> Any:
    """The bits of a float32."""
    return types.int32(types.float32), lambda context, builder, signature, args: builder.bitcast(
        args[0], ir.IntType(32)
    )


@njit(cache=True, nogil=True, inline="always")
def _exp2(t: Any) -> Any:
    """2^t in float32 for |t| <= 126: the nearest whole number goes into the exponent, a polynomial takes the rest."""
    shifted = t + ROUND
    f = t - (shifted - ROUND)
    p = ((((_C5 * f + _C4) * f + _C3) * f + _C2) * f + _C1) * f + _C0
    return _as_float(_as_bits(p) + (_as_bits(shifted) << _EXPONENT))


@njit(cache=True, nogil=True, fastmath={"contract"})
def decide(words: Any, eta: Any, rate: Any, low: Any, high: Any, out: Any) -> None:
    """The upper value where u < 1 / (1 + 2^(rate eta)), u the upper 24 bits of a 32-bit word; the lower elsewhere."""
    for i in range(eta.size):
        u = np.float32(np.int32(words[i] >> _EIGHT))
        odds = _exp2(min(max(eta[i] * rate, -LIMIT), LIMIT))
        out[i] = high if u * odds + u < GRID else low


@njit(cache=True, nogil=True)
def fill(stream: Any, words: Any) -> None:
    """Random words from a stream of xoshiro256++ in eight lanes; the length a multiple of eight."""
    state = (load(stream, 0), load(stream, LANES), load(stream, 2 * LANES), load(stream, 3 * LANES))
    for i in range(words.size // LANES):
        word, state = next_vector(state)
        store(words, LANES * i, word)


@njit(cache=True, nogil=True)
def seed(stream: Any, key: Any, chunk: int) -> None:
    """The stream of a chunk: splitmix64 (Steele, Lea and Flood 2014), each word of a state from a word of the key."""
    for i in range(stream.size):
        z = key[i // LANES] + np.uint64(chunk * LANES + i % LANES + 1) * _GOLDEN
        z = (z ^ (z >> _30)) * _MIX1
        z = (z ^ (z >> _27)) * _MIX2
        stream[i] = z ^ (z >> _31)


@njit(cache=True, nogil=True)
def _draw_chunk(chunk: int, per: int, key: Any, eta: Any, rate: Any, low: Any, high: Any, x: Any, first: int) -> None:
    n = eta.shape[1]
    begin, end = chunk * per, min((chunk + 1) * per, len(eta))
    stream, values = np.empty(STREAM, np.uint64), np.empty((end - begin) * n, np.float32)
    words = np.empty(-(-values.size // (2 * LANES)) * LANES, np.uint64)
    seed(stream, key, chunk)
    fill(stream, words)
    decide(words.view(np.uint32), eta[begin:end].reshape(-1), rate, low, high, values)
    # Rows of x lie apart: decisions in one run and copies after are faster than many short runs.
    for row in range(begin, end):
        source, target = values[(row - begin) * n : (row - begin + 1) * n], x[row, first : first + n]
        for i in range(n):
            target[i] = source[i]


@njit(cache=True, nogil=True)
def _draw(key: Any, eta: Any, rate: Any, low: Any, high: Any, x: Any, first: int) -> None:
    per = max(1, _CHUNK // eta.shape[1])
    for chunk in range(-(-len(eta) // per)):
        _draw_chunk(chunk, per, key, eta, rate, low, high, x, first)


@njit(cache=True, nogil=True, parallel=True)
def _draw_threaded(key: Any, eta: Any, rate: Any, low: Any, high: Any, x: Any, first: int) -> None:
    per = max(1, _CHUNK // eta.shape[1])
    for chunk in prange(-(-len(eta) // per)):
        _draw_chunk(chunk, per, key, eta, rate, low, high, x, first)
