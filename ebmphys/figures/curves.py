"""Observables against temperature, and how far each is from where it should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ebmphys.figures.style import (
    EXACT,
    INK,
    WIDTH,
    axis_label,
    colours,
    legend_below,
    literal,
    markers,
    new_figure,
    plain,
)

PANELS = (
    "energy_per_site",
    "abs_magnetization",
    "specific_heat",
    "susceptibility",
    "binder_cumulant",
    "correlation_length",
)
_DODGE = 0.012  # of the range of temperatures, so that ensembles that agree can both be seen
_SPREAD = 0.036  # of the range, that all of them may take


def curves(table: Mapping[str, Any], observables: Sequence[str] = PANELS) -> Figure:
    """Each observable against temperature with error bars, exact values or lines, and T_c; below it the deviation.

    The lower strip shows the deviation from the exact value where one is known and else from the reference, in the
    observable's own unit.
    """
    rows = table["rows"]
    shown = [name for name in observables if any(r["observable"] == name and r["value"] is not None for r in rows)]
    columns = min(3, max(len(shown), 1))
    lines = -(-len(shown) // columns) or 1
    figure = new_figure(WIDTH, 3.3 * lines + 0.4)
    grid = figure.add_gridspec(2 * lines, columns, height_ratios=[3, 1.1] * lines)
    drawn = []
    for k, name in enumerate(shown):
        line, column = divmod(k, columns)
        upper = figure.add_subplot(grid[2 * line, column])
        lower = figure.add_subplot(grid[2 * line + 1, column], sharex=upper)
        _panel(upper, lower, table, name)
        drawn += [upper, lower]
    legend_below(figure, drawn)
    return figure


def _panel(upper: Axes, lower: Axes, table: Mapping[str, Any], name: str) -> None:
    names = [table["reference"], *table["samples"]]
    colour, marker = colours(names[0], names[1:]), markers(names[0], names[1:])
    rows = [r for r in table["rows"] if r["observable"] == name and r["value"] is not None]
    temperatures = sorted({r["temperature"] for r in rows})
    dodge = min(_DODGE, _SPREAD / len(names)) * (temperatures[-1] - temperatures[0])
    _exact(upper, table, name, rows)
    for k, ensemble in enumerate(names):
        own = sorted((r for r in rows if r["sample"] == ensemble), key=lambda r: r["temperature"])
        style: dict[str, Any] = {
            "color": colour[ensemble],
            "marker": marker[ensemble],
            "markersize": 4.5,
            "linestyle": "none",
            "elinewidth": 1.2,
            "capsize": 2,
        }
        # The reference, first, stays in its place; samples are to its right and left in turn.
        aside = dodge * ((k + 1) // 2) * (1 if k % 2 else -1)
        where = {r["temperature"]: r["temperature"] + aside for r in own}
        for axes, what in ((upper, "value"), (lower, "deviation")):
            points = [r for r in own if r[what] is not None]
            x, y = [where[r["temperature"]] for r in points], [r[what] for r in points]
            axes.errorbar(x, y, yerr=[r["error"] or 0.0 for r in points], label=literal(ensemble), zorder=3, **style)
    lower.axhline(0, color=EXACT, linewidth=0.8, zorder=1)
    if table["exact"]["critical_temperature"] is not None:
        _critical(upper, lower, table["exact"]["critical_temperature"], temperatures)
    upper.set_ylabel(axis_label(table["definitions"]["observables"][name]))
    lower.set_ylabel("deviation")
    lower.set_xlabel("T [J/$k_B$]")
    for axes in (upper, lower):
        plain(axes)
    upper.tick_params(labelbottom=False)


def _exact(axes: Axes, table: Mapping[str, Any], name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """The exact curve where there is one, else a short bar at each temperature with a known value."""
    curve = table["exact"]["curves"].get(name)
    if curve:
        axes.plot(curve["temperature"], curve["value"], color=EXACT, linewidth=1.1, label="exact", zorder=2)
        return
    known = {r["temperature"]: r["exact"] for r in rows if r["exact"] is not None}
    if known:
        style: dict[str, Any] = {"marker": "_", "markersize": 18, "linestyle": "none"}
        axes.plot(list(known), list(known.values()), color=EXACT, label="exact", zorder=2, **style)


def _critical(upper: Axes, lower: Axes, critical: float, temperatures: Sequence[float]) -> None:
    """A dotted line at T_c, where the axis would show it anyway."""
    margin = 0.1 * (temperatures[-1] - temperatures[0])
    if temperatures[0] - margin <= critical <= temperatures[-1] + margin:
        for axes in (upper, lower):
            axes.axvline(critical, color="#888888", linewidth=0.9, linestyle=":", zorder=0, label="$T_c$ (L → ∞)")


def pulls(table: Mapping[str, Any], temperature: float) -> Figure:
    """z of every counted observable of every sample at one temperature, with the band |z| <= 2.

    The axis is linear up to |z| = 3 and logarithmic beyond.
    """
    here = [r for r in table["rows"] if r["temperature"] == temperature and r["counted"]]
    wanted = [r for r in here if r["sample"] in table["samples"]]
    names = [n for n in table["definitions"]["observables"] if any(r["observable"] == n for r in wanted)]
    colour, marker = colours(table["reference"], table["samples"]), markers(table["reference"], table["samples"])
    figure = new_figure(WIDTH * 0.62, 0.33 * len(names) + 1.3)
    axes = plain(figure.add_subplot())
    axes.axvspan(-2, 2, color="#000000", alpha=0.07, linewidth=0)
    axes.axvline(0, color=INK, linewidth=0.8)
    for k, sample in enumerate(table["samples"]):
        own = {r["observable"]: r["z"] for r in wanted if r["sample"] == sample and r["z"] is not None}
        step = min(0.22, 0.7 / len(table["samples"]))
        height = [names.index(n) + step * (k - (len(table["samples"]) - 1) / 2) for n in own]
        style: dict[str, Any] = {"color": colour[sample], "marker": marker[sample], "linestyle": "none"}
        axes.plot(list(own.values()), height, label=literal(sample), markersize=6, **style)
    largest = max((abs(r["z"]) for r in wanted if r["z"] is not None), default=0.0)
    axes.set_xscale("symlog", linthresh=3, linscale=1.5)
    reach = max(4.0, 1.5 * largest)
    axes.set_xlim(-reach, reach)
    axes.set_xticks([t for t in (-1000, -100, -10, -2, 0, 2, 10, 100, 1000) if abs(t) <= reach])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "−"))
    axes.minorticks_off()
    axes.set_yticks(np.arange(len(names)), [table["definitions"]["observables"][n]["symbol"] for n in names])
    axes.invert_yaxis()
    axes.set_xlabel(f"z at T = {temperature:.4g}")
    legend_below(figure, [axes])
    return figure
