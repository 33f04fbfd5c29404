"""The update rules of ``multispin.rules`` in Triton, in as few instructions of three inputs as they take."""

# Triton goes on behind a return in an ``if``; so each function here has one, at its end.
# It has no starred tuples, and mypy no tuples that grow.
# ruff: noqa: RUF005
# mypy: disable-error-code="assignment"

from __future__ import annotations

import triton
import triton.language as tl

HEAT_BATH, HEAT_BATH_FIELD, METROPOLIS, METROPOLIS_FIELD = (tl.constexpr(rule) for rule in range(4))


@triton.jit
def choose(where: tl.tensor, yes: tl.tensor, no: tl.tensor) -> tl.tensor:
    """The bits of ``yes`` where ``where`` is set, those of ``no`` elsewhere."""
    return (where & yes) | (~where & no)


@triton.jit
def add3(a: tl.tensor, b: tl.tensor, c: tl.tensor) -> tl.tensor:
    """The two bits of a + b + c."""
    return a ^ b ^ c, (a & b) | (c & (a ^ b))


@triton.jit
def count(v: tl.tensor, DEGREE: tl.constexpr) -> tl.tensor:
    """Bits 1, 2 and 4 of the sum of 2, 3, 4 or 6 words."""
    if DEGREE == 2:
        one, two, four = v[0] ^ v[1], v[0] & v[1], v[0] ^ v[0]
    else:
        low, left = add3(v[0], v[1], v[2])
        if DEGREE == 3:
            one, two, four = low, left, low ^ low
        elif DEGREE == 4:
            one, two, four = low ^ v[3], left ^ (low & v[3]), left & low & v[3]
        else:
            high, right = add3(v[3], v[4], v[5])
            two, four = add3(left, right, low & high)
            one = low ^ high
    return one, two, four


@triton.jit
def majority(one: tl.tensor, two: tl.tensor, four: tl.tensor, DEGREE: tl.constexpr) -> tl.tensor:
    """Which spins have more than half of their neighbours up; anything where it is just half."""
    if DEGREE < 4:
        most = two
    elif DEGREE == 4:
        most = four | (one & two)
    else:
        most = four
    return most


@triton.jit
def balanced(one: tl.tensor, two: tl.tensor, DEGREE: tl.constexpr) -> tl.tensor:
    """Which spins have just half of their neighbours up; of an even degree."""
    if DEGREE == 2:
        half = one
    elif DEGREE == 4:
        half = two & ~one
    else:
        half = one & two
    return half


@triton.jit
def threshold(p: tl.tensor, spins: tl.tensor, RULE: tl.constexpr, DEGREE: tl.constexpr) -> tl.tensor:
    """One plane of every spin's p out of those of the classes, in the order of ``rules.probabilities``.

    Anything where the heat bath without field finds a spin balanced.
    """
    one, two, four, own = spins
    if RULE == HEAT_BATH:
        plane = by_strength(p, one, two, four, DEGREE)
    elif RULE == METROPOLIS:
        plane = by_cost(p, one, two, four, DEGREE)
    else:
        if RULE == METROPOLIS_FIELD:
            chosen = ()
            for u in tl.static_range(DEGREE + 1):
                chosen = chosen + (choose(own, p[2 * u + 1], p[2 * u]),)
        else:
            chosen = p
        plane = by_count(chosen, one, two, four, DEGREE)
    return plane


@triton.jit
def by_strength(p: tl.tensor, one: tl.tensor, two: tl.tensor, four: tl.tensor, DEGREE: tl.constexpr) -> tl.tensor:
    """By |2u - z|, the strongest class first."""
    if DEGREE == 2:
        plane = p[0]
    elif DEGREE == 3:
        plane = choose(one ^ two, p[1], p[0])
    elif DEGREE == 4:
        plane = choose(one, p[1], p[0])
    else:
        plane = choose(one, p[1], choose(two ^ four, p[2], p[0]))
    return plane


@triton.jit
def by_cost(p: tl.tensor, one: tl.tensor, two: tl.tensor, four: tl.tensor, DEGREE: tl.constexpr) -> tl.tensor:
    """By the cost of a flip, the dearest class first; the last one has every spin whose flip costs nothing."""
    if DEGREE == 2:
        plane = choose(one | two, p[1], p[0])
    elif DEGREE == 3:
        plane = choose(two, p[2], choose(one, p[1], p[0]))
    elif DEGREE == 4:
        plane = choose(two | four, p[2], choose(one, p[1], p[0]))
    else:
        plane = choose(four | (one & two), p[3], choose(two, p[2], choose(one, p[1], p[0])))
    return plane


@triton.jit
def by_count(p: tl.tensor, one: tl.tensor, two: tl.tensor, four: tl.tensor, DEGREE: tl.constexpr) -> tl.tensor:
    """By u itself."""
    plane = choose(one, p[1], p[0])
    if DEGREE == 2:
        plane = choose(two, p[2], plane)
    else:
        plane = choose(two, choose(one, p[3], p[2]), plane)
        if DEGREE == 4:
            plane = choose(four, p[4], plane)
        elif DEGREE == 6:
            plane = choose(four, choose(two, p[6], choose(one, p[5], p[4])), plane)
    return plane
