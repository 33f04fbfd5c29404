"""What the settings of every verb share: one frozen class a verb is its flags, its TOML keys and what is stored."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from cyclopts import Parameter
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from ebmphys.rng import default_device

_HOW = frozenset({"out", "force", "resume", "quiet", "device"})


class Settings(BaseModel):
    """Settings of a verb; how it is run (where to, on what, how loudly) is no part of what is made."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def __init_subclass__(cls, *, group: str = "", **options: Any) -> None:
        super().__init_subclass__(**options)

    @classmethod
    def __pydantic_init_subclass__(cls, *, group: str = "", **options: Any) -> None:
        """Put the fields that a class adds under a heading of its own in ``--help``."""
        super().__pydantic_init_subclass__(**options)
        for name in cls.__annotations__.keys() & cls.model_fields.keys() if group else ():
            cls.model_fields[name].metadata.append(Parameter(group=group))

    def what(self) -> dict[str, Any]:
        """The settings that decide the outcome, as JSON values: what an output stores and is compared by."""
        return self.model_dump(mode="json", exclude=set(_HOW))

    def inputs(self) -> list[Path]:
        """The files that the verb reads."""
        return []

    def written(self) -> list[Path]:
        """The files that the verb writes. Raises ValueError or OSError where an input that says which is not there."""
        return []


def complaint(error: ValidationError) -> str:
    """What was wrong with the settings, in one line."""
    lines = []
    for fault in error.errors():
        name = f"--{fault['loc'][0]}: ".replace("_", "-") if fault["loc"] else ""
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            message = "no such setting"
        given = "" if fault["type"] in ("value_error", "missing") else f", got {fault['input']!r}"
        lines.append(f"{name}{message[0].lower()}{message[1:]}{given}")
    return "; ".join(lines)


def parse_size(text: str) -> tuple[int, ...]:
    """Sides of a lattice from 32x32, 64, 4x4x4. Raises ValueError for anything else."""
    if not re.fullmatch(r"[1-9][0-9]{0,6}(x[1-9][0-9]{0,6})*", text):
        raise ValueError(f"a size is sides joined by x, such as 32x32 or 16, got {text!r}")
    shape = tuple(int(side) for side in text.split("x"))
    if math.prod(shape) > 2**31:
        raise ValueError(f"{text} has more than 2^31 sites")
    return shape


def parse_temperatures(given: Any) -> tuple[float, ...]:
    """Temperatures from numbers and start:stop:count ranges, ends included; commas or a list between them.

    Raises ValueError for what is no such thing, and for temperatures that are not positive and distinct.
    """
    parts = given if isinstance(given, list | tuple) else [given]
    found: list[float] = []
    for part in parts:
        for item in str(part).split(","):
            found += _range(item.strip())
    if not found or any(not math.isfinite(t) or t <= 0 for t in found):
        raise ValueError(f"temperatures are positive numbers, got {', '.join(map(str, parts))}")
    if len(set(found)) < len(found):
        raise ValueError(f"each temperature once, got {', '.join(map(str, parts))}")
    return tuple(found)


def _range(item: str) -> list[float]:
    try:
        if ":" not in item:
            return [float(item)]
        start, stop, count = item.split(":")
        if int(count) < 2:
            raise ValueError
        # Rounded to what a person would write, so that a range's 2.3 is the 2.3 that is asked for later.
        return [round(float(t), 12) for t in np.linspace(float(start), float(stop), int(count))]
    except ValueError:
        raise ValueError(f"a temperature is a number or start:stop:count, got {item!r}") from None


def parse_layers(given: Any) -> tuple[int, ...]:
    """Sizes of layers from a number, a list, or numbers with commas between them. Raises ValueError for others."""
    parts = given if isinstance(given, list | tuple) else [given]
    items = [item.strip() for part in parts for item in str(part).split(",")]
    if not all(re.fullmatch(r"[1-9][0-9]{0,6}", item) for item in items):
        raise ValueError(f"layers are sizes such as 64 or 128,64, got {','.join(items)}")
    return tuple(map(int, items))


def _listed(given: Any) -> Any:
    """A single file is a list of one."""
    return (given,) if isinstance(given, str | Path) else given


def _is_size(text: str) -> str:
    parse_size(text)
    return text


Size = Annotated[str, AfterValidator(_is_size)]
Temperatures = Annotated[
    tuple[float, ...], BeforeValidator(parse_temperatures), Parameter(consume_multiple=True, negative=())
]
Layers = Annotated[tuple[int, ...], BeforeValidator(parse_layers), Parameter(consume_multiple=True, negative=())]
Files = Annotated[tuple[Path, ...], BeforeValidator(_listed), Parameter(consume_multiple=True, negative=())]
Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
Device = Literal["auto", "cpu", "cuda"]


def place(device: Device) -> torch.device:
    """The device that a setting means. Raises ValueError for cuda where there is none."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no CUDA device here; use auto or cpu")
    return default_device() if device == "auto" else torch.device(device)


def check_apart(settings: Settings) -> None:
    """Refuse to write over what is read, however the two paths are spelled. Raises ValueError."""
    inputs = {path.resolve() for path in settings.inputs()}
    for path in settings.written():
        if path.resolve() in inputs:
            raise ValueError(f"the output {path} is one of the inputs: give --out another name")


def check_output(out: Path, force: bool) -> None:
    """Refuse an output that is there already, or whose folder is not. Raises FileExistsError, FileNotFoundError."""
    if out.exists() and not force:
        raise FileExistsError(f"{out} exists already: give --force to replace it")
    if out.is_dir():
        raise FileExistsError(f"{out} is a folder, a file is to be written")
    out.parent.mkdir(parents=True, exist_ok=True)
