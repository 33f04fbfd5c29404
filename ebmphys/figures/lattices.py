"""Configurations side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from ebmphys.figures.style import INK, WIDTH, literal, new_figure

SPINS = LinearSegmentedColormap.from_list("spins", ["#16324f", "#f4efe1"])


def snapshots(configurations: Mapping[str, Any], temperature: float) -> Figure:
    """A few configurations of each ensemble, one row an ensemble: dark is -1, light is +1.

    name -> (draw, rows, columns) -> Figure. Raises ValueError where there is nothing to show.
    """
    if not configurations:
        raise ValueError("no configurations to show")
    columns = max(len(shots) for shots in configurations.values())
    side = min(WIDTH / columns, 1.3)
    figure = new_figure(side * columns + 0.8, side * len(configurations) + 0.4)
    grid = figure.subplots(len(configurations), columns, squeeze=False)
    for line, (name, shots) in zip(grid, configurations.items(), strict=True):
        for k, axes in enumerate(line):
            axes.set_xticks([])
            axes.set_yticks([])
            if k >= len(shots):
                axes.set_axis_off()
                continue
            axes.imshow(shots[k], cmap=SPINS, vmin=-1, vmax=1, interpolation="nearest")
            axes.spines[:].set_color("#999999")
        line[0].set_ylabel(_wrapped(name), fontsize=9, color=INK)
    figure.suptitle(f"T = {temperature:.4g}", fontsize=10, color=INK)
    return figure


def _wrapped(name: str) -> str:
    """A name on at most two short lines, which is what fits beside a row."""
    lines = textwrap.wrap(name, 15) or [""]
    return literal("\n".join(lines[:2]) + ("…" if len(lines) > 2 else ""))
