"""Which draws are complete: two records, written in turn, so that one is always whole."""

from __future__ import annotations

from typing import NamedTuple

import h5py

from ebmphys.dataset.header import Header
from ebmphys.dataset.safety import member


class Commit(NamedTuple):
    """Completed draws, and the slot of ``/last`` that holds the state after them."""

    completed: int
    slot: int

    @property
    def next_slot(self) -> int:
        """The other slot, which a block may overwrite before it is committed."""
        return 1 - self.slot


def read_commit(file: h5py.File, header: Header) -> Commit:
    """The newest record that is whole; one that a kill or a bit flip spoiled fails its checksum and does not count.

    Raises ValueError if neither is whole.
    """
    records = member(file, "last/completed")
    best: Commit | None = None
    for slot in range(2):
        try:
            completed = int(records[slot])
        except Exception:  # h5py raises several kinds
            continue
        whole = completed == header.draws or completed % header.block == 0
        if 0 <= completed <= header.draws and whole and (best is None or completed > best.completed):
            best = Commit(completed, slot)
    if best is None:
        raise ValueError(f"{file.filename}: damaged dataset: no record of completed draws is whole")
    return best


def write_commit(file: h5py.File, commit: Commit) -> None:
    """Makes the draws before ``commit.completed`` count. Everything they need must be on disk by now."""
    file["last/completed"][commit.slot] = commit.completed
    file.flush()
