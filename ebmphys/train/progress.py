"""A progress bar with the time left, for terminals and notebooks."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self, TextIO

from tqdm.auto import tqdm

from ebmphys.train.history import Record
from ebmphys.train.settings import Training


class Progress:
    """An ``on_epoch`` that moves a bar: ``with Progress(settings) as bar: fit(..., on_epoch=bar)``; on stderr.

    ``done`` are the epochs of a resumed training that are behind it; ``show=False`` draws nothing, None draws only on
    a terminal.
    """

    def __init__(self, settings: Training, done: int = 0, show: bool | None = True, file: TextIO | None = None) -> None:
        self.budget = settings.cpu_seconds
        total = settings.epochs if self.budget is None else self.budget
        self.bar = tqdm(
            total=total,
            initial=done,
            unit="epoch" if self.budget is None else "s",
            disable=None if show is None else not show,
            file=sys.stderr if file is None else file,
            bar_format=None if self.budget is None else "{l_bar}{bar}| {n:.0f}/{total:.0f} CPU s{postfix}",
        )
        self.shown: dict[str, str] = {}

    def __call__(self, record: Record) -> None:
        usual = ("epoch", "updates", "seconds", "learning_rate")
        self.shown |= {name: f"{value:.4g}" for name, value in record.items() if name not in usual}
        self.bar.set_postfix(self.shown, refresh=False)
        at = record["epoch"] if self.budget is None else min(record["seconds"], self.budget)
        self.bar.update(at - self.bar.n)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()
