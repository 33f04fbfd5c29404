"""How training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from ebmphys.figures.style import REFERENCE, WIDTH, literal, new_figure, plain

_PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_LOGARITHMIC = ("kl", "learning_rate")
_BASELINE = "_independent"  # one number, and far from where a training ends
_COSTS = ("epoch", "updates", "seconds")  # axes to draw against, not results
_AXES = {"seconds": "CPU seconds"}
Columns = Mapping[str, NDArray[np.float64]]


def _error(name: str) -> str:
    return f"{name}_error"


@dataclass(frozen=True)
class _Panel:
    """One quantity: columns to draw as lines, what they ought to be, and the two ends that the first lies between."""

    label: str
    lines: tuple[str, ...]
    ideal: str = ""
    ends: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.lines, self.ideal, *self.ends, *map(_error, self.ends))


_TOGETHER = (
    _Panel("KL estimate [nats]", ("kl_estimate",), ends=("kl_estimate_low", "kl_estimate_high")),
    _Panel("log likelihood [nats]", ("log_likelihood",), ends=("log_likelihood_low", "log_likelihood_high")),
    _Panel("energy per site u", ("chain_energy_per_site",), "data_energy_per_site"),
    _Panel(r"$\langle|m|\rangle$", ("chain_abs_magnetization",), "data_abs_magnetization"),
    _Panel("share with m > 0", ("chain_positive",), "data_positive"),
    _Panel("chains - data [sigma]", ("energy_per_site_deviation", "abs_magnetization_deviation")),
    _Panel("singular values of W", ("singular_value_1", "singular_value_2", "singular_value_3")),
    _Panel("tau of the chains [steps]", ("chain_tau",)),
    _Panel("share of trades, the least", ("swap_rate",)),
    _Panel("KL [nats]", ("kl",)),
)
_SHORT = {"energy_per_site_deviation": "u", "abs_magnetization_deviation": "|m|"}


def training(history: Sequence[Mapping[str, Any]], x: str = "epoch") -> Figure:
    """The results in the records of a training against ``epoch``, ``updates`` or ``seconds``, one panel a quantity.

    Chains are drawn as lines, the data that they ought to meet dashed beside them, a bracketed likelihood as the band
    that both ends' error bars span, whichever end is the lower.
    Quantities with ``kl`` or ``learning_rate`` in their name are drawn on a logarithmic axis where all their values are
    positive; values that are missing, None or nan are left out. Raises ValueError where no record has ``x``.
    """
    if not any(x in record for record in history):
        raise ValueError(f"no record of the history has {x!r}")
    places = _column(history, x)
    names = dict.fromkeys(name for record in history for name in record if not (name in _COSTS or _BASELINE in name))
    columns = {name: values for name in names if np.isfinite(values := _column(history, name)).any()}
    panels = list(dict.fromkeys(_panel_of(name, columns) for name in columns))
    across = min(3, max(len(panels), 1))
    rows = -(-len(panels) // across) or 1
    figure = new_figure(WIDTH, 2.6 * rows)
    grid = figure.subplots(rows, across, squeeze=False).ravel()
    for axes, panel in zip(grid, panels, strict=False):
        _draw(plain(axes), panel, places, columns)
        axes.set_xlabel(literal(_AXES.get(x, x)))
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    return figure


def _panel_of(name: str, columns: Columns) -> _Panel:
    """The panel that a column belongs to: one it shares, if its first line is there, or one of its own."""
    shared = next((panel for panel in _TOGETHER if name in panel.names and set(panel.lines) & set(columns)), None)
    return _Panel(name.replace("_", " "), (name,)) if shared is None else shared


def _draw(axes: Axes, panel: _Panel, places: NDArray[np.float64], columns: Columns) -> None:
    lines = [name for name in panel.lines if name in columns]
    for k, name in enumerate(lines):
        at, values = _finite(places, columns[name])
        # Values on some epochs only are marked, or a single one between gaps would not be seen.
        mark = "o" if len(at) < len(places) else ""
        label = _SHORT.get(name, name.removeprefix("singular_value_"))
        axes.plot(at, values, color=_PALETTE[k], linewidth=1.3, marker=mark, markersize=3, label=label)
    if panel.ends and set(panel.ends) <= set(columns):
        axes.fill_between(*_span(panel.ends, places, columns), color=_PALETTE[0], alpha=0.2, linewidth=0)
    if panel.ideal in columns:
        at, values = _finite(places, columns[panel.ideal])
        axes.plot(at, values, color=REFERENCE, linewidth=1.1, linestyle="--", label="data")
        axes.lines[0].set_label("chains")
    if "sigma" in panel.label:
        axes.axhspan(-2, 2, color=REFERENCE, alpha=0.12, linewidth=0)
    drawn = np.concatenate(
        [columns[name][np.isfinite(columns[name])] for name in (*lines, panel.ideal) if name in columns]
    )
    if any(part in name for name in panel.lines for part in _LOGARITHMIC) and drawn.min() > 0:
        _logarithmic(axes, drawn)
    if "share" in panel.label:
        axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel(literal(panel.label) if "langle" not in panel.label else panel.label)
    if len(axes.lines) > 1:
        axes.legend(frameon=False, fontsize=8)


def _span(
    ends: tuple[str, ...], places: NDArray[np.float64], columns: Columns
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Where both ends are known, the least and the greatest value that the error bars of either reach.

    The ends are noisy and may change places, which the lower and the upper edge of this cannot.
    """
    values = np.array([columns[end] for end in ends])
    errors = np.array([np.nan_to_num(columns.get(_error(end), np.zeros(len(places)))) for end in ends])
    known = np.isfinite(values).all(axis=0)
    low, high = (values - errors).min(axis=0), (values + errors).max(axis=0)
    return places[known], low[known], high[known]


def _logarithmic(axes: Axes, values: NDArray[np.float64]) -> None:
    """A logarithmic axis with numbers as they are written, between the decades too where there are few of those.

    A band that reaches zero or less goes down to its edge.
    """
    axes.set_yscale("log")
    axes.set_ylim(bottom=max(axes.get_ylim()[0], values.min() / 3))
    if values.max() < 30 * values.min():
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _finite(places: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    keep = np.isfinite(values)
    return places[keep], values[keep]


def _column(history: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.float64]:
    """One quantity over all records, nan where it is missing or no number."""
    values = [record.get(name) for record in history]
    return np.array([float(v) if isinstance(v, int | float) else np.nan for v in values])
