"""A progress bar with the time left, for terminals and notebooks."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self, TextIO

from tqdm.auto import tqdm

from ebmphys.train.history import Record, doubts
from ebmphys.train.settings import Training

# The best judge that is measured, then what tells whether to believe it.
_JUDGES = ("kl", "kl_estimate", "kl_bound", "log_likelihood", "elbo", "loss")
_SIGNS = {
    "energy_per_site_deviation": "u off by",
    "chain_tau": "tau",
    "swap_rate": "least trades",
    "chain_positive": "m > 0",
}


class Progress:
    """An ``on_epoch`` that moves a bar: ``with Progress(settings) as bar: fit(..., on_epoch=bar)``; on stderr.

    It shows the four or five numbers that matter, and above it each kind of doubt once, in words. ``done`` are the
    epochs of a resumed training that are behind it; ``show=False`` draws nothing, None draws only on a terminal.
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
        self.known: Record = {}
        self.said: set[str] = set()

    def __call__(self, record: Record) -> None:
        self.known |= record
        self.bar.set_postfix(shown(self.known), refresh=False)
        for kind, words in doubts(record).items():
            if kind == "nothing":
                continue  # of every training at first
            if kind not in self.said and not self.bar.disable:
                self.bar.write(f"epoch {record['epoch']}: {words}", file=self.bar.fp)
            self.said.add(kind)
        at = record["epoch"] if self.budget is None else min(record["seconds"], self.budget)
        self.bar.update(at - self.bar.n)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()


def shown(record: Record) -> dict[str, str]:
    """The numbers that matter: how far the law is from the data's, and what tells whether to believe that."""
    judge = next((name for name in _JUDGES if name in record), None)
    numbers = {} if judge is None else {judge: f"{record[judge]:.4g}"}
    for name, label in _SIGNS.items():
        if name in record:
            numbers[label] = f"{record[name]:+.1f} sigma" if name.endswith("deviation") else f"{record[name]:.2g}"
    return numbers
