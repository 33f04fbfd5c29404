"""Other people's configurations: .npy, .npz, .h5 and pickles, in the shapes and values that are usual."""

from __future__ import annotations

import math
import re
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from ebmphys.dataset.bits import site_bytes
from ebmphys.dataset.header import is_dataset
from ebmphys.dataset.pickles import load_pickled_array
from ebmphys.dataset.safety import member, opened, reading

_TEMPERATURE = re.compile(r"(?<![A-Za-z])T[=_]?(\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?![\d.]*\d)")
_LARGE, _RATIO = 4 << 30, 1000


class ForeignData(NamedTuple):
    """Imported configurations: x (n, n_sites) bool, True the upper value; the lattice's shape; the temperature in
    the file's name, if any; and in words how the array was read."""

    x: NDArray[np.bool_]
    shape: tuple[int, ...]
    temperature: float | None
    note: str


def load_foreign(path: str | Path, *, shape: Sequence[int] | None = None, key: str | None = None) -> ForeignData:
    """Two-valued configurations from a .npy, .npz, .h5 or .pkl file.

    Arrays of -1/+1 or 0/1 in the shapes (n, L, W), (n, N), (L, W), or uint8 with eight sites a byte in the order of
    ``numpy.packbits``, (n, N / 8). ``shape`` is the lattice's: it is needed unless the array shows it, and settles
    what is ambiguous. ``key`` names the array in a file of several. Pickles are read without running anything.

    Raises FileNotFoundError, or ValueError with one line for a file, a shape or values that cannot be used.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    array = _load(path, key)
    if array.dtype.kind not in "biuf" or array.size == 0:
        raise ValueError(f"{path}: needs a non-empty array of numbers, got {array.dtype} of shape {array.shape}")
    lattice = None if shape is None else tuple(int(n) for n in shape)
    if lattice is not None and min(lattice, default=0) < 1:
        raise ValueError(f"shape must have sizes of at least 1, got {lattice}")
    try:
        x, lattice, note = _configurations(array, lattice)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    found = _TEMPERATURE.search(path.stem if path.suffix else path.name)
    return ForeignData(x, lattice, float(found[1]) if found and float(found[1]) > 0 else None, note)


def _load(path: Path, key: str | None) -> NDArray[Any]:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # headers that Python 2 wrote
            try:
                # mapped: a declared size beyond the file is an error instead of an allocation
                return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
            except (ValueError, EOFError, OSError) as error:
                raise ValueError(f"{path}: not a usable .npy file ({_one_line(error)})") from None
    if suffix == ".npz":
        return _load_npz(path, key)
    if suffix in (".h5", ".hdf5", ".hdf"):
        return _load_hdf5(path, key)
    if suffix in (".pkl", ".pickle", ".p"):
        return load_pickled_array(path)
    raise ValueError(f"{path}: cannot import '{suffix}', only .npy, .npz, .h5 and .pkl")


def _load_npz(path: Path, key: str | None) -> NDArray[Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            name = _choose(path, list(members), key)
            info = members[name]
            if info.file_size > max(_LARGE, _RATIO * info.compress_size):
                raise ValueError(f"refused: '{name}' claims {info.file_size} bytes, stores {info.compress_size}")
            with archive.open(info) as stream:
                version = np.lib.format.read_magic(stream)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                size, _, dtype = read(stream)
                if math.prod(size) * dtype.itemsize > info.file_size:
                    raise ValueError(f"'{name}' is shorter than its shape {size}")
        with np.load(path, allow_pickle=False) as arrays:
            return np.asarray(arrays[name])
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, RuntimeError, MemoryError) as error:
        text = _one_line(error)
        raise ValueError(text if text.startswith(str(path)) else f"{path}: not a usable .npz file ({text})") from None


def _load_hdf5(path: Path, key: str | None) -> NDArray[Any]:
    with opened(path) as file:
        if is_dataset(file):
            raise ValueError(f"{path}: an ebmphys dataset already, nothing to import")
        names: list[str] = []
        file.visititems(lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None)
        array = member(file, key if key is not None else _choose(path, names, None))
        with reading(path, f"'{array.name}'"):
            return np.asarray(array[()])


def _choose(path: Path, names: list[str], key: str | None) -> str:
    there = ", ".join(sorted(names)[:20]) or "nothing"
    if key is None and len(names) == 1:
        return names[0]
    if key is None:
        raise ValueError(f"{path}: say which array to import by its key, there are: {there}")
    if key not in names:
        raise ValueError(f"{path}: no array '{key}', there are: {there}")
    return key


def _configurations(
    array: NDArray[Any], shape: tuple[int, ...] | None
) -> tuple[NDArray[np.bool_], tuple[int, ...], str]:
    """Configurations, lattice and a note, from an array in any of the usual forms."""
    if _is_packed(array, shape):
        if shape is None:
            if array.ndim != 2:
                raise ValueError(f"bytes of shape {array.shape} hold eight sites each: give the lattice's shape")
            shape = _square(8 * array.shape[1])
        n_sites = math.prod(shape)
        if array.size % site_bytes(n_sites) or (array.ndim > 1 and array.shape[-1] != site_bytes(n_sites)):
            raise ValueError(f"an array of {array.shape} bytes does not hold lattices of shape {shape}")
        rows = array.reshape(-1, site_bytes(n_sites))
        return np.unpackbits(rows, axis=-1)[:, :n_sites].astype(bool), shape, "eight sites a byte, in packbits order"
    note, guessed = "", False
    if shape is None:
        shape, guessed = _shape_of(array), True
    n_sites = math.prod(shape)
    if array.shape[-len(shape) :] != shape and array.shape[-1:] != (n_sites,):
        raise ValueError(f"an array of shape {array.shape} does not hold lattices of shape {shape}")
    x, note = _upper(array)
    x = x.reshape(-1, n_sites)
    if guessed and len(x) == 1 and len(set(shape)) == 1:
        note += f"; read as one lattice of shape {shape}: give the shape if these are {shape[0]} configurations"
    return x, shape, note


def _is_packed(array: NDArray[Any], shape: tuple[int, ...] | None) -> bool:
    if array.dtype != np.uint8:
        return False
    if shape is not None and (array.shape[-len(shape) :] == shape or array.shape[-1:] == (math.prod(shape),)):
        return False
    packed_width = shape is not None and array.shape[-1:] == (site_bytes(math.prod(shape)),)
    return packed_width or int(array.max()) > 1


def _shape_of(array: NDArray[Any]) -> tuple[int, ...]:
    """The lattice's shape where the array shows it: (n, L, W), (L, L), (n, N) with N a square."""
    if array.ndim == 3:
        return array.shape[1:]
    if array.ndim == 2:
        return array.shape if array.shape[0] == array.shape[1] else _square(array.shape[1])
    raise ValueError(f"an array of shape {array.shape} does not show its lattice: give the shape")


def _square(n_sites: int) -> tuple[int, ...]:
    side = math.isqrt(n_sites)
    if side * side != n_sites:
        raise ValueError(f"{n_sites} sites are not a square lattice: give the shape")
    return side, side


def _upper(array: NDArray[Any]) -> tuple[NDArray[np.bool_], str]:
    """Where the upper value is, and which values there are.

    Raises ValueError for NaN, infinity and values that are neither -1/+1 nor 0/1.
    """
    if array.dtype == np.bool_:
        return array, "False and True"
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{int((~np.isfinite(array)).sum())} values are NaN or infinite")
    up, zero, down = array == 1, array == 0, array == -1
    if (up | down).all():
        return up, "values -1 and +1"
    if (up | zero).all():
        return up, "values 0 and 1"
    found = np.unique(array)
    listed = ", ".join(f"{value:g}" for value in found[:6].astype(float)) + (", ..." if len(found) > 6 else "")
    raise ValueError(f"values must be -1 and +1, or 0 and 1, found {listed}")


def _one_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
