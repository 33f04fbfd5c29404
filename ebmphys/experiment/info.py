"""``info``: what is in any file that ebmphys writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ebmphys.checkpoint import Checkpoint, load
from ebmphys.dataset import Dataset
from ebmphys.experiment.settings import Settings
from ebmphys.experiment.summary import summary
from ebmphys.experiment.training import BEFORE
from ebmphys.train import History


class Info(Settings):
    """What is in a dataset, a model file or a comparison."""

    file: Path
    """The file (or the folder of a comparison) to describe."""


def info(settings: Info) -> dict[str, Any]:
    """JSON values; raises FileNotFoundError and ValueError for what is none of the three."""
    path = settings.file / "table.json" if settings.file.is_dir() else settings.file
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(b"\x89HDF"):
        return {"kind": "dataset"} | summary(Dataset(path))
    if start.startswith(b"PK"):
        return {"kind": "model"} | _model(path)
    if path.suffix == ".json":
        return {"kind": "comparison"} | _comparison(path)
    raise ValueError(f"{path} is neither a dataset (.h5), a model file (.pt) nor a comparison (table.json)")


def _model(path: Path) -> dict[str, Any]:
    stored = load(path)
    numbers = sum(tensor.numel() for tensor in stored.parameters.values())
    return {
        "path": str(path),
        "config": stored.config,
        "parameters": numbers,
        "epoch": stored.epoch,
        "stopped": stored.schedule.get("stopped", ""),
        "last": _last(stored),
        "warnings": list(History(stored.history).doubts.values()),
        "settings": stored.settings,
        "provenance": stored.provenance,
    }


def _last(stored: Checkpoint) -> dict[str, Any]:
    """The last record, its seconds those of all parts of the training."""
    if not stored.history:
        return {}
    last = stored.history[-1]
    return last | {"seconds": last.get("seconds", 0.0) + stored.provenance.get(BEFORE, 0.0)}


def _comparison(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not the table of a comparison: {error}") from None
    if not isinstance(table, dict) or table.get("schema") != "ebmphys-comparison":
        raise ValueError(f"{path} is JSON, but not the table of a comparison")
    return {name: table[name] for name in ("headline", "criterion", "ranking", "verdicts", "notes", "provenance")}
