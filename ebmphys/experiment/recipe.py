"""``run``: a TOML of steps, each the settings of a verb; what is up to date already is left alone."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ebmphys.checkpoint import load
from ebmphys.dataset import Dataset
from ebmphys.experiment.comparing import Compare, compare
from ebmphys.experiment.fitting import Fit, fit_model
from ebmphys.experiment.generate import Generate, generate
from ebmphys.experiment.importing import Import, import_files
from ebmphys.experiment.provenance import hashes
from ebmphys.experiment.sampling import Sample, sample
from ebmphys.experiment.settings import Flag, Settings, complaint

Step = Generate | Import | Fit | Sample | Compare

_VERBS: dict[str, tuple[type[Step], Callable[[Any], dict[str, Any]]]] = {
    "generate": (Generate, generate),
    "import": (Import, import_files),
    "fit": (Fit, fit_model),
    "sample": (Sample, sample),
    "compare": (Compare, compare),
}
_TEXTS = ("title", "question", "expect")


class Run(Settings):
    """All the steps of a TOML file in order: generate, import, fit, sample, compare; skips what is up to date."""

    recipe: Path
    """The TOML file."""
    force: Flag = False
    """Do every step again, up to date or not."""
    quiet: Flag = False
    """No progress bars."""


@dataclass(frozen=True)
class Stored:
    """What an output says of itself: the settings it was made with, the hashes of its inputs, and if it is whole."""

    settings: dict[str, Any]
    inputs: dict[str, str]
    complete: bool


def steps_of(path: Path) -> list[tuple[str, Step]]:
    """The steps of a TOML file, checked; raises FileNotFoundError, or ValueError naming the step at fault.

    Each verb is a table, or an array of tables, whose keys are the verb's settings; paths are taken from where the
    command is run.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such recipe")
    try:
        recipe = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from None
    unknown = recipe.keys() - _VERBS.keys() - set(_TEXTS)
    if unknown:
        raise ValueError(f"{path}: no step is called {sorted(unknown)[0]!r}: steps are {', '.join(_VERBS)}")
    found: list[tuple[str, Step]] = []
    for verb, (kind, _) in _VERBS.items():
        tables = recipe.get(verb, [])
        for number, table in enumerate(tables if isinstance(tables, list) else [tables], start=1):
            try:
                found.append((verb, kind(**table)))
            except ValidationError as error:
                raise ValueError(f"{path}, {verb} {number}: {complaint(error)}") from None
            if found[-1][1].out.resolve() == path.resolve():
                raise ValueError(f"{path}, {verb} {number}: --out is the recipe itself: give it another name")
    if not found:
        raise ValueError(f"{path} has no steps: it needs tables named {', '.join(_VERBS)}")
    return found


def run(settings: Run, say: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Do the steps that are not up to date, saying each; which were done and which were not."""
    done: list[dict[str, Any]] = []
    for verb, step in steps_of(settings.recipe):
        name = f"{verb} {step.out}"
        if not settings.force and is_current(step):
            say(f"{name}: up to date")
            done.append({"step": name, "done": False})
            continue
        say(name)
        how = {"force": not (resumes := _can_resume(step, settings.force))}
        if not isinstance(step, Import | Compare):
            how |= {"resume": resumes, "quiet": settings.quiet or step.quiet}
        result = _VERBS[verb][1](step.model_copy(update=how))
        done.append({"step": name, "done": True, "result": result})
    return {"recipe": str(settings.recipe), "steps": done}


def is_current(step: Step) -> bool:
    """Whether all outputs of a step are there, whole, made with these settings and from inputs as they are now."""
    try:
        return all(
            stored.complete and stored.settings == step.what() and stored.inputs == hashes(map(Path, stored.inputs))
            for stored in _stored(step)
        )
    except (OSError, ValueError):
        return False


def _can_resume(step: Step, force: bool) -> bool:
    """Whether an unfinished output with these very settings and inputs is there to go on from."""
    if force or isinstance(step, Import | Compare):
        return False
    try:
        return all(
            stored.settings == step.what() and stored.inputs == hashes(map(Path, stored.inputs))
            for stored in _stored(step, missing=False)
        )
    except (OSError, ValueError):
        return False


def _stored(step: Step, missing: bool = True) -> Iterator[Stored]:
    """What each output of a step says of itself; those that are not there raise, unless ``missing`` is False."""
    paths = list(step.outputs().values()) if isinstance(step, Fit) else [step.out]
    for path in paths:
        if missing or path.exists():
            yield _read(step, path)


def _read(step: Step, path: Path) -> Stored:
    if isinstance(step, Fit):
        origin = (checkpoint := load(path)).provenance
        stopped = checkpoint.schedule.get("stopped")
        return Stored(origin.get("settings", {}), origin.get("inputs", {}), stopped not in ("", "interrupted"))
    if isinstance(step, Compare):
        origin = json.loads((path / "table.json").read_text())["provenance"]
        return Stored(origin["settings"], origin["inputs"], (path / "report.html").is_file())
    data = Dataset(path)
    settings = {name: value for name, value in data.settings.items() if name != "verb"}
    return Stored(settings, data.provenance.get("inputs", {}), data.complete)
