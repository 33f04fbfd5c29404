"""Rows of the table: one observable of one ensemble at one temperature, against what it ought to be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ebmphys.compare.definitions import COUNTED, OBSERVABLES
from ebmphys.compare.ensemble import Ensemble
from ebmphys.compare.measure import Measured
from ebmphys.stats import Estimate

SIGMAS = 2.0
_ROUNDING = 1e-6  # deviations below this are float32 sums, not physics
_NO_CHANGE = 1e-9  # relative: error bars below this are rounding in sums of equal numbers

NO_ERROR = "no error bar possible: the series never changes"
ONE_SIGN = "only one sign of the magnetization present"


@dataclass(frozen=True)
class Row:
    """One observable of one sample at one temperature; None where a number cannot be had.

    ``against`` says what z and the deviation are taken from, ``effect`` is the deviation in natural units (see
    ``definitions.METHOD``), ``agrees`` whether |z| <= 2, ``counted`` whether it enters the verdict.
    """

    sample: str
    temperature: float
    observable: str
    value: float | None
    error: float | None
    reference: float | None
    reference_error: float | None
    exact: float | None
    against: str
    deviation: float | None
    effect: float | None
    z: float | None
    agrees: bool | None
    counted: bool
    warning: str


def rows_of(
    sample: Ensemble, measured: Measured, reference: Measured, exact: Mapping[str, float], *, is_reference: bool = False
) -> list[Row]:
    """Every observable of the sample beside the reference's and the exact value.

    The reference has rows of its own (``is_reference``), which are judged against exact values only.
    """
    rows = []
    for name in OBSERVABLES:
        estimate = measured.estimates.get(name)
        if estimate is None:
            continue
        other = None if is_reference else reference.estimates.get(name)
        row = _row(sample, name, estimate, other, exact.get(name), reference.spread.get(name))
        if name == "magnetization" and exact.get(name) == 0 and sample.one_sign:
            row = replace(row, warning="; ".join(filter(None, [row.warning, ONE_SIGN])))
        rows.append(row)
    return rows


def _row(
    sample: Ensemble, name: str, estimate: Estimate, other: Estimate | None, exact: float | None, spread: float | None
) -> Row:
    value, error = finite(estimate.value), _error(estimate)
    theirs = None if other is None else finite(other.value)
    their_error = None if other is None else _error(other)
    against, target, sigma = _target(error, theirs, their_error, exact)
    deviation = value - target if value is not None and target is not None else None
    z = deviation / sigma if deviation is not None and sigma > 0 else None
    return Row(
        sample.name,
        sample.temperature,
        name,
        value,
        error,
        theirs,
        their_error,
        finite(exact),
        against,
        deviation,
        _effect(deviation, target, spread),
        z,
        _agrees(z, deviation),
        name in COUNTED,
        _warning(estimate, value, error),
    )


def _target(
    error: float | None, theirs: float | None, their_error: float | None, exact: float | None
) -> tuple[str, float | None, float]:
    """What to compare with, its value, and the standard error of the difference (0 where there is none).

    A sample that never changes has no error bar; the reference's is then the only one there is.
    """
    if exact is not None and (error is not None or their_error is None):
        return "exact", exact, error or 0.0
    if theirs is not None:
        return "reference", theirs, math.hypot(error or 0.0, their_error or 0.0)
    return "", None, 0.0


def _effect(deviation: float | None, target: float | None, spread: float | None) -> float | None:
    scale = spread if spread is not None else abs(target or 0.0)
    return deviation / scale if deviation is not None and scale > 0 else None


def _agrees(z: float | None, deviation: float | None) -> bool | None:
    if z is not None:
        return abs(z) <= SIGMAS
    return None if deviation is None else abs(deviation) <= _ROUNDING


def _warning(estimate: Estimate, value: float | None, error: float | None) -> str:
    if value is None:
        return "not defined for these draws"
    return NO_ERROR if error is None else estimate.warning


def _error(estimate: Estimate) -> float | None:
    """The error bar, None where it is zero but for rounding (the series never changes) or not a number."""
    error, value = finite(estimate.error), finite(estimate.value)
    return error if error is not None and error > _NO_CHANGE * abs(value or 0.0) else None


def finite(value: float | None) -> float | None:
    """The number as a float, None for nan and infinities."""
    return float(value) if value is not None and math.isfinite(value) else None
