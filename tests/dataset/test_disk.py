"""A full disk is one clear line before anything is sampled, and never a half-written file."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ebmphys.dataset.disk as disk
from ebmphys.dataset import Dataset, Writer, layout
from ebmphys.dataset.header import Header

SIZE = {"temperatures": [1.0, 2.0], "draws": 64, "chains": 16, "n_sites": 32 * 32 * 32, "block": 8}  # 8.4 MB


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 12 MB."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    place = tmp_path / "small"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", "size=12m", "tmpfs", str(place)]
    if not mount or not umount or subprocess.run([mount, *options], capture_output=True).returncode:
        pytest.skip("mounting a file system is not permitted here")
    yield place
    subprocess.run([umount, str(place)], check=True)


def generous(path: object) -> object:
    """A disk that claims more space than it has, as a quota makes it do."""
    return shutil._ntuple_diskusage(1 << 50, 0, 1 << 50)


@pytest.mark.parametrize("ask", ["free space", "reservation", "zeros"])
def test_full_disk(small_disk, monkeypatch, ask):
    (small_disk / "other").write_bytes(bytes(5 << 20))
    if ask != "free space":
        monkeypatch.setattr(disk.shutil, "disk_usage", generous)
    if ask == "zeros":
        monkeypatch.delattr(os, "posix_fallocate")
    with pytest.raises(OSError, match="needs") as error:
        Writer.create(small_disk / "a.h5", **SIZE)
    assert error.value.errno == errno.ENOSPC and "\n" not in str(error.value)
    assert "a.h5" in str(error.value) and "8." in str(error.value) and "MB" in str(error.value)
    assert [p.name for p in small_disk.iterdir()] == ["other"]


def test_a_refused_file_leaves_the_old_one(small_disk, monkeypatch):
    path = small_disk / "a.h5"
    Writer.create(path, **SIZE).close()
    before = path.read_bytes()
    with pytest.raises(OSError, match="needs"):
        Writer.create(path, **SIZE, force=True)
    assert path.read_bytes() == before


def test_a_disk_that_fills_up_later_does_not_matter(small_disk):
    path, rng = small_disk / "a.h5", np.random.default_rng(1)
    bits = rng.integers(0, 256, (2, 64, 16, 4096), dtype=np.uint8)
    series = rng.normal(size=(2, 64, 16))
    with Writer.create(path, **SIZE) as writer:
        with pytest.raises(OSError, match="No space"), (small_disk / "other").open("wb", buffering=0) as other:
            while True:
                other.write(bytes(4096))
        assert shutil.disk_usage(small_disk).free == 0
        while writer.next_block:
            part = slice(writer.completed, writer.completed + writer.next_block)
            writer.write_packed(bits[:, part], series[:, part], series[:, part])
    assert np.array_equal(Dataset(path).packed(2.0), bits[1])
    assert np.array_equal(Dataset(path).energy(1.0), series[0])


def test_limit_on_the_size_of_files(tmp_path):
    """A quota of the process instead of the disk; in a process of its own, whose exit must be clean."""
    code = (
        "import resource\n"
        "from ebmphys.dataset import Writer\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "try:\n"
        f"    Writer.create({str(tmp_path / 'a.h5')!r}, **{SIZE!r})\n"
        "except OSError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    assert "cannot reserve the 8." in done.stdout and "File too large" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_that_cannot_reserve_is_filled_with_zeros(run, tmp_path, monkeypatch, code):
    def refuse(*arguments: object) -> None:
        raise OSError(code, "not here")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    run.finish(run.create(tmp_path / "a.h5"))
    run.check(tmp_path / "a.h5", 25)


def test_a_failure_while_the_structure_is_made_leaves_nothing(run, tmp_path, monkeypatch):
    def fail(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ebmphys.dataset.writer.build", fail)
    with pytest.raises(KeyboardInterrupt):
        run.create(tmp_path / "a.h5")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seed", range(12))
def test_the_space_asked_for_is_enough_and_little_more(tmp_path, seed):
    """What is reserved is an upper bound of what HDF5 then takes, and the file keeps its size while it is written."""
    rng = np.random.default_rng(seed)
    temperatures = 1.0 + np.arange(rng.integers(1, 30))
    draws, chains, n_sites = rng.integers(1, (300, 20, 3000)).tolist()
    state = {"x": np.zeros((len(temperatures), chains, n_sites), np.int8), "rng": np.zeros(5056, np.uint8)}
    unit = ["spin", "gaussian"][seed % 2]
    size = {"draws": draws, "chains": chains, "n_sites": n_sites, "unit": unit, "block": int(rng.integers(1, 50))}
    path = tmp_path / "a.h5"
    with Writer.create(path, temperatures=temperatures, state=state, **size) as writer:
        made = path.stat().st_size
        asked = layout.needed_bytes(writer.header, state)
        assert made <= asked < 1.2 * made + 2 * layout._METADATA + 400 * chunks_of(writer.header)
        assert path.stat().st_blocks * 512 >= made, "no holes"


def test_the_space_asked_for_is_enough_for_many_small_chunks(tmp_path):
    size = {"temperatures": [1.0, 2.0], "draws": 20_000, "chains": 1, "n_sites": 9, "block": 1}
    with Writer.create(tmp_path / "a.h5", **size) as writer:
        assert (tmp_path / "a.h5").stat().st_size <= layout.needed_bytes(writer.header, {})


def chunks_of(header: Header) -> int:
    return sum(s.bytes // (np.prod(s.chunk) * s.dtype.itemsize) for s in layout.data_specs(header))


def test_peak_memory_of_ten_to_the_eight_spins(tmp_path):
    assert peak_megabytes(tmp_path, 10**8) < 60


@pytest.mark.slow
def test_peak_memory_of_ten_to_the_nine_spins(tmp_path):
    assert peak_megabytes(tmp_path, 10**9) < 60


def peak_megabytes(tmp_path: Path, spins: int) -> float:
    """Memory that creating and writing a file takes, beyond imports and one block."""
    code = (
        "import resource, numpy as np, torch\n"
        "from ebmphys.dataset import Dataset, Writer\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "x = 2 * np.random.default_rng(1).integers(0, 2, (4, 10, 50, 1024), np.int8) - 1\n"
        "series = x.mean(-1)\n"
        "before = peak()\n"
        f"with Writer.create({str(tmp_path / 'a.h5')!r}, temperatures=[1, 2, 3, 4], chains=50, n_sites=1024,\n"
        f"                   draws={spins} // (4 * 50 * 1024) + 1, block=10) as writer:\n"
        "    while writer.next_block:\n"
        "        part = slice(writer.next_block)\n"
        "        writer.write(x[:, part], series[:, part], series[:, part])\n"
        "print(peak() - before)\n"
    )
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
