"""The comparison as one self-contained HTML page, and its figures as PNG files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ebmphys.compare import Comparison
from ebmphys.compare.table import replace_file
from ebmphys.report.drawing import History, draw
from ebmphys.report.notation import format_estimate
from ebmphys.report.page import page

__all__ = ["format_estimate", "render", "write_report"]


def write_report(
    comparison: Comparison, out_dir: str | Path, histories: Mapping[str, History] | None = None
) -> list[Path]:
    """Write report.html and every figure as a PNG into a directory and return the paths, the page first.

    histories: training records by the name of the sample, drawn where given.
    """
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = draw(comparison, histories or {})
    paths = [replace_file(folder / "report.html", page(comparison, pictures).encode())]
    return paths + [replace_file(folder / f"{name}.png", data) for name, (data, _) in pictures.items()]


def render(comparison: Comparison, histories: Mapping[str, History] | None = None) -> str:
    """The page as a string: no network, no other files; every name in it is escaped."""
    return page(comparison, draw(comparison, histories or {}))
