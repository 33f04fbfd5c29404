"""``compare``: sample files against a reference, as a table, figures and one page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ebmphys.compare import compare_files, training_histories, write_table
from ebmphys.experiment.provenance import hashes
from ebmphys.experiment.settings import Files, Flag, Settings, check_apart
from ebmphys.report import write_report

OUTPUTS = ("table.json", "table.csv", "report.html")


class Compare(Settings):
    """Sample files against a reference and the exact values: a table, figures and one self-contained page."""

    reference: Path
    """The dataset to compare with, as from generate or import."""
    sample: Files
    """Sample files, as from sample, generate or import."""
    out: Path
    """The folder to write table.json, table.csv, report.html and the figures into."""
    force: Flag = False
    """Replace an earlier comparison in that folder."""

    def inputs(self) -> list[Path]:
        return [self.reference, *self.sample]

    def written(self) -> list[Path]:
        return [self.out / name for name in OUTPUTS]


def compare(settings: Compare) -> dict[str, Any]:
    """Compare, write everything, and return the table.

    Raises FileExistsError where the folder holds a comparison already, ValueError for files that do not fit together.
    """
    check_apart(settings)
    there = [path for path in settings.written() if path.exists()]
    if there and not settings.force:
        raise FileExistsError(f"{there[0]} exists already: give --force to replace the comparison")
    if settings.out.exists() and not settings.out.is_dir():
        raise FileExistsError(f"{settings.out} is a file, a folder is to be written")
    comparison = compare_files(settings.reference, settings.sample)
    inputs = hashes([settings.reference, *settings.sample])
    comparison.provenance.update(settings=settings.what(), inputs=inputs)
    write_report(comparison, settings.out, training_histories(settings.reference, settings.sample))
    write_table(comparison, settings.out)
    return comparison.table()
