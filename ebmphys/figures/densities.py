"""Histograms of energy and magnetization, and the two-point function, of every ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ebmphys.figures.style import WIDTH, colours, legend_below, literal, markers, new_figure, plain

_SYMBOLS = {"energy_per_site": "e [J]", "magnetization": "m"}


class Density(Protocol):
    """A density on equal bins with its error, (bin,) each."""

    @property
    def centres(self) -> Any: ...
    @property
    def density(self) -> Any: ...
    @property
    def error(self) -> Any: ...
    @property
    def width(self) -> float: ...


class Panel(Protocol):
    """The densities of one quantity at one temperature, by the name of the ensemble."""

    @property
    def temperature(self) -> float: ...
    @property
    def quantity(self) -> str: ...
    @property
    def of(self) -> Mapping[str, Any]: ...


def histograms(panels: Sequence[Panel], reference: str, samples: Sequence[str]) -> Figure:
    """Normalised histograms with an error bar a bin: the reference filled, samples as steps; one row a temperature."""
    temperatures = sorted({p.temperature for p in panels})
    quantities = list(dict.fromkeys(p.quantity for p in panels))
    colour = colours(reference, samples)
    figure = new_figure(WIDTH, 2.5 * len(temperatures) + 0.4)
    grid = figure.subplots(len(temperatures), len(quantities), squeeze=False)
    for panel in panels:
        axes = plain(grid[temperatures.index(panel.temperature), quantities.index(panel.quantity)])
        for name in (reference, *samples):
            if name in panel.of:
                _density(axes, panel.of[name], colour[name], literal(name), filled=name == reference)
        symbol = _SYMBOLS.get(panel.quantity, panel.quantity)
        axes.set_xlabel(symbol)
        axes.set_ylabel(f"density of {symbol.split()[0]}")
        axes.set_ylim(bottom=0)
        axes.set_title(f"T = {panel.temperature:.4g}", fontsize=9, loc="left")
    legend_below(figure, list(grid.ravel()))
    return figure


def _density(axes: Axes, density: Density, colour: str, label: str, *, filled: bool) -> None:
    left = density.centres - density.width / 2
    edges = np.append(left, left[-1] + density.width)
    if filled:
        axes.stairs(density.density, edges, fill=True, color=colour, alpha=0.28, linewidth=0, label=label)
    axes.stairs(density.density, edges, color=colour, linewidth=0.8 if filled else 1.4, label=None if filled else label)
    style: dict[str, Any] = {"color": colour, "linestyle": "none", "elinewidth": 0.8}
    axes.errorbar(density.centres, density.density, yerr=density.error, **style)


def correlations(table: Mapping[str, Any], temperatures: Sequence[float]) -> Figure:
    """The two-point function G(r) = <s s'> along the axes with error bars, one panel a temperature."""
    names = [table["reference"], *table["samples"]]
    colour, marker = colours(names[0], names[1:]), markers(names[0], names[1:])
    figure = new_figure(min(WIDTH, 3.6 * len(temperatures) + 1.4), 3.4)
    grid = figure.subplots(1, len(temperatures), squeeze=False, sharey=True)[0]
    for axes, temperature in zip(grid, temperatures, strict=True):
        plain(axes)
        for k, name in enumerate(names):
            for one in table["correlations"]:
                if one["sample"] == name and one["temperature"] == temperature:
                    error = [e or 0.0 for e in one["error"]]
                    style: dict[str, Any] = {"color": colour[name], "marker": marker[name], "markersize": 4.5}
                    style |= {"capsize": 2, "linewidth": 1, "zorder": 3 + k, "label": literal(name)}
                    axes.errorbar(one["r"], one["value"], error, **style)
        axes.set_xlabel("r [a]")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(f"T = {temperature:.4g}", fontsize=9, loc="left")
    grid[0].set_ylabel("G(r)")
    legend_below(figure, list(grid))
    return figure
