"""Bounds of a likelihood against the number of draws behind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from ebmphys.figures.style import WIDTH, colours, literal, markers, new_figure, plain


def bounds(curves: Mapping[str, Mapping[str, Any]]) -> Figure:
    """IWAE-K against K of one or several models, with error bars, and the exact log-likelihood as a dashed line.

    curves: name -> ``draws``, ``value``, ``error``, a number for each K, and ``exact``, a number or None, as in
    ``dataclasses.asdict`` of a ``likelihood.BoundCurve``. K is on a logarithmic axis and K = 1 the ELBO.
    Raises ValueError without curves, and where values and draws are not equally many.
    """
    if not curves:
        raise ValueError("give at least one curve to draw")
    colour, marker = colours("", list(curves)), markers("", list(curves))
    figure = new_figure(WIDTH * 0.62, 3.6)
    axes = plain(figure.add_subplot())
    for name, curve in curves.items():
        if not len(curve["draws"]) == len(curve["value"]) == len(curve["error"]):
            raise ValueError(f"{name} needs a value and an error for each of its {len(curve['draws'])} draws")
        style: dict[str, Any] = {
            "color": colour[name],
            "marker": marker[name],
            "markersize": 4.5,
            "linewidth": 1.0,
            "capsize": 2,
        }
        axes.errorbar(curve["draws"], curve["value"], yerr=curve["error"], label=literal(name), **style)
        if curve["exact"] is not None:
            axes.axhline(curve["exact"], color=colour[name], linestyle="--", label=f"{literal(name)}, exact")
    axes.set_xscale("log")
    axes.set_xlabel("draws K of the bound (K = 1: ELBO)")
    axes.set_ylabel("log-likelihood [nats per configuration]")
    axes.legend(frameon=False, fontsize=8)
    return figure
