"""What has to be the same for an interrupted run to go on: its settings, its inputs and the kind of device."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from ebmphys.dataset import Dataset, Writer
from ebmphys.experiment.provenance import hashes, same_device


def check_same(out: Path, mine: Mapping[str, Any], theirs: Mapping[str, Any], free: Collection[str] = ()) -> None:
    """Raise ValueError naming a setting in which a run differs from the one that ``out`` was begun with.

    Those in ``free`` may differ.
    """
    for name in sorted((mine.keys() | theirs.keys()) - set(free)):
        if mine.get(name) != theirs.get(name):
            raise ValueError(
                f"{out} cannot be resumed: {name} was {theirs.get(name)!r} there and is {mine.get(name)!r} now"
            )


def reopened(
    out: Path, mine: Mapping[str, Any], device: torch.device, inputs: Iterable[Path] = (), free: Collection[str] = ()
) -> Writer:
    """The writer of a dataset that is to be gone on with, opened for writing only where all is as it was.

    Raises ValueError for another device, other settings (those in ``free`` apart), or inputs that have changed.
    """
    header = Dataset(out).header
    if not same_device(header.provenance, device):
        raise ValueError(f"{out} cannot be resumed on {device.type}: it was begun on another device")
    check_same(out, mine, header.settings, free)
    before, now = header.provenance.get("inputs", {}), hashes(inputs)
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            raise ValueError(f"{out} cannot be resumed: {name} has changed since it was begun")
    return Writer.resume(out)
