"""Reading HDF5 files that somebody else may have made: hard links and plain arrays only, clear errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

_LARGE = 4 << 30  # bytes
_RATIO = 1000


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """The HDF5 file, open for reading without a lock, so that a running writer does not shut readers out.

    Raises FileNotFoundError or ValueError, with one line, for what is missing, not HDF5 or truncated.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if not path.is_file():
        raise ValueError(f"{path}: not a file")
    with path.open("rb"):
        pass  # no permission: say so, rather than "not an HDF5 file"
    if not h5py.is_hdf5(path):
        raise ValueError(f"{path}: not an HDF5 file")
    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise ValueError(f"{path}: truncated or damaged HDF5 file ({_cause(error)})") from None
    with file, reading(path, "the structure"):
        yield file


@contextmanager
def reading(path: str | Path, what: str) -> Iterator[None]:
    """Turns whatever HDF5 raises on damaged data, a wrong checksum above all, into a ValueError that names the file."""
    try:
        yield
    except Exception as error:
        if isinstance(error, ValueError) and str(error).startswith(str(path)):
            raise
        cause = _cause(error)
        # HDF5 has no word of its own for a wrong checksum of data; ours is the only filter of our files.
        reason = "fails its checksum" if "filter" in cause else f"cannot be read ({cause})"
        raise ValueError(f"{path}: {what} {reason}: the file is damaged, restore a copy or make it again") from None


def member(file: h5py.File, name: str) -> h5py.Dataset:
    """The array ``name`` of the file, if it is a plain one.

    Every part of the name must be a hard link, because soft and external ones may lead to any file of the machine;
    virtual and external storage are refused for the same reason.

    Raises ValueError, also for a declared size over 4 GiB that is 1000 times what is stored, and for an array that
    does not hold numbers.
    """
    node: h5py.HLObject = file
    for part in name.strip("/").split("/"):
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if link is None:
            raise ValueError(f"{file.filename}: no array '{name}' inside")
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{file.filename}: refused: '{name}' goes through a soft or external link")
        node = node[part]
    if not isinstance(node, h5py.Dataset):
        raise ValueError(f"{file.filename}: '{name}' is not an array")
    if node.is_virtual or node.external:
        raise ValueError(f"{file.filename}: refused: '{name}' keeps its data in other files")
    if node.dtype.kind not in "biuf" or node.shape is None:
        raise ValueError(f"{file.filename}: '{name}' does not hold plain numbers")
    stored = node.id.get_storage_size()
    if node.nbytes > max(_LARGE, _RATIO * stored):
        raise ValueError(f"{file.filename}: refused: '{name}' claims {node.nbytes} bytes but stores {stored}")
    return node


def _cause(error: BaseException) -> str:
    text = (str(error) or type(error).__name__).replace("\n", " ")
    # h5py puts HDF5's innermost message in brackets at the end.
    return text[text.find("(") + 1 : text.rfind(")")] if "(" in text and ")" in text else text
