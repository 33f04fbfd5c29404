"""The arrays of a file, all made before the first draw, so that sampling only overwrites bytes in place.

Space for every chunk and the index of chunks is allocated at creation. Writing a block then changes no metadata,
which is why a kill at any moment leaves the file readable. No chunk holds draws of two blocks, so a block that is
being written cannot touch one that is complete.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import h5py
import numpy as np
from numpy.typing import NDArray

from ebmphys.dataset.header import Header
from ebmphys.dataset.safety import member

# Arrays in this format have checksums in their metadata and their index of chunks too (in older ones a flipped bit of
# the index makes a chunk read as zeros without an error). The file itself is made in the older format, because the
# newer one is marked as open while it is written, and a kill leaves the mark behind: nothing opens it then.
LIBVER = ("v110", "v110")
_FILE_LIBVER = ("v108", "v108")
TARGET_CHUNK = 1 << 18  # bytes: from 64 KiB to 1 MiB reads take the same time, larger chunks take longer
SMALLEST_CHUNK = 1 << 14
CHECKSUM = 4

_INDEX_ENTRY = 64  # bytes, from above, that a chunk costs in the index
_METADATA = 1 << 18
_DIMENSION = "This is a netCDF dimension but not a netCDF variable.{:10d}"

State = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class ArraySpec:
    """One array of the file: chunked, checksummed, allocated at once."""

    name: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: np.dtype[np.generic]
    fill: float = 0
    attributes: Mapping[str, str] | None = None

    @property
    def bytes(self) -> int:
        """Disk space, from above."""
        chunks = math.prod(-(-n // c) for n, c in zip(self.shape, self.chunk, strict=True))
        return chunks * (math.prod(self.chunk) * self.dtype.itemsize + CHECKSUM + _INDEX_ENTRY)

    def edge_chunks(self) -> Iterator[tuple[int, ...]]:
        """Origins of the chunks that reach beyond the last draw."""
        draws, width = self.shape[1], self.chunk[1]
        if draws % width:
            starts = [range(0, n, c) for n, c in zip(self.shape, self.chunk, strict=True)]
            starts[1] = range(draws - draws % width, draws, width)
            yield from product(*starts)


def data_specs(header: Header) -> list[ArraySpec]:
    """The arrays with a draw axis: /x, /energy, /magnetization."""
    temperatures, chains = len(header.temperatures), header.chains
    width = header.row_bytes if header.packed else header.n_sites
    lead = (temperatures, header.draws, chains)
    per_chunk = _part(chains, header.row_bytes)
    rows = _draws_part(header, per_chunk * header.row_bytes)
    dtype = np.dtype(np.uint8 if header.packed else np.float32)
    x = ArraySpec(
        "x",
        ("temperature", "draw", "chain", "site_byte" if header.packed else "site"),
        (*lead, width),
        (1, rows, per_chunk, width),
        dtype,
        attributes={"bit_order": "site i is bit 7 - i % 8 of byte i // 8"} if header.packed else None,
    )
    some = _part(temperatures, chains * 8)
    series = (some, _draws_part(header, some * chains * 8), chains)
    about = {
        "energy": {"long_name": "total energy E of a configuration, without beta", "units": "J"},
        "magnetization": {"long_name": "m = sum x / N, signed", "units": "per site"},
    }
    nan = float("nan")  # a draw that is still to come
    return [x] + [
        ArraySpec(name, ("temperature", "draw", "chain"), lead, series, np.dtype(np.float64), nan, text)
        for name, text in about.items()
    ]


def state_specs(state: State) -> list[ArraySpec]:
    """Two slots of the state that a restart needs, and the number of draws each belongs to.

    Raises ValueError for a state that is empty or does not hold plain numbers.
    """
    specs = [ArraySpec("last/completed", (), (2,), (1,), np.dtype(np.int64), -1)]
    for key, value in state.items():
        if key == "completed" or not key.isidentifier() or value.dtype.kind not in "biuf" or value.size == 0:
            raise ValueError(f"state '{key}' must be a non-empty array of numbers under a plain name")
        chunk = tuple(value.shape)
        if chunk:
            chunk = (_part(chunk[0], value.nbytes // chunk[0]), *chunk[1:])
        specs.append(ArraySpec(f"last/{key}", (), (2, *value.shape), (1, *chunk), value.dtype))
    return specs


def needed_bytes(header: Header, state: State) -> int:
    """The size of the file, from above, known before it is made."""
    texts = sum(len(value) for value in header.attributes().values() if isinstance(value, str))
    return _METADATA + 4 * texts + sum(spec.bytes for spec in [*data_specs(header), *state_specs(state)])


def empty_image() -> bytes:
    """The bytes of an HDF5 file with nothing in it."""
    image = io.BytesIO()
    with h5py.File(image, "w", libver=_FILE_LIBVER):
        pass
    return image.getvalue()


def build(file: h5py.File, header: Header, state: State) -> None:
    """Makes all arrays, with their space, the scales of their axes and the attributes."""
    for name, value in header.attributes().items():
        # fixed length: inside HDF5's checksums, unlike texts of variable length
        file.attrs[name] = np.bytes_(value.encode()) if isinstance(value, str) else value
    dcpl = _creation(ArraySpec("", (), (), (len(header.temperatures),), np.dtype(np.float64)))
    scale = file.create_dataset("temperature", data=np.asarray(header.temperatures, np.float64), dcpl=dcpl)
    scale.attrs["long_name"], scale.attrs["units"] = "temperature, k_B T / J", "J / k_B"
    scale.make_scale("temperature")
    file.create_group("last")
    for spec in data_specs(header):
        array = _create(file, spec)
        for axis, name in enumerate(spec.axes):
            if name not in file:
                size = spec.shape[axis]
                # Of these axes only the length matters: no values, no space.
                file.create_dataset(name, (size,), "i4").make_scale(_DIMENSION.format(size))
            array.dims[axis].attach_scale(file[name])
    for spec in state_specs(state):
        _create(file, spec)


def check_layout(file: h5py.File, header: Header) -> None:
    """Raises ValueError if an array is missing or is not what the header says."""
    for spec in [*data_specs(header), *state_specs({})]:
        array = member(file, spec.name)
        if array.shape != spec.shape or array.dtype != spec.dtype:
            raise ValueError(
                f"{file.filename}: damaged dataset: /{spec.name} is {array.dtype}{array.shape}, "
                f"its header says {spec.dtype}{spec.shape}"
            )


def blank_chunk(spec: ArraySpec) -> bytes:
    """The stored bytes, checksum included, of a chunk that nothing has been written to."""
    with h5py.File(io.BytesIO(), "w", libver=LIBVER) as file:
        whole = ArraySpec("blank", (), spec.chunk, spec.chunk, spec.dtype, spec.fill)
        return bytes(_create(file, whole).id.read_direct_chunk((0,) * len(spec.chunk))[1])


def _create(file: h5py.File, spec: ArraySpec) -> h5py.Dataset:
    array = file.create_dataset(spec.name, spec.shape, spec.dtype, dcpl=_creation(spec), fillvalue=spec.fill)
    for name, value in (spec.attributes or {}).items():
        array.attrs[name] = value
    return array


def _creation(spec: ArraySpec) -> h5py.h5p.PropDCID:
    if math.prod(spec.chunk) * spec.dtype.itemsize >= 1 << 32:
        raise ValueError(f"/{spec.name}: {spec.chunk} cannot be divided into chunks below 4 GiB: use a rounder block")
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk(spec.chunk)
    properties.set_fletcher32()
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_ALLOC)
    return properties


def _draws_part(header: Header, row: int) -> int:
    """Draws in a chunk: a divisor of the block, and of all draws too if that does not make chunks small."""
    whole = _part(math.gcd(header.block, header.draws), row)
    return whole if whole * row >= SMALLEST_CHUNK else _part(header.block, row)


def _part(count: int, row: int) -> int:
    """The largest divisor of ``count`` whose rows fit a chunk, or the next one up if that would make chunks tiny."""
    most = max(1, min(count, TARGET_CHUNK // row))
    part = next(n for n in range(most, 0, -1) if count % n == 0)
    if part * row >= SMALLEST_CHUNK:
        return part
    return next(n for n in range(part, count + 1) if count % n == 0 and (n * row >= SMALLEST_CHUNK or n == count))
