"""The loop that fills a dataset: draw, measure, pack, commit a block, and go on from where a file ends."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ebmphys.dataset import Writer, pack
from ebmphys.experiment.sources import Source

_BLOCK_BYTES = 4 << 20
_BLOCKS = 50  # at least this many a run, so that a kill costs little


def block_of(draws: int, configurations: int, n_sites: int) -> int:
    """Draws to commit at a time: about 4 MiB of packed configurations, and at most a fiftieth of the run."""
    row = configurations * math.ceil(n_sites / 8)
    return max(1, min(math.ceil(draws / _BLOCKS), _BLOCK_BYTES // row))


def collect(
    writer: Writer, source: Source, energy: Callable[[Tensor], Tensor], *, what: str, quiet: bool = False
) -> None:
    """Draw from a source until the writer's file is full.

    energy: (..., n_sites) -> (...,). The burn-in is run where the file has no draws yet; a file with some is
    continued from its last state, bit for bit.
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
            for _ in range(source.burn_in):
                source.step()
                bar.update()
            bar.set_postfix_str("")
        while writer.next_block:
            _block(writer, source, energy, bar)


def _block(writer: Writer, source: Source, energy: Callable[[Tensor], Tensor], bar: tqdm) -> None:
    header, n = writer.header, writer.next_block
    shape = (len(header.temperatures), n, header.chains)
    energies, magnetizations = np.empty(shape), np.empty(shape)
    rows = []
    for number in range(n):
        x = source.draw()
        rows.append(pack(x, header.unit) if header.packed else x.cpu().numpy())
        magnetizations[:, number] = x.mean(-1, dtype=torch.float64).cpu().numpy()
        energies[:, number] = energy(x).cpu().numpy()
        bar.update()
    write = writer.write_packed if header.packed else writer.write
    write(np.stack(rows, axis=1), energies, magnetizations, source.state())
