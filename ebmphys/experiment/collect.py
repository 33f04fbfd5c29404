"""The loop that fills a dataset: draw, measure, pack, commit a block, and go on from where a file ends."""

from __future__ import annotations

import math
import sys

import numpy as np
from tqdm.auto import tqdm

from ebmphys.dataset import Writer
from ebmphys.experiment.sources import Draw, Energy, Source

_BLOCK_BYTES = 4 << 20
_BLOCKS = 50  # at least this many a run, so that a kill costs little


def block_of(draws: int, configurations: int, n_sites: int) -> int:
    """Draws to commit at a time: about 4 MiB of packed configurations, and at most a fiftieth of the run."""
    row = configurations * math.ceil(n_sites / 8)
    return max(1, min(math.ceil(draws / _BLOCKS), _BLOCK_BYTES // row))


def collect(writer: Writer, source: Source, energy: Energy | None = None, *, what: str, quiet: bool = False) -> None:
    """Draw from a source until the writer's file is full.

    energy: whose energies the file holds, (..., n_sites) -> (...,); None for those of the model that is drawn from.
    The burn-in is run where the file has no draws yet; a file with some is continued from its last state, bit for bit.
    """
    header = writer.header
    with tqdm(
        total=source.burn_in + header.draws, desc=what, unit="draw", disable=True if quiet else None, file=sys.stderr
    ) as bar:
        if writer.completed:
            source.restore(writer.state())
            bar.update(source.burn_in + writer.completed)
        else:
            bar.set_postfix_str("burn-in")
            chunk = max(1, source.burn_in // _BLOCKS)
            for start in range(0, source.burn_in, chunk):
                steps = min(chunk, source.burn_in - start)
                source.advance(steps)
                bar.update(steps)
            bar.set_postfix_str("")
        while writer.next_block:
            _block(writer, source, energy, bar)


def _block(writer: Writer, source: Source, energy: Energy | None, bar: tqdm) -> None:
    drawn: list[Draw] = []
    for _ in range(writer.next_block):
        drawn.append(source.draw(energy))
        bar.update()
    rows = np.stack([draw.rows for draw in drawn], axis=1)
    energies = np.stack([draw.energy for draw in drawn], axis=1)
    magnetizations = np.stack([draw.magnetization for draw in drawn], axis=1)
    write = writer.write_packed if writer.header.packed else writer.write
    write(rows, energies, magnetizations, source.state())
