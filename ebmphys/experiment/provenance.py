"""Where an output comes from: version, source commit, machine, and the hashes of what it was made from."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import torch

import ebmphys


def provenance(inputs: Iterable[Path] = (), device: torch.device | None = None) -> dict[str, Any]:
    """Plain data that says what made an output, and from which files."""
    return {
        "ebmphys": ebmphys.__version__,
        "commit": _commit(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "device": str(device or "cpu"),
        "inputs": hashes(inputs),
    }


def hashes(inputs: Iterable[Path]) -> dict[str, str]:
    """The SHA-256 of each file, by its path."""
    found = {}
    for path in inputs:
        with path.open("rb") as file:
            found[str(path)] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def same_device(stored: Mapping[str, Any], device: torch.device) -> bool:
    """Whether an output was begun on this kind of device: a generator's state cannot go on on another."""
    return str(stored.get("device", "cpu")).split(":")[0] == device.type


@cache
def _commit() -> str | None:
    """The commit of the source that is running, with a + where it has been changed; None outside a checkout."""
    source = Path(ebmphys.__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            cwd=source,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        tracked = subprocess.run(["git", "ls-files", "--error-unmatch", "__init__.py"], cwd=source, capture_output=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() if tracked.returncode == 0 else None
