"""Files that are missing, truncated, foreign, damaged or hostile: one clear line each."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from ebmphys.dataset import Dataset, Writer


def edit(path: Path, change) -> Path:
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def relink(name: str, link):
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = link

    return change


def replace(name: str, **options):
    def change(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, **options)

    return change


def attribute(name: str, value):
    stored = np.bytes_(value) if isinstance(value, str) else value
    return lambda file: file.attrs.__setitem__(name, stored)


def virtual(file: h5py.File) -> None:
    shape = file["x"].shape
    del file["x"]
    layout = h5py.VirtualLayout(shape, np.uint8)
    layout[:] = h5py.VirtualSource("other.h5", "x", shape)
    file.create_virtual_dataset("x", layout)


def outside(file: h5py.File) -> None:
    shape = file["x"].shape
    del file["x"]
    file.create_dataset("x", shape, np.uint8, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


CHANGES = {
    "no format": (lambda f: f.attrs.__delitem__("format"), "not an ebmphys dataset"),
    "other format": (attribute("format", "somebody's"), "not an ebmphys dataset"),
    "odd format": (attribute("format", np.arange(3)), "not an ebmphys dataset"),
    "newer": (attribute("format_version", 2), "format version 2 is newer"),
    "odd version": (attribute("format_version", "one"), "'format_version' is not a whole number"),
    "unit": (attribute("unit", "potts"), "unit must be one of"),
    "n_sites": (attribute("n_sites", 40), "checksum .sha256."),
    "shape": (attribute("shape", np.array([6, 6])), "damaged dataset: shape"),
    "block": (attribute("block", 0), "block must be at least 1"),
    "settings": (attribute("settings", "{"), "damaged dataset"),
    "text of variable length": (lambda f: f.attrs.__setitem__("settings", "{}"), "damaged dataset"),
    "settings type": (attribute("settings", "[1]"), "'settings' is not a JSON object"),
    "nested settings": (attribute("settings", "[" * 100_000), "nested too deeply"),
    "model": (attribute("model", "3"), "'model' is not a JSON object"),
    "edited settings": (attribute("settings", '{"seed": 2}'), "do not have their checksum 'sha256'"),
    "no checksum": (lambda f: f.attrs.__delitem__("sha256"), "do not have their checksum 'sha256'"),
    "no shape": (lambda f: f.attrs.__delitem__("shape"), "damaged dataset"),
    "no x": (lambda f: f.__delitem__("x"), "no array 'x'"),
    "x a group": (lambda f: (f.__delitem__("x"), f.create_group("x")), "'x' is not an array"),
    "soft link": (relink("x", h5py.SoftLink("/energy")), "soft or external link"),
    "external link": (relink("x", h5py.ExternalLink("other.h5", "/x")), "soft or external link"),
    "linked group": (relink("last", h5py.ExternalLink("other.h5", "/last")), "soft or external link"),
    "virtual": (virtual, "keeps its data in other files"),
    "external storage": (outside, "keeps its data in other files"),
    "x type": (replace("x", shape=(3, 25, 4, 5), dtype="f8"), "/x is float64"),
    "x text": (replace("x", shape=(3, 25, 4, 5), dtype=h5py.string_dtype()), "does not hold plain numbers"),
    "x size": (replace("x", shape=(3, 25, 4, 6), dtype="u1"), "/x is uint8"),
    "x axes": (replace("x", shape=(3, 25, 4), dtype="u1"), "four axes"),
    "energy size": (replace("energy", shape=(3, 24, 4), dtype="f8"), "/energy is float64"),
    "records": (replace("last/completed", shape=(), dtype="i8"), "/last/completed is int64"),
    "completed": (lambda f: f["last/completed"].write_direct(np.array([26, -5])), "no record of completed draws"),
    "between blocks": (lambda f: f["last/completed"].write_direct(np.array([7, 3])), "no record of completed draws"),
    "temperature": (lambda f: f["temperature"].__setitem__(0, -1.0), "temperatures must be positive"),
    "bomb": (replace("x", shape=(3, 10**6, 10**6, 5), dtype="u1", chunks=(1, 1, 1, 5)), "refused: 'x' claims"),
    "zip bomb": (
        replace("x", shape=(3, 1 << 20, 1 << 9, 5), dtype="u1", chunks=(1, 1024, 512, 5), compression="gzip"),
        "refused: 'x' claims",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_file_is_refused(written, name):
    change, message = CHANGES[name]
    edit(written, change)
    for open_it in (Dataset, Writer.resume):
        with pytest.raises(ValueError, match=message) as error:
            open_it(written)
        assert "run.h5" in str(error.value) and "\n" not in str(error.value)


def test_state_behind_a_link_is_refused(written):
    edit(written, relink("last/rng", h5py.ExternalLink("other.h5", "/rng")))
    with pytest.raises(ValueError, match="soft or external link"):
        Writer.resume(written)


def test_repacked_file_is_read(run, written, tmp_path):
    """Compression is nobody's crime: a file that was rewritten with gzip reads the same."""
    with h5py.File(written, "r+") as file:
        x = file["x"][()]
        del file["x"]
        file.create_dataset("x", data=x, compression="gzip")
    run.check(written, 25)


def test_missing_and_odd_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        Dataset(tmp_path / "nothing.h5")
    with pytest.raises(ValueError, match="not a file"):
        Dataset(tmp_path)
    for content in (b"", b"x", b"not HDF5 at all" * 100, b"\x89HDF\r\n\x1a\n"):
        path = tmp_path / "text.h5"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"not an HDF5 file|truncated or damaged"):
            Dataset(path)


def test_truncated_at_any_length(written):
    whole = written.read_bytes()
    for length in [*range(1, 2000, 97), *np.linspace(2000, len(whole) - 1, 20).astype(int)]:
        written.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"not an HDF5 file|truncated or damaged"):
            Dataset(written)


def test_flipped_bits_in_the_configurations_are_noticed(run, written):
    """Any one bit of any stored byte of /x, /energy and /magnetization, checksums included."""
    whole, rng = written.read_bytes(), np.random.default_rng(1)
    with h5py.File(written) as file:
        chunks = [
            file[name].id.get_chunk_info(i)
            for name in ("x", "energy", "magnetization")
            for i in range(file[name].id.get_num_chunks())
        ]
    for info in rng.choice(np.array(chunks, dtype=object), 60):
        spoiled = bytearray(whole)
        spoiled[info[2] + int(rng.integers(info[3]))] ^= 1 << int(rng.integers(8))
        written.write_bytes(spoiled)
        with pytest.raises(ValueError, match="fails its checksum: the file is damaged"):
            run.check(written, 25)
    written.write_bytes(whole)
    run.check(written, 25)


def test_a_flipped_bit_anywhere_is_harmless_or_noticed(run, written):
    """Index, header and axes too: a read gives the right numbers or an error, never others."""
    whole, rng, noticed = written.read_bytes(), np.random.default_rng(2), 0
    for _ in range(150):
        spoiled = bytearray(whole)
        spoiled[int(rng.integers(len(whole)))] ^= 1 << int(rng.integers(8))
        written.write_bytes(spoiled)
        try:
            data = Dataset(written)
            assert data.settings == {"seed": 1} and data.provenance == {} and data.model is None
            run.check(written)  # a spoiled record of completed draws may show a block less
        except ValueError as error:
            assert "run.h5: " in str(error) and "\n" not in str(error)
            noticed += 1
    assert noticed > 30
