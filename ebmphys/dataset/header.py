"""What a file is: axes, unit, settings, model and provenance, as attributes that are checked on the way in and out."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import h5py
import numpy as np

from ebmphys.dataset.bits import VALUES, site_bytes
from ebmphys.dataset.safety import member, reading

FORMAT = "ebmphys-dataset"
VERSION = 1
UNITS = (*VALUES, "gaussian")
TOLERANCE = 1e-6  # relative: two temperatures closer than this are the same temperature

_JSON = ("settings", "model", "provenance")


@dataclass(frozen=True)
class Header:
    """The plan of a file: temperatures, planned draws, chains, sites and where they come from.

    ``block`` is the number of draws that are committed at a time; ``unit`` is "spin" (-1, +1), "bit" (0, 1) or
    "gaussian" (real values); ``shape`` is the lattice's, with n_sites sites, or None.

    Raises ValueError for temperatures that are not positive, finite and distinct, for counts below one, an unknown
    unit, a shape of another number of sites, and settings that JSON cannot hold.
    """

    temperatures: tuple[float, ...]
    draws: int
    chains: int
    n_sites: int
    unit: str
    block: int
    shape: tuple[int, ...] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_temperatures(self.temperatures)
        for name in ("draws", "chains", "n_sites", "block"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.unit not in UNITS:
            raise ValueError(f"unit must be one of {', '.join(UNITS)}, got {self.unit!r}")
        if self.shape is not None and (min(self.shape, default=0) < 1 or math.prod(self.shape) != self.n_sites):
            raise ValueError(f"shape {self.shape} does not have n_sites = {self.n_sites} sites")
        if self.row_bytes * self.chains >= 1 << 32:
            raise ValueError(f"one draw of {self.chains} chains of {self.n_sites} sites exceeds 4 GiB: use fewer")

    @property
    def packed(self) -> bool:
        """Whether a site is one bit."""
        return self.unit in VALUES

    @property
    def row_bytes(self) -> int:
        """Bytes of one configuration."""
        return site_bytes(self.n_sites) if self.packed else 4 * self.n_sites

    def attributes(self) -> dict[str, Any]:
        """The header as the file's attributes; temperatures, draws and chains are in the axes."""
        texts = {name: _to_json(name, getattr(self, name)) for name in _JSON}
        plain = {
            "format": FORMAT,
            "format_version": VERSION,
            "unit": self.unit,
            "n_sites": self.n_sites,
            "shape": np.asarray(self.shape or (), dtype=np.int64),
            "block": self.block,
            **texts,
        }
        return {**plain, "sha256": _digest(plain)}


def read_header(file: h5py.File) -> Header:
    """The header of an opened file.

    Raises ValueError, naming the file, if it is not ours, is of a newer version or contradicts itself.
    """
    path = file.filename
    with reading(path, "the header"):
        if not is_dataset(file):
            raise ValueError(f"{path}: an HDF5 file, but not an ebmphys dataset (import it with load_foreign)")
        version = _integer(file, "format_version")
        if version > VERSION:
            raise ValueError(f"{path}: format version {version} is newer than the {VERSION} known here: upgrade")
        x = member(file, "x")
        temperature = member(file, "temperature")
        if x.ndim != 4 or temperature.ndim != 1 or temperature.dtype != np.float64:
            raise ValueError(f"{path}: damaged dataset: /x needs four axes and /temperature one")
        try:
            header = Header(
                temperatures=tuple(float(value) for value in temperature[()]),
                draws=x.shape[1],
                chains=x.shape[2],
                n_sites=_integer(file, "n_sites"),
                unit=str(attribute(file, "unit")),
                block=_integer(file, "block"),
                shape=tuple(int(n) for n in np.atleast_1d(attribute(file, "shape"))) or None,
                **{name: _from_json(file, name) for name in _JSON},
            )
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path}: damaged dataset: {error}") from None
        kept = {name: attribute(file, name) for name in header.attributes() if name != "sha256"}
        if attribute(file, "sha256") != _digest(kept):
            raise ValueError(f"{path}: the attributes do not have their checksum 'sha256': damaged or edited")
        return header


def is_dataset(file: h5py.File) -> bool:
    """Whether the file says that it is in this package's format."""
    name = attribute(file, "format")
    return isinstance(name, str) and name == FORMAT


def attribute(file: h5py.File, name: str) -> Any:
    """A text of fixed length or whole numbers among the file's attributes; None for anything else.

    Texts of variable length are not touched: a flipped bit there can make HDF5 loop for ever.
    """
    if name not in file.attrs:
        return None
    kind = file.attrs.get_id(name).get_type()
    if isinstance(kind, h5py.h5t.TypeStringID) and not kind.is_variable_str():
        value = file.attrs[name]
        return value.decode() if isinstance(value, bytes) else None
    return file.attrs[name] if isinstance(kind, h5py.h5t.TypeIntegerID) else None


def _check_temperatures(temperatures: tuple[float, ...]) -> None:
    if not temperatures or not all(math.isfinite(t) and t > 0 for t in temperatures):
        raise ValueError(f"temperatures must be positive and finite, got {list(temperatures)}")
    ordered = sorted(temperatures)
    for left, right in pairwise(ordered):
        if right - left <= 2 * TOLERANCE * right:
            raise ValueError(f"temperatures must be distinct, got {left:.12g} and {right:.12g}")


def _digest(attributes: Mapping[str, Any]) -> str:
    """HDF5 puts no checksum on long texts, so the header brings its own."""
    plain = {name: np.asarray(value).tolist() for name, value in attributes.items()}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _to_json(name: str, value: Mapping[str, Any] | None) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be values that JSON can hold: {error}") from None


def _from_json(file: h5py.File, name: str) -> Any:
    try:
        value = json.loads(attribute(file, name))
    except RecursionError:
        raise ValueError(f"attribute '{name}' is nested too deeply") from None
    if not isinstance(value, dict) and not (value is None and name == "model"):
        raise ValueError(f"attribute '{name}' is not a JSON object")
    return value


def _integer(file: h5py.File, name: str) -> int:
    value = attribute(file, name)
    if not isinstance(value, (int, np.integer)):
        raise ValueError(f"{file.filename}: damaged dataset: attribute '{name}' is not a whole number")
    return int(value)
