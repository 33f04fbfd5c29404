"""The comparison as files: table.json with everything, table.csv with the observables."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from ebmphys.compare.comparison import Comparison
from ebmphys.compare.rows import Row


def write_table(comparison: Comparison, out_dir: str | Path) -> list[Path]:
    """Write table.json and table.csv into a directory and return their paths; each appears whole or not at all.

    JSON has null for what is not defined and never NaN; the CSV has one row an observable, columns named as the fields
    of ``Row`` and empty where JSON has null.
    """
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_plain(comparison.table()), allow_nan=False, ensure_ascii=False, indent=1)
    sheet = io.StringIO(newline="")
    writer = csv.DictWriter(sheet, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in comparison.rows)
    return [
        replace_file(folder / "table.json", (text + "\n").encode()),
        replace_file(folder / "table.csv", sheet.getvalue().encode()),
    ]


def replace_file(path: Path, content: bytes) -> Path:
    """Write a file aside and rename it into place, so that no reader sees half of it."""
    aside = path.with_name(path.name + ".part")
    aside.write_bytes(content)
    return aside.replace(path)


def _plain(value: Any) -> Any:
    """The same data with null for floats that JSON does not have."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
