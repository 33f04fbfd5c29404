"""Numbers as physicists write them, and the filters of the page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from markupsafe import Markup, escape

_DASH = "–"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def format_estimate(value: float | None, error: float | None) -> str:
    """A value with its standard error in the last digits, the error to two figures: -1.4531(12), 12.3(4.5), 1230(120).

    Without an error bar (None, zero or not finite) the value alone, to six figures; without a value a dash.
    """
    if value is None or not math.isfinite(value):
        return _DASH
    if error is None or not math.isfinite(error) or error <= 0:
        return f"{value:.6g}"
    size = max(_exponent(value), _exponent(error))
    if size < -4 or size > 5:
        scaled = format_estimate(*(float(Decimal(repr(float(x))).scaleb(-size)) for x in (value, error)))
        return f"{scaled}×10{str(size).translate(_SUPERSCRIPT)}"
    last = _exponent(error) - 1
    rounded = _rounded(error, last)
    if rounded.adjusted() > last + 1:  # 9.96 became 10: keep two figures
        last += 1
        rounded = _rounded(error, last)
    shown = _rounded(value, last)
    if last >= 0:
        return f"{int(shown)}({int(rounded)})"
    digits = f"{rounded:f}" if rounded >= 1 else f"{int(rounded.scaleb(-last))}"
    return f"{shown:f}({digits})"


def _rounded(number: float, last: int) -> Decimal:
    """The number rounded to a multiple of 10^last."""
    result = Decimal(repr(float(number))).quantize(Decimal(1).scaleb(last), rounding=ROUND_HALF_EVEN)
    return abs(result) if result == 0 else result


def _exponent(number: float) -> int:
    """Of the leading figure; very low for zero."""
    return Decimal(repr(float(number))).adjusted() if number else -99


def _minus(text: str) -> str:
    """With typographic minus signs."""
    return text.replace("-", "−")


def _number(value: float | None, figures_shown: int = 3) -> str:
    if value is None:
        return _DASH
    mantissa, _, exponent = f"{value:.{figures_shown}g}".partition("e")
    return _minus(mantissa) + (f"×10{str(int(exponent)).translate(_SUPERSCRIPT)}" if exponent else "")


def _estimate(row: Mapping[str, Any] | None) -> str:
    return _DASH if row is None else _minus(format_estimate(row["value"], row["error"]))


def _sigmas(z: float | None) -> str:
    """z as +1.3; beyond 100 without decimals."""
    if z is None:
        return _DASH
    return _minus(f"{z:+.1f}" if abs(z) < 100 else f"{z:+.0f}")


def _signed(value: float) -> str:
    """Two figures and a sign, without an exponent."""
    return _minus(f"{value:+.2g}" if abs(value) < 100 else f"{value:+.0f}")


def _size(z: float | None) -> str:
    """|z| without a sign."""
    return _sigmas(z).lstrip("+")


def _unit(text: str) -> Markup:
    return Markup(str(escape(text)).replace("k_B", "<i>k</i><sub>B</sub>"))


def _words(name: str) -> str:
    return name.replace("_", " ")


FILTERS: dict[str, Any] = {
    "number": _number,
    "estimate": _estimate,
    "sigmas": _sigmas,
    "size": _size,
    "signed": _signed,
    "unit": _unit,
    "words": _words,
}
