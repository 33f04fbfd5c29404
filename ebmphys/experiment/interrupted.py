"""What is left of a verb that Ctrl-C has ended, and how it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ebmphys.experiment.recipe import Run
from ebmphys.experiment.settings import Settings

Stamps = Mapping[Path, int]  # when each file that is there was last written, in ns


def stamps(settings: Settings) -> Stamps:
    """The outputs that are there. Raises ValueError or OSError where the settings do not say which they are."""
    return {path: path.stat().st_mtime_ns for path in settings.written() if path.exists()}


def after_interruption(settings: Settings, before: Stamps) -> str:
    """What was kept, and which command goes on; ``before``: the outputs that were there when the verb began."""
    if isinstance(settings, Run):
        command = "the same command without --force" if settings.force else "the same command"
        return f"interrupted: what is complete is kept, and {command} goes on"
    now = stamps(settings)
    resumable = "resume" in type(settings).model_fields
    begun = [path for path in now if now[path] != before.get(path)]
    if resumable and (begun or (now and getattr(settings, "resume", False))):
        return "interrupted: what is complete is kept, and the same command with --resume goes on"
    if begun:
        return f"interrupted: {begun[0]} is not all of it, and the same command with --force begins anew"
    return "interrupted: nothing was complete yet, and the same command begins anew"
