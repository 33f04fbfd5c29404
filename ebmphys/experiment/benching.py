"""``bench``: how fast each sampler is on this machine, beside its peers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import torch
from cyclopts import Parameter
from pydantic import AfterValidator, BeforeValidator, Field
from tqdm import tqdm

from ebmphys.bench import PEERS, SAMPLERS, Budget, Task, compete, machine
from ebmphys.exact import critical_temperature
from ebmphys.experiment.settings import Device, Flag, Settings, Size, parse_size, place

_CRITICAL = {2: "square", 3: "cubic"}


def _names(given: Any) -> tuple[str, ...]:
    parts = given if isinstance(given, list | tuple) else [given]
    return tuple(item.strip() for part in parts for item in str(part).split(","))


def _are_known(names: tuple[str, ...]) -> tuple[str, ...]:
    known = [entrant.name for entrant in SAMPLERS]
    strange = [name for name in names if name not in known]
    if strange or len(set(names)) < len(names):
        raise ValueError(f"samplers are some of {', '.join(known)}, each once, got {', '.join(names)}")
    return names


Samplers = Annotated[
    tuple[str, ...],
    BeforeValidator(_names),
    AfterValidator(_are_known),
    Parameter(consume_multiple=True, negative=()),
]


class Bench(Settings):
    """Measure flips per nanosecond, autocorrelation times and effective samples per second of each sampler.

    The task is the Ising ferromagnet, J = 1 without field, on a periodic hypercubic lattice.
    """

    size: Size
    """Sides of the lattice: 64x64, 16x16x16."""
    chains: int = Field(1024, ge=1)
    """Independent chains."""
    temperature: float | None = Field(None, gt=0, allow_inf_nan=False)
    """k_B T / J; the critical one of the infinite square or cubic lattice if not given."""
    repeats: int = Field(5, ge=1)
    """Timed runs of each sampler; their median, smallest and largest are given."""
    peers: bool = True
    """Measure peers beside them: a numba loop, torch, and what is installed of ebmphys[bench]."""
    samplers: Samplers = tuple(entrant.name for entrant in SAMPLERS)
    """Which samplers; all if not given."""
    threads: int | None = Field(None, ge=1)
    """Threads; as many as torch takes if not given."""
    seconds: float = Field(0.3, gt=0, le=600)
    """Length of each timed run."""
    tau_seconds: float = Field(2.0, gt=0, le=3600)
    """Length of the run behind the autocorrelation times."""
    device: Device = "auto"
    """cpu or cuda; auto takes CUDA where it is there."""
    quiet: Flag = False
    """No progress."""


def bench(settings: Bench) -> dict[str, Any]:
    """The machine, the task and a row for each sampler and peer, as JSON values.

    Raises ValueError where no critical temperature is known and none is given.
    """
    shape, device = parse_size(settings.size), place(settings.device)
    temperature = settings.temperature or _critical(shape)
    chosen = [entrant for entrant in SAMPLERS if entrant.name in settings.samplers]
    entrants = (*chosen, *PEERS) if settings.peers else chosen
    budget = Budget(settings.repeats, settings.seconds, settings.tau_seconds)
    hidden = settings.quiet or not sys.stderr.isatty()
    with _threads(settings.threads), tqdm(bar_format="{desc}", leave=False, disable=hidden) as line:
        task = Task(shape, settings.chains, 1 / temperature, device)
        rows = compete(entrants, task, budget, line.set_description_str)
        return {
            "machine": machine(device),
            "settings": settings.what() | {"temperature": temperature},
            "rows": [row.as_json() for row in rows],
        }


def _critical(shape: tuple[int, ...]) -> float:
    if len(shape) not in _CRITICAL:
        raise ValueError(f"--temperature: no critical one is known in {len(shape)} dimension(s), give one")
    return critical_temperature(_CRITICAL[len(shape)])


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(before if count is None else count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
