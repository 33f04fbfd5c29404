"""Which figures a comparison has, and at which temperatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ebmphys import figures
from ebmphys.compare import Comparison

History = Sequence[Mapping[str, Any]]
Pictures = Mapping[str, tuple[bytes, str]]  # file stem -> (PNG, what it shows)

_SHOWN_TEMPERATURES = 3


def draw(comparison: Comparison, histories: Mapping[str, History]) -> Pictures:
    """The figures that the comparison has data for."""
    table = comparison.table()
    shown = shown_temperatures(comparison.temperatures, comparison.exact["critical_temperature"])
    middle = shown[len(shown) // 2]
    pictures = {"pulls": (figures.pulls(table, middle), f"z of every observable at T = {middle:.4g}")}
    if len(comparison.temperatures) > 1:
        pictures["curves"] = (figures.curves(table), "observables against temperature, with deviations below each")
    panels = [h for h in comparison.histograms if h.temperature in shown]
    about = "histograms of the energy and the magnetization per site"
    pictures["histograms"] = (figures.histograms(panels, comparison.reference, comparison.samples), about)
    for number, temperature in enumerate(t for t in shown if t in comparison.snapshots):
        picture = figures.snapshots(comparison.snapshots[temperature], temperature)
        pictures[f"snapshots-{number + 1}"] = (picture, f"configurations at T = {temperature:.4g}")
    with_correlations = [t for t in shown if any(c["temperature"] == t for c in comparison.correlations)]
    if with_correlations:
        pictures["correlations"] = (figures.correlations(table, with_correlations), "two-point function G(r)")
    for number, (name, history) in enumerate(histories.items()):
        pictures[f"training-{number + 1}"] = (figures.training(history), f"training of {name}")
    return {name: (figures.png(figure), text) for name, (figure, text) in pictures.items()}


def shown_temperatures(temperatures: Sequence[float], critical: float | None) -> list[float]:
    """At most three temperatures for figures that show a few: the ends and the one nearest to T_c (or the middle)."""
    if len(temperatures) <= _SHOWN_TEMPERATURES:
        return sorted(temperatures)
    inner = sorted(temperatures)[1:-1]
    middle = inner[len(inner) // 2] if critical is None else min(inner, key=lambda t: abs(t - critical))
    return [min(temperatures), middle, max(temperatures)]
