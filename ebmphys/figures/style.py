"""One look for all figures: colours that colour-blind readers can tell apart, plain axes, sizes for a page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK = "#222222"
REFERENCE = "#4d4d4d"
EXACT = "#000000"
# Okabe and Ito (2008), the order by contrast on white, without yellow; the last two are Tol's (2021).
_PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#332288")
_MARKERS = ("s", "^", "D", "v", "P")  # prime to the colours: 40 ensembles before a pair comes again
REFERENCE_MARKER = "o"
WIDTH = 10.0  # inches, the width of the report's column
_LETTERS = 11.0  # of a legend to the inch


def colours(reference: str, samples: Sequence[str]) -> dict[str, str]:
    """The colour of each ensemble, the same in every figure: grey for the reference."""
    return {reference: REFERENCE} | {name: _PALETTE[k % len(_PALETTE)] for k, name in enumerate(samples)}


def markers(reference: str, samples: Sequence[str]) -> dict[str, str]:
    """The marker of each ensemble: a circle for the reference."""
    return {reference: REFERENCE_MARKER} | {name: _MARKERS[k % len(_MARKERS)] for k, name in enumerate(samples)}


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, on a canvas of its own."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def plain(axes: Axes, *, grid: bool = True) -> Axes:
    """Axes without a box, with a faint grid and small labels."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, colors=INK)
    for name in ("xaxis", "yaxis"):
        getattr(axes, name).label.set_size(9)
    if grid:
        axes.grid(visible=True, color="#e6e6e6", linewidth=0.6)
        axes.set_axisbelow(True)
    return axes


def legend_below(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend for the whole figure, each entry once."""
    entries: dict[str, Any] = {}
    for one in axes:
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if entries:
        longest = max(len(label) for label in entries)
        columns = max(1, min(len(entries), 6, int(figure.get_figwidth() * _LETTERS / (longest + 6))))
        figure.legend(
            list(entries.values()), list(entries), loc="outside lower center", ncols=columns, frameon=False, fontsize=9
        )


def literal(text: str) -> str:
    """A user's name as it is: a dollar sign in it starts no formula."""
    return text.replace("$", r"\$")


def axis_label(about: Mapping[str, str]) -> str:
    """Symbol and unit of a quantity."""
    unit = about["unit"].replace("k_B", "$k_B$")
    return f"{about['symbol']} [{unit}]" if unit else about["symbol"]


def png(figure: Figure, dpi: int = 130) -> bytes:
    """The figure as a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()
