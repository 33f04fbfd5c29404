"""Recovered couplings against the true ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from ebmphys.figures.style import EXACT, WIDTH, colours, literal, markers, new_figure, plain

Real = NDArray[np.float64]
Found = tuple[ArrayLike, ArrayLike | None]

_DODGE = 0.01  # of the spread of one value, so that methods that agree can all be seen
_FEW_VALUES = 12


def couplings(true: ArrayLike, found: Mapping[str, Found], *, symbol: str = "J") -> Figure:
    """Each method's couplings with error bars against the true ones, the diagonal, and below it the deviation.

    true: (n_bonds,); found: name -> (couplings (n_bonds,), standard errors (n_bonds,) or None). The legend gives the
    relative error, sqrt(sum (J - J*)^2 / sum J*^2). Where the true ones have few values, as in a +-J glass, the bonds
    of one value stand side by side. Where one method is ten times further off than another, deviations are on an axis
    that is linear about zero and logarithmic beyond. Raises ValueError for numbers of couplings that differ.
    """
    exact = np.asarray(true, dtype=np.float64)
    values = {name: _checked(name, pair, len(exact)) for name, pair in found.items()}
    figure = new_figure(WIDTH * 0.62, 6.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1.1])
    place, width = _places(exact)
    _diagonal(upper, exact, width)
    lower.axhline(0, color=EXACT, linewidth=0.9, zorder=1)
    relative = {name: _relative(value, exact) for name, (value, _) in values.items()}
    colour, marker = colours("", list(values)), markers("", list(values))
    for k, (name, (value, error)) in enumerate(values.items()):
        style: dict[str, Any] = {
            "color": colour[name],
            "marker": marker[name],
            "markersize": 3.5,
            "linestyle": "none",
            "elinewidth": 0.9,
            "alpha": 0.8,
        }
        # The closest lies on top of the others.
        x, order = place + width * _DODGE * (k - (len(values) - 1) / 2), 3 + 1 / (1 + relative[name])
        label = f"{literal(name)} ({relative[name]:.2g})"
        upper.errorbar(x, value, yerr=error, label=label, zorder=order, **style)
        lower.errorbar(x, value - exact, yerr=error, zorder=order, **style)
    _wide(lower, [value - exact for value, _ in values.values()])
    upper.set_ylabel(f"recovered {symbol}")
    lower.set_ylabel("deviation")
    lower.set_xlabel(f"true {symbol}")
    for axes in (upper, lower):
        plain(axes)
    upper.legend(title="relative error", title_fontsize=8, fontsize=8, frameon=False, loc="upper left")
    return figure


def _diagonal(axes: Axes, exact: Real, width: float) -> None:
    """Where recovered equals true: a line, or a step a value where bonds are spread about it."""
    style: dict[str, Any] = {"color": EXACT, "linewidth": 0.9, "zorder": 1}
    if width > 0:
        for number, level in enumerate(np.unique(exact)):
            reach = 0.6 * width
            axes.plot([level - reach, level + reach], [level, level], label="" if number else "exact", **style)
        axes.set_xticks(np.unique(exact))
        return
    margin = 0.05 * float(np.ptp(exact) or 1.0)
    ends = [exact.min() - margin, exact.max() + margin]
    axes.plot(ends, ends, label="exact", **style)


def _wide(axes: Axes, deviations: Sequence[Real]) -> None:
    """Logarithmic outside what the closest method needs, where another is ten times further off."""
    reach = [float(abs(deviation).max()) for deviation in deviations]
    if reach and max(reach) > 10 * min(reach) > 0:
        axes.set_yscale("symlog", linthresh=10 ** np.ceil(np.log10(1.5 * min(reach))), linscale=1.5)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "−"))
        axes.minorticks_off()


def _checked(name: str, found: Found, count: int) -> tuple[Real, Real | None]:
    value = np.asarray(found[0], dtype=np.float64)
    error = None if found[1] is None else np.asarray(found[1], dtype=np.float64)
    if value.shape != (count,) or (error is not None and error.shape != (count,)):
        raise ValueError(f"{name} needs one coupling, and one error or None, for each of the {count} true ones")
    return value, error


def _places(exact: Real) -> tuple[Real, float]:
    """Where each bond stands, at its true value or spread about it where many share one, and how wide the spread is."""
    levels, of_level, counts = np.unique(exact, return_inverse=True, return_counts=True)
    if not 1 < len(levels) <= _FEW_VALUES:
        return exact, 0.0
    width = 0.6 * float(np.diff(levels).min())
    rank = np.empty(len(exact))
    rank[np.argsort(of_level, kind="stable")] = np.concatenate([np.linspace(-0.5, 0.5, count) for count in counts])
    return exact + width * rank, width


def _relative(value: Real, exact: Real) -> float:
    scale = float((exact**2).sum())
    return float(np.sqrt(((value - exact) ** 2).sum() / scale)) if scale else float("nan")
