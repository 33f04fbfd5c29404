"""Which programs make up a sweep, and the tables that they read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import triton
from torch import Tensor

from ebmphys.samplers.multispin.gpu.kernel import PLANES, WORDS, sweep_colour
from ebmphys.samplers.multispin.gpu.readout import PAIRS, tally, turn_ghosts
from ebmphys.samplers.multispin.layout import Index, Layout, Words

_ROWS = 8
_PROGRAMS = 4096  # two or three times what an H200 holds at once
_OPTIONS = {"num_warps": 1, "enable_fp_fusion": False}  # one warp: to look for ties needs no barrier then


@dataclass(frozen=True)
class Tuning:
    """How fine a decision is at first and how sites are shared out; only the first two can change a result.

    fresh: random bits of its own that each decision has at first, a multiple of 4. Where they are all those of p, it is
    given more of them until it is settled, or with ``shared`` ties has a word of 32 bits in common with the other
    31 replicas of its word: each decision still has its probability to 2^-32, but two of these replicas share one with
    probability 4^-fresh, and sites of one lattice where sites are packed.
    chunk: sites of one program, a multiple of ``rows``; None for as many as leave every multiprocessor enough to do.
    """

    fresh: int = 16
    shared: bool = False
    rows: int = 8
    chunk: int | None = None
    num_warps: int = 1

    def __post_init__(self) -> None:
        if self.fresh % 4 or not 4 <= self.fresh <= PLANES.value:
            raise ValueError(f"fresh is a multiple of 4 from 4 to {PLANES.value}, got {self.fresh}")

    def sites_each(self, sites: int) -> int:
        """Sites of one program where there are so many to update in all."""
        if self.chunk is not None:
            return self.chunk
        return next((many * self.rows for many in (8, 4, 2) if many * self.rows * _PROGRAMS <= sites), self.rows)


STRICT = Tuning()
SHARED = Tuning(fresh=8, shared=True)


class Tables:
    """The tables of a layout on a device, slots already times WORDS where they are addresses."""

    def __init__(self, layout: Layout, device: torch.device) -> None:
        def there(table: Index) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(table, dtype=np.int32)).to(device)

        width = WORDS.value
        self.n_slots, self.n_sites, self.degree = layout.n_slots, *layout.neighbours.shape
        self.order, self.near = there(layout.order * width), there(layout.neighbours * width)
        self.colours, self.ghost_colours = layout.colours.tolist(), layout.ghost_colours.tolist()
        self.ghosts, self.bonds = there(layout.ghosts), there(layout.bonds)
        self.alone = there(np.stack([layout.order, np.full_like(layout.order, layout.zero_slot)], axis=1))
        self.flips, self.per = _halves(layout.flips, device)
        self.bond_flips, self.bond_per = _halves(layout.bond_flips, device)
        self.zero = torch.zeros(1, dtype=torch.int32, device=device)
        self.numbers = there(np.arange(width))


def _halves(flips: Words, device: torch.device) -> tuple[Tensor, int]:
    """Words of 64 bits as pairs of 32, and how many of these each bond has."""
    halves = torch.from_numpy(flips.view(np.int32).copy()).to(device)
    if flips.ndim == 1:
        return halves[:1].clone(), 0
    if flips.shape[-1] == 1:
        return halves[..., 0].contiguous(), 1
    return halves, WORDS.value


def sweep(
    words: Tensor, tables: Tables, thresholds: Tensor, rule: int, key: Tensor, sweeps: Tensor, ahead: int,
    tuning: Tuning, given: Tensor | None = None,
) -> None:  # fmt: skip
    """One sweep of words (blocks, slots, WORDS), the one after ``sweeps`` + ``ahead`` others; no waiting.

    thresholds: planes (blocks, classes, PLANES, WORDS), or numbers (blocks, classes) where each block has one beta.
    given: (blocks, n_sites, PLANES, WORDS) random words to be used in place of those of the key.
    """
    for colour, (first, last) in enumerate(zip(tables.colours, tables.colours[1:], strict=False)):
        chunk = tuning.sites_each(len(words) * (last - first))
        n_chunks = triton.cdiv(last - first, chunk)
        sweep_colour[(len(words) * n_chunks,)](
            words, thresholds, tables.order, tables.near, tables.flips, key, sweeps, tables.numbers,
            words if given is None else given, ahead, first, last, n_chunks, tables.n_slots, tables.n_sites,
            RULE=rule, DEGREE=tables.degree, PER=tables.per, CLASSES=thresholds.shape[1], ONE_BETA=thresholds.ndim == 2,
            FRESH=tuning.fresh, SHARED=tuning.shared, GIVEN=given is not None, ROWS=tuning.rows, CHUNK=chunk,
            **(_OPTIONS | {"num_warps": tuning.num_warps}),
        )  # fmt: skip
        turn(words, tables, tables.ghost_colours[colour], tables.ghost_colours[colour + 1])


def turn(words: Tensor, tables: Tables, first: int, last: int) -> None:
    """Fill a range of the ghost slots from their sources."""
    if last > first:
        n_groups = triton.cdiv(last - first, _ROWS)
        turn_ghosts[(len(words) * n_groups,)](
            words.view(torch.int64), tables.ghosts, first, last, tables.n_sites, tables.n_slots, n_groups,
            ROWS=_ROWS, **_OPTIONS,
        )  # fmt: skip


def counted(words: Tensor, tables: Tables, pairs: Tensor, flips: Tensor, per: int) -> Tensor:
    """How often the slots of a pair differ, for each bit; -> (blocks, BITS) int32."""
    counts = torch.zeros(len(words), 32 * WORDS.value, dtype=torch.int32, device=words.device)
    n_chunks = triton.cdiv(len(pairs), _ROWS * PAIRS.value)
    tally[(len(words) * n_chunks,)](
        words, pairs, flips, counts, len(pairs), n_chunks, tables.n_slots, PER=per, ROWS=_ROWS, **_OPTIONS
    )
    return counts
