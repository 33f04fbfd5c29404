"""The update rules in bits: the few probabilities that a count of neighbours chooses from, and what a decision does.

A spin has z neighbours (each turned over where its J < 0), u of them up, in a field h. Each rule sorts spins into
classes, decides R < p(class) for each, and combines the decision with a bit that is known:

- heat bath without field: p = 1 / (1 + exp(2 beta J a)) with a = |2u - z|, to point against the majority;
- heat bath in a field: p = 1 / (1 + exp(-2 beta (J (2u - z) + h))), to point up;
- Metropolis without field: p = attempt min(1, exp(-2 beta J (z - 2c))), to flip, c neighbours being opposite;
- Metropolis in a field: p = attempt min(1, exp(-beta dE)), to flip, from u and the spin's own value.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ebmphys.samplers.multispin.vector import chosen_for

Real = NDArray[np.float64]


class Rule(IntEnum):
    """An update rule, without and with a field."""

    HEAT_BATH = 0
    HEAT_BATH_FIELD = 1
    METROPOLIS = 2
    METROPOLIS_FIELD = 3


def probabilities(rule: Rule, degree: int, beta: Real, coupling: float, field: float, attempt: float) -> Real:
    """p of each class in the order of ``class_masks``; beta (...) -> (..., n_classes)."""
    scale = beta[..., None]
    local = coupling * (2 * np.arange(degree + 1) - degree) + field
    with np.errstate(over="ignore"):
        if rule == Rule.HEAT_BATH:
            return 1 / (1 + np.exp(2 * scale * coupling * np.arange(degree, 0, -2)))
        if rule == Rule.HEAT_BATH_FIELD:
            return 1 / (1 + np.exp(-2 * scale * local))
        if rule == Rule.METROPOLIS:
            opposite = np.arange((degree + 1) // 2)
            cost = np.append(2 * coupling * (degree - 2 * opposite), 0.0)
        else:
            cost = np.stack([-2 * local, 2 * local], -1).ravel()  # down, then up, for each count
        return attempt * np.exp(-scale * cost).clip(max=1)


@njit(forceinline=True)
def add3(a: Any, b: Any, c: Any) -> Any:
    """The two bits of a + b + c."""
    partial = a ^ b
    return partial ^ c, (a & b) | (c & partial)


@njit(forceinline=True)
def is_count(bits: Any, k: int) -> Any:
    """Which spins count exactly k."""
    one, two, four = bits
    low = one if k & 1 else ~one
    middle = two if k & 2 else ~two
    high = four if k & 4 else ~four
    return low & middle & high


def count(v: Any) -> Any:
    """Bits 1, 2 and 4 of the sum of 2, 3, 4 or 6 vectors."""


@chosen_for(count)
def _count(v: Any) -> Callable[..., Any]:
    def two(v: Any) -> Any:
        return v[0] ^ v[1], v[0] & v[1], v[0] ^ v[0]

    def three(v: Any) -> Any:
        low, high = add3(v[0], v[1], v[2])
        return low, high, low ^ low

    def four(v: Any) -> Any:
        low, high, left, right = v[0] ^ v[1], v[2] ^ v[3], v[0] & v[1], v[2] & v[3]
        return low ^ high, left ^ right ^ (low & high), left & right

    def six(v: Any) -> Any:
        low, left = add3(v[0], v[1], v[2])
        high, right = add3(v[3], v[4], v[5])
        middle, upper = add3(left, right, low & high)
        return low ^ high, middle, upper

    return {2: two, 3: three, 4: four, 6: six}[v.count]


def class_masks(bits: Any, own: Any, degree: int, rule: int) -> Any:
    """One mask of spins for each class of ``probabilities``; of a = 0 see ``even_chance``."""


@chosen_for(class_masks)
def _class_masks(bits: Any, own: Any, degree: Any, rule: Any) -> Callable[..., Any]:
    kind = Rule(rule.literal_value)
    if kind == Rule.METROPOLIS_FIELD:

        def both(bits: Any, own: Any, degree: Any, rule: Any) -> Any:
            counts = counts_up(bits, degree)
            return all_and(counts, ~own, own)

        return both
    return {Rule.HEAT_BATH: _STRENGTHS, Rule.METROPOLIS: _COSTS, Rule.HEAT_BATH_FIELD: _COUNTS}[kind][
        degree.literal_value
    ]


def majority(bits: Any, degree: int) -> Any:
    """Which spins have more than half of their neighbours up, anything where it is just half."""


@chosen_for(majority)
def _majority(bits: Any, degree: Any) -> Callable[..., Any]:
    return {
        2: lambda bits, degree: bits[1],
        3: lambda bits, degree: bits[1],
        4: lambda bits, degree: bits[2] | (bits[0] & bits[1]),
        6: lambda bits, degree: bits[2],
    }[degree.literal_value]


def even_chance(bits: Any, degree: int, rule: int) -> Any:
    """Which spins are up or down with p = 1/2: those with a = 0 under the heat bath without field."""


@chosen_for(even_chance)
def _even_chance(bits: Any, degree: Any, rule: Any) -> Callable[..., Any]:
    if rule.literal_value != Rule.HEAT_BATH:
        return lambda bits, degree, rule: bits[0] ^ bits[0]
    return {
        2: lambda bits, degree, rule: bits[0],
        3: lambda bits, degree, rule: bits[0] ^ bits[0],
        4: lambda bits, degree, rule: bits[1] & ~bits[0],
        6: lambda bits, degree, rule: bits[0] & bits[1],
    }[degree.literal_value]


_STRENGTHS: dict[int, Callable[..., Any]] = {
    2: lambda bits, own, degree, rule: (~bits[0],),
    3: lambda bits, own, degree, rule: (~(bits[0] ^ bits[1]), bits[0] ^ bits[1]),
    4: lambda bits, own, degree, rule: (~(bits[0] | bits[1]), bits[0]),
    6: lambda bits, own, degree, rule: (
        ~(bits[0] | (bits[1] ^ bits[2])),
        bits[0] & ~bits[1],
        (bits[1] ^ bits[2]) & ~bits[0],
    ),
}
_COSTS: dict[int, Callable[..., Any]] = {
    2: lambda bits, own, degree, rule: (~(bits[0] | bits[1]), bits[0] | bits[1]),
    3: lambda bits, own, degree, rule: (~(bits[0] | bits[1]), bits[0] & ~bits[1], bits[1]),
    4: lambda bits, own, degree, rule: (~(bits[0] | bits[1] | bits[2]), bits[0] & ~bits[1], bits[1] | bits[2]),
    6: lambda bits, own, degree, rule: (
        is_count(bits, 0),
        is_count(bits, 1),
        is_count(bits, 2),
        bits[2] | (bits[0] & bits[1]),
    ),
}
_COUNTS: dict[int, Callable[..., Any]] = {
    z: lambda bits, own, degree, rule: counts_up(bits, degree) for z in (2, 3, 4, 6)
}


def counts_up(bits: Any, degree: int) -> Any:
    """The masks of spins that count 0, 1, ..., z."""


@chosen_for(counts_up)
def _counts_up(bits: Any, degree: Any) -> Callable[..., Any]:
    def up_to_two(bits: Any, degree: Any) -> Any:
        return is_count(bits, 0), is_count(bits, 1), is_count(bits, 2)

    def up_to_three(bits: Any, degree: Any) -> Any:
        return is_count(bits, 0), is_count(bits, 1), is_count(bits, 2), is_count(bits, 3)

    def up_to_four(bits: Any, degree: Any) -> Any:
        return is_count(bits, 0), is_count(bits, 1), is_count(bits, 2), is_count(bits, 3), is_count(bits, 4)

    def up_to_six(bits: Any, degree: Any) -> Any:
        return (
            is_count(bits, 0),
            is_count(bits, 1),
            is_count(bits, 2),
            is_count(bits, 3),
            is_count(bits, 4),
            is_count(bits, 5),
            is_count(bits, 6),
        )

    return {2: up_to_two, 3: up_to_three, 4: up_to_four, 6: up_to_six}[degree.literal_value]


def all_and(masks: Any, first: Any, second: Any) -> Any:
    """Masks a, b, ... -> a & first, a & second, b & first, b & second, ..."""


@chosen_for(all_and)
def _all_and(masks: Any, first: Any, second: Any) -> Callable[..., Any]:
    if masks.count == 1:
        return lambda masks, first, second: (masks[0] & first, masks[0] & second)
    return lambda masks, first, second: (masks[0] & first, masks[0] & second, *all_and(masks[1:], first, second))
