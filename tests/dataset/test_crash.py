"""A kill, at any moment, costs the block in progress and nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import ebmphys.dataset.writer as writing
from ebmphys.dataset import Dataset, Writer

HARNESS = Path(__file__).with_name("kill_harness.py")


@pytest.mark.parametrize("kills", [15, pytest.param(100, marks=pytest.mark.slow)])
def test_kill_at_random_moments(tmp_path, kills):
    command = [sys.executable, str(HARNESS), str(tmp_path / "a.h5"), str(kills), "1"]
    seen = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert (seen["kills"], seen["wrong"], seen["size_changed"]) == (kills, 0, 0), seen
    assert seen["resumed_equals_whole"], seen
    assert len(set(seen["completed"])) > min(kills, 60) // 2, "the kills must have hit different blocks"


@pytest.fixture
def stops(run, tmp_path, monkeypatch) -> list[tuple[int, Path]]:
    """Copies of the file as a kill would leave it: before and after each flush of a whole run, and within blocks.

    With each goes the number of draws whose ``write`` had returned.
    """
    copies: list[tuple[int, Path]] = []
    path = tmp_path / "a.h5"
    writer = run.create(path)
    flush, sync = h5py.File.flush, writing.os.fsync

    def copy() -> None:
        target = tmp_path / f"stop{len(copies)}.h5"
        shutil.copy(path, target)
        copies.append((writer.completed, target))

    def watched_flush(file: h5py.File) -> None:
        copy()
        flush(file)
        copy()

    def watched_sync(descriptor: int) -> None:
        copy()
        sync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(h5py.File, "flush", watched_flush)
        patch.setattr(writing.os, "fsync", watched_sync)
        run.finish(writer)
    assert len(copies) >= 15
    return copies


def test_every_stop_is_consistent_and_resumes_to_the_same_data(run, stops):
    for returned, path in stops:
        completed = run.check(path)  # all that is completed is right
        assert completed >= returned
        with Writer.resume(path) as writer:
            for key, value in run.state(completed).items():
                assert np.array_equal(writer.state()[key], value)
        run.finish(Writer.resume(path))
        run.check(path, 25)


def test_data_reach_the_disk_before_the_record(run, tmp_path, monkeypatch):
    """The order that counts in a power failure, which no test can bring about."""
    events: list[str] = []
    writer = run.create(tmp_path / "a.h5")
    sync, record = writing.os.fsync, writing.write_commit
    monkeypatch.setattr(writing.os, "fsync", lambda descriptor: (events.append("sync"), sync(descriptor)))
    monkeypatch.setattr(writing, "write_commit", lambda *given: (events.append("record"), record(*given)))
    run.finish(writer)
    assert events == ["sync", "record"] * 3 + ["sync"]


def test_nothing_but_data_changes_while_a_run_is_written(run, tmp_path):
    """Header, links, axes and indices of chunks stay as they were at creation, byte by byte."""
    path = tmp_path / "a.h5"
    run.create(path).close()
    before = np.frombuffer(path.read_bytes(), np.uint8)
    run.finish(Writer.resume(path))
    after = np.frombuffer(path.read_bytes(), np.uint8)
    assert len(before) == len(after)
    is_data = np.zeros(len(after), bool)
    for _, _, offset, size in stored_chunks(path):
        is_data[offset : offset + size] = True
    assert np.array_equal(before[~is_data], after[~is_data]) and not np.array_equal(before, after)
    assert b"FADB" in before.tobytes() and b"TREE" not in before.tobytes(), "the index of chunks has no checksums"
    assert before[8] == 2, "a superblock of version 3 would be marked as open by a kill"


@pytest.mark.parametrize("completed", [0, 10, 20])
def test_garbage_in_all_that_is_not_committed(run, tmp_path, completed):
    """A kill tears what is being written anyhow: the uncommitted chunks, the other slot, the other record."""
    path = tmp_path / "a.h5"
    with run.create(path) as writer:
        while writer.completed < completed:
            run.write(writer)
    rng = np.random.default_rng(completed)
    with h5py.File(path) as file:
        slot = int(np.argmax(file["last/completed"][()]))
    spoiled = spoil(path, rng, lambda name, at: at[0] != slot if name.startswith("last/") else at[1] >= completed)
    assert {"x", "energy", "magnetization", "last/x", "last/rng", "last/completed"} == spoiled
    run.check(path, completed)
    with Writer.resume(path) as writer:
        for key, value in run.state(completed).items():
            assert np.array_equal(writer.state()[key], value)
    run.finish(Writer.resume(path))
    run.check(path, 25)


def test_spoiling_what_is_committed_is_noticed(run, tmp_path):
    """The control of the test above: the same garbage in the committed chunks is an error."""
    path = tmp_path / "a.h5"
    with run.create(path) as writer:
        run.write(writer)
    spoil(path, np.random.default_rng(1), lambda name, origin: name == "x" and origin[1] == 0)
    with pytest.raises(ValueError, match="fails its checksum"):
        Dataset(path).x(2.0)


def test_a_spoiled_record_falls_back_to_the_block_before(run, tmp_path):
    path = tmp_path / "a.h5"
    with run.create(path) as writer:
        run.write(writer)
        run.write(writer)
    spoil(path, np.random.default_rng(1), lambda name, origin: name == "last/completed" and origin[0] == 0)
    run.check(path, 10)
    run.finish(Writer.resume(path))
    run.check(path, 25)


def test_no_whole_record_and_a_spoiled_state(run, tmp_path):
    path = tmp_path / "a.h5"
    run.create(path).close()
    spoil(path, np.random.default_rng(1), lambda name, origin: name == "last/rng")
    with Writer.resume(path) as writer, pytest.raises(ValueError, match="the last state fails its checksum"):
        writer.state()
    spoil(path, np.random.default_rng(1), lambda name, origin: name == "last/completed")
    with pytest.raises(ValueError, match="no record of completed draws is whole"):
        Dataset(path)


def spoil(path: Path, rng: np.random.Generator, chosen) -> set[str]:
    """Overwrites the chosen chunks with random bytes, checksums too. -> the names of the arrays that were hit."""
    hit = set()
    for name, origin, offset, size in stored_chunks(path):
        if chosen(name, origin):
            with path.open("r+b") as raw:
                raw.seek(offset)
                raw.write(rng.bytes(size))
            hit.add(name)
    return hit


def stored_chunks(path: Path) -> list[tuple[str, tuple[int, ...], int, int]]:
    """(array, origin, place in the file, bytes) of all chunks that a run writes."""
    chunks = []
    with h5py.File(path) as file:
        for name in ("x", "energy", "magnetization", "last/x", "last/rng", "last/completed"):
            array = file[name]
            for index in range(array.id.get_num_chunks()):
                info = array.id.get_chunk_info(index)
                chunks.append((name, info.chunk_offset, info.byte_offset, info.size))
    return chunks
