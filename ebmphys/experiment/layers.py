"""The layers of a deep model while they are learned one by one: a file each beside that of the whole."""

from __future__ import annotations

from pathlib import Path


def layer_file(out: Path, number: int) -> Path:
    """Where layer ``number``, from 0, is kept until the whole model is there, so that an interrupted fit goes on."""
    return out.with_name(f".{out.name}.layer{number + 1}")


def remove_layers(out: Path, count: int) -> None:
    """Remove the files of so many layers."""
    for number in range(count):
        layer_file(out, number).unlink(missing_ok=True)
