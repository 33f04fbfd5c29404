"""Writing a dataset block by block, so that a kill at any moment costs at most the block in progress."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from ebmphys.dataset.bits import Packed, pack, site_bytes
from ebmphys.dataset.commit import Commit, read_commit, write_commit
from ebmphys.dataset.disk import made_aside, writing_alone
from ebmphys.dataset.header import Header, read_header
from ebmphys.dataset.layout import (
    LIBVER,
    State,
    blank_chunk,
    build,
    check_layout,
    data_specs,
    empty_image,
    needed_bytes,
)
from ebmphys.dataset.safety import member, opened, reading

Array = torch.Tensor | NDArray[np.generic]

_BLOCK_BYTES = 4 << 20


class Writer:
    """Appends blocks of draws to a dataset; open one with ``create`` or ``resume``, best in a ``with`` statement.

    A block's configurations, energies, magnetizations and the state of the chains are on disk before the record
    that makes them count, and that record has two copies in turn. Space and structure are made at creation, so
    nothing that happens later (SIGKILL, power failure, a full disk) can take away a completed block.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with opened(self.path) as file:
            self.header: Header = read_header(file)
            check_layout(file, self.header)
            self._state_keys = sorted(set(file["last"]) - {"completed"})
            for key in self._state_keys:
                member(file, f"last/{key}")
        with ExitStack() as stack:
            stack.enter_context(writing_alone(self.path))
            self._file = stack.enter_context(h5py.File(self.path, "r+", libver=LIBVER, locking=False))
            self._commit = read_commit(self._file, self.header)
            self._blank_edges()
            self._resources = stack.pop_all()

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        temperatures: Sequence[float],
        draws: int,
        chains: int,
        n_sites: int,
        unit: str = "spin",
        block: int | None = None,
        shape: Sequence[int] | None = None,
        settings: Mapping[str, Any] | None = None,
        model: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
        state: State | None = None,
        force: bool = False,
    ) -> Self:
        """A new file with all its space reserved and no draw completed.

        ``block`` is the number of draws written and committed at a time (default: about 4 MiB of configurations).
        ``state`` gives names, shapes and types of what a restart needs, and is itself the state after 0 draws.

        Raises ValueError for a header that makes no sense, FileExistsError if the path exists and not ``force``,
        FileNotFoundError if its directory does not, and OSError if the disk does not have the space.
        """
        path, state = Path(path), state or {}
        header = Header(
            temperatures=tuple(float(t) for t in temperatures),
            draws=draws,
            chains=chains,
            n_sites=n_sites,
            unit=unit,
            block=_default_block(len(temperatures) * chains * n_sites, draws) if block is None else min(block, draws),
            shape=None if shape is None else tuple(int(n) for n in shape),
            settings=settings or {},
            model=model,
            provenance=provenance or {},
        )
        size = needed_bytes(header, state)
        with made_aside(path, size, empty_image(), force=force) as aside, h5py.File(aside, "r+", libver=LIBVER) as file:
            build(file, header, state)
            for key, value in state.items():
                file[f"last/{key}"][0] = value
            write_commit(file, Commit(0, 0))
        return cls.resume(path)

    @classmethod
    def resume(cls, path: str | Path) -> Self:
        """The writer of an existing file, after its last completed block.

        Raises FileNotFoundError or ValueError for what is not a dataset, BlockingIOError if another writer has it.
        """
        return cls(path)

    @property
    def completed(self) -> int:
        """Draws that are on disk for good."""
        return self._commit.completed

    @property
    def next_block(self) -> int:
        """Draws in the next block: ``header.block``, fewer at the end, 0 when the file is complete."""
        return min(self.header.block, self.header.draws - self.completed)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """The state after the last completed draw, as it was given to ``write`` (or to ``create``)."""
        with reading(self.path, "the last state"):
            return {key: np.asarray(self._file[f"last/{key}"][self._commit.slot]) for key in self._state_keys}

    def write(self, x: Array, energy: Array, magnetization: Array, state: State | None = None) -> None:
        """Commits the next block of configurations.

        x (temperature, next_block, chain, n_sites) with values of the unit; energy E and magnetization m
        (temperature, next_block, chain); ``state`` after the block, with the names and shapes given at creation.

        Raises ValueError for another shape, values that are not the unit's, numbers that are not finite.
        """
        self._check_shape("x", x, (self.header.n_sites,))
        if self.header.packed:
            self._write(lambda index: pack(x[index], self.header.unit), energy, magnetization, state)
        else:
            self._write(lambda index: _finite("x", x[index]).astype(np.float32), energy, magnetization, state)

    def write_packed(self, bits: Packed, energy: Array, magnetization: Array, state: State | None = None) -> None:
        """Commits the next block from bits that are packed already, in the order of ``pack``.

        bits (temperature, next_block, chain, ceil(n_sites / 8)) uint8; the rest as for ``write``.

        Raises ValueError as ``write`` does, and for bits set beyond the last site.
        """
        if not self.header.packed:
            raise ValueError(f"unit '{self.header.unit}' is not stored as bits: use write")
        self._check_shape("bits", bits, (site_bytes(self.header.n_sites),))
        unused = -self.header.n_sites % 8
        if bits.dtype != np.uint8 or (bits[..., -1] & ((1 << unused) - 1)).any():
            raise ValueError(f"bits must be uint8 with the {unused} unused bits of the last byte at 0")
        self._write(lambda index: bits[index], energy, magnetization, state)

    def close(self) -> None:
        """Closes the file; what was not committed does not count."""
        with self._resources:
            if self._file:
                self._sync()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _write(
        self, rows: Callable[[int], NDArray[Any]], energy: Array, magnetization: Array, state: State | None
    ) -> None:
        series = {"energy": energy, "magnetization": magnetization}
        for name, value in series.items():
            self._check_shape(name, value, ())
            series[name] = _finite(name, value)
        values = self._checked_state(state or {})
        part = slice(self.completed, self.completed + self.next_block)
        for index in range(len(self.header.temperatures)):
            self._file["x"][index, part] = rows(index)
        for name, value in series.items():
            self._file[name][:, part] = value
        commit = Commit(part.stop, self._commit.next_slot)
        for key, value in values.items():
            self._file[f"last/{key}"][commit.slot] = value
        self._sync()
        write_commit(self._file, commit)
        self._commit = commit

    def _sync(self) -> None:
        # Not flush alone: after a power failure the record must not be there without the data it counts.
        self._file.flush()
        os.fsync(self._file.id.get_vfd_handle())

    def _check_shape(self, name: str, value: Array, tail: tuple[int, ...]) -> None:
        if self.next_block == 0:
            raise ValueError(f"{self.path}: all {self.header.draws} draws are completed")
        shape = (len(self.header.temperatures), self.next_block, self.header.chains, *tail)
        if tuple(value.shape) != shape:
            raise ValueError(f"{name} must have shape {shape} for the next block, got {tuple(value.shape)}")

    def _checked_state(self, state: State) -> State:
        if sorted(state) != self._state_keys:
            raise ValueError(f"state must hold {self._state_keys} as at creation, got {sorted(state)}")
        for key, value in state.items():
            slots = self._file[f"last/{key}"]
            if value.shape != slots.shape[1:] or value.dtype != slots.dtype:
                like = f"{slots.dtype}{slots.shape[1:]}"
                raise ValueError(f"state '{key}' must be {like} as at creation, got {value.dtype}{value.shape}")
        return state

    def _blank_edges(self) -> None:
        """Makes chunks that reach beyond the last draw readable again.

        HDF5 reads such a chunk before it overwrites a part of it, and a kill may have left one half-written.
        """
        if self.next_block == 0:
            return
        for spec in data_specs(self.header):
            for origin in spec.edge_chunks():
                self._file[spec.name].id.write_direct_chunk(origin, blank_chunk(spec))


def _default_block(sites: int, draws: int) -> int:
    most = max(1, 8 * _BLOCK_BYTES // max(1, sites))
    return min(draws, 1 << (most.bit_length() - 1))


def _finite(name: str, value: Array) -> NDArray[Any]:
    array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, NaN or infinity found")
    return array
