"""How training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ebmphys.figures.style import WIDTH, literal, new_figure, plain

_PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_LOGARITHMIC = ("kl", "learning_rate")
_COSTS = ("epoch", "updates", "seconds")  # axes to draw against, not results


def training(history: Sequence[Mapping[str, Any]], x: str = "epoch") -> Figure:
    """Every result in the records of a training against ``epoch``, ``updates`` or ``seconds``, one panel each.

    Quantities with ``kl`` or ``learning_rate`` in their name are drawn on a logarithmic axis where all their values
    are positive; values that are missing, None or nan are left out. Raises ValueError where no record has ``x``.
    """
    if not any(x in record for record in history):
        raise ValueError(f"no record of the history has {x!r}")
    places = _column(history, x)
    names = dict.fromkeys(name for record in history for name in record if name not in _COSTS)
    columns = {name: values for name in names if np.isfinite(values := _column(history, name)).any()}
    across = min(3, max(len(columns), 1))
    lines = -(-len(columns) // across) or 1
    figure = new_figure(WIDTH, 2.6 * lines)
    grid = figure.subplots(lines, across, squeeze=False).ravel()
    for k, (name, values) in enumerate(columns.items()):
        axes = plain(grid[k])
        finite = values[np.isfinite(values)]
        # Values on some epochs only are marked, or a single one between gaps would not be seen.
        mark = "o" if len(finite) < len(places) else ""
        keep = np.isfinite(values)
        colour = _PALETTE[k % len(_PALETTE)]
        axes.plot(places[keep], values[keep], color=colour, linewidth=1.3, marker=mark, markersize=3)
        if any(part in name for part in _LOGARITHMIC) and finite.min() > 0:
            axes.set_yscale("log")
        axes.set_xlabel(literal(x))
        axes.set_ylabel(literal(name.replace("_", " ")))
    for axes in grid[len(columns) :]:
        axes.set_visible(False)
    return figure


def _column(history: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.float64]:
    """One quantity over all records, nan where it is missing or no number."""
    values = [record.get(name) for record in history]
    return np.array([float(v) if isinstance(v, int | float) else np.nan for v in values])
