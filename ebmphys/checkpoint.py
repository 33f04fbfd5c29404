"""Checkpoints: one dict of tensors and plain data in one file, whole or not at all, that runs no code when read.

The file is what ``torch.save`` writes (a zip of uncompressed records) with a zip comment that holds the format's
version and the SHA-256 of everything before it: ``torch.load(path, weights_only=True)`` and ``unzip`` still read it.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import platform
import re
import struct
import zipfile
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ebmphys import __version__
from ebmphys.energies import ENERGIES, EnergyModel
from ebmphys.generators import GENERATORS, RESTORERS, Autoencoder, IndependentModel

VERSION = 1
_FORMAT = "ebmphys checkpoint"
_SEAL = re.compile(rb"ebmphys checkpoint (\d+) sha256=([0-9a-f]{64})\Z")
_SMALL = 4096  # a size that any file may name in its config, however little it holds itself
_TABLE = 2**25  # entries of the tables of a lattice that it may name: a quarter of a GiB each

Model = EnergyModel | IndependentModel | Autoencoder


@dataclass
class Checkpoint:
    """A model and all that a resumed training needs, as tensors and plain data.

    ``config`` builds the model and ``parameters`` are the ones to use it with. Where the training keeps others
    (those being trained while ``parameters`` are their average or the best so far) they are in ``aside``, by name.
    ``schedule`` is the position in the run, ``objective`` holds the chains and their generator, ``rng`` the
    states of the loop's own generators, ``history`` one record an epoch.
    """

    config: dict[str, Any]
    parameters: dict[str, Tensor]
    aside: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    schedule: dict[str, Any] = field(default_factory=dict)
    objective: dict[str, Any] = field(default_factory=dict)
    rng: dict[str, Tensor] = field(default_factory=dict)
    epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """``energy``, ``restorer`` or ``generator``: the registry that the model's name is in."""
        name = self.config.get("model")
        return "energy" if name in ENERGIES else "restorer" if name in RESTORERS else "generator"


def build(config: dict[str, Any]) -> Model:
    """The model that ``config`` describes, with the parameters it starts with.

    Raises ValueError for a model that no registry knows, or options it does not take.
    """
    registry: dict[str, Any] = {**ENERGIES, **GENERATORS, **RESTORERS}
    name = config.get("model")
    if name not in registry:
        raise ValueError(f"unknown model {name!r}: it must be one of {', '.join(registry)}")
    try:
        model: Model = registry[name].from_config(config)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the configuration of the {name} does not describe one ({error!r})") from error
    return model


def save(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write a checkpoint beside its place, sync it to the disk, and rename it there: a kill leaves the old one whole.

    Tensors are stored on the CPU. Raises ValueError for contents that are neither tensors nor plain data.
    """
    target = Path(path)
    contents = {f.name: _plain(getattr(checkpoint, f.name), f.name) for f in fields(Checkpoint)}
    contents |= {"format": _FORMAT, "version": VERSION, "kind": checkpoint.kind}
    contents["provenance"] = _here() | contents["provenance"]
    buffer = io.BytesIO()
    torch.save(contents, buffer)
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with aside.open("wb") as file:
            file.write(_sealed(buffer.getvalue()))
            file.flush()
            os.fsync(file.fileno())
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


def load(path: str | os.PathLike[str], device: torch.device | str = "cpu") -> Checkpoint:
    """Read a checkpoint, its tensors on ``device``; no code in the file is ever run.

    Raises FileNotFoundError where there is none, and ValueError for a file that is foreign, damaged, of another
    version, or holds anything but tensors and plain data, or tensors larger than itself.
    """
    place = Path(path)
    if not place.exists():
        raise FileNotFoundError(f"no checkpoint {place}")
    if not place.is_file():
        raise ValueError(f"{place} is not a file: a checkpoint is one file, as `fit` writes it")
    payload = _unsealed(place.read_bytes(), place)
    try:
        contents = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for what it refuses
        raise ValueError(f"{place} holds more than tensors and plain data: refused, nothing in it was run") from error
    if not isinstance(contents, dict) or contents.get("format") != _FORMAT:
        raise ValueError(f"{place} is not an ebmphys checkpoint")
    names = {f.name: type(default) for f, default in zip(fields(Checkpoint), _BLANK, strict=True)}
    for name, kind in names.items():
        if not isinstance(contents.get(name), kind):
            raise ValueError(f"{place} is damaged: {name} must be a {kind.__name__}")
    _check_tensors(contents, str(place), len(payload))
    return Checkpoint(**{name: _moved(contents[name], torch.device(device)) for name in names})


def load_model(path: str | os.PathLike[str], device: torch.device | str | None = None) -> Model:
    """The model of a checkpoint with its parameters, on ``device`` or where models are made.

    Raises what ``load`` raises, and ValueError where the parameters are not those of the model or not finite.
    """
    checkpoint = load(path)
    try:
        model = restored(checkpoint)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return model if device is None else model.to(device)


def restored(checkpoint: Checkpoint) -> Model:
    """The model of a checkpoint in memory; raises ValueError where its parameters do not fit its configuration."""
    stored = sum(tensor.numel() for tensor in checkpoint.parameters.values())
    largest = _largest(checkpoint.config)
    if largest > max(stored, _SMALL) and _table(checkpoint.config) > _TABLE:
        raise ValueError(f"the configuration names a size of {largest}, but only {stored} parameters are stored")
    model = build(checkpoint.config)
    check_parameters(model, checkpoint.parameters)
    model.load_state_dict(checkpoint.parameters)
    return model


def check_parameters(model: nn.Module, parameters: dict[str, Tensor]) -> None:
    """Raise ValueError unless names, shapes and types are the model's and every number is finite."""
    expected = model.state_dict()
    if set(parameters) != set(expected):
        odd = sorted(set(parameters) ^ set(expected))
        raise ValueError(f"the parameters are not those of the model: {', '.join(odd)} missing or unknown")
    for name, own in expected.items():
        given = parameters[name]
        if given.shape != own.shape or given.dtype != own.dtype:
            what = f"{tuple(given.shape)} of {given.dtype}, the model has {tuple(own.shape)} of {own.dtype}"
            raise ValueError(f"{name} is {what}")
        if not bool(given.isfinite().all()):
            raise ValueError(f"{name} is not finite")


_BLANK = asdict(Checkpoint({}, {})).values()


def _here() -> dict[str, str]:
    return {"ebmphys": __version__, "torch": str(torch.__version__), "python": platform.python_version()}


def _sealed(payload: bytes) -> bytes:
    """The zip with its comment: the last two bytes of a zip without one are the comment's length, 0."""
    seal = f"{_FORMAT} {VERSION} sha256={hashlib.sha256(payload).hexdigest()}".encode()
    return payload[:-2] + struct.pack("<H", len(seal)) + seal


def _unsealed(data: bytes, place: Path) -> bytes:
    seal = _SEAL.search(data[-200:])
    if seal is None:
        raise ValueError(f"{place} is not an ebmphys checkpoint, or is cut short")
    if int(seal[1]) != VERSION:
        raise ValueError(f"{place} is of version {int(seal[1])}: this ebmphys reads version {VERSION}")
    payload = data[: -len(seal[0]) - 2] + b"\0\0"
    if hashlib.sha256(payload).hexdigest().encode() != seal[2]:
        raise ValueError(f"{place} is damaged: its contents do not match their SHA-256")
    # torch stores records as they are; a compressed one can unpack to a thousand times its size.
    try:
        with zipfile.ZipFile(io.BytesIO(payload)) as records:
            packed = any(record.compress_type != zipfile.ZIP_STORED for record in records.infolist())
    except zipfile.BadZipFile as error:
        raise ValueError(f"{place} is not an ebmphys checkpoint") from error
    if packed:
        raise ValueError(f"{place} holds compressed records, which no checkpoint has")
    return payload


def _plain(value: Any, where: str) -> Any:
    """A copy that ``weights_only`` reads back: contiguous CPU tensors in dicts and lists of plain data."""
    if isinstance(value, Tensor):
        return value.detach().cpu().contiguous().clone()
    if isinstance(value, dict):
        return {key: _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(item, f"{where}[{i}]") for i, item in enumerate(value))
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise ValueError(f"a checkpoint holds tensors and plain data only: {where} is a {type(value).__name__}")


def _check_tensors(value: Any, where: str, limit: int) -> None:
    """Refuse views: a tensor of stride 0 has any size and a copy of it would take the memory of that size."""
    if isinstance(value, Tensor):
        whole = value.layout is torch.strided and value.is_contiguous()
        if not whole or value.numel() * value.element_size() > limit:
            raise ValueError(f"{where}: a tensor of shape {tuple(value.shape)} is larger than the file: refused")
    elif isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            _check_tensors(item, f"{where}[{key!r}]", limit)


def _moved(value: Any, device: torch.device) -> Any:
    # Generator states stay where torch wants them: uint8 on the CPU, for every device.
    if isinstance(value, Tensor):
        return value if value.dtype == torch.uint8 else value.to(device)
    if isinstance(value, dict):
        return {key: _moved(item, device) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_moved(item, device) for item in value)
    return value


def _largest(config: Any) -> int:
    """The largest size that a configuration names; the sides of a ``shape`` count as their product."""
    return max(_sizes(config), default=0)


def _sizes(config: Any) -> list[int]:
    if isinstance(config, dict):
        sides = _sides(config)
        rest = [value for name, value in config.items() if not (name == "shape" and sides)]
        return [*([math.prod(sides)] if sides else []), *(n for value in rest for n in _sizes(value))]
    if isinstance(config, list | tuple):
        return [len(config), *(n for value in config for n in _sizes(value))]
    return [abs(config)] if isinstance(config, int) else []


def _sides(config: dict[str, Any]) -> list[int]:
    shape = config.get("shape")
    return [abs(side) for side in shape if isinstance(side, int)] if isinstance(shape, list | tuple) else []


def _table(config: dict[str, Any]) -> float:
    """Entries of the largest table of a model whose parameters all sites of a lattice share; infinite for any other.

    That is sites x what each of them is joined with x filters, bounded from above: the product of the three largest
    sizes, where the number of sites counts once and a reach or a kernel as the cells within it.
    """
    place = next((part for part in _parts(config) if _sides(part)), None)
    if place is None:
        return math.inf
    sites, dimension = math.prod(_sides(place)), len(_sides(place))
    within = [
        (3 * part["reach"] + 3) ** dimension if _is_short(part["reach"]) else sites
        for part in _parts(config)
        if "reach" in part
    ]
    within += [part["kernel"] ** dimension for part in _parts(config) if isinstance(part.get("kernel"), int)]
    others = [n for n in _sizes(config) if n != sites]
    return sites * math.prod(sorted([*within, *others], reverse=True)[:2])


def _parts(config: Any) -> list[dict[str, Any]]:
    """Every dict in a configuration, itself first."""
    values = config.values() if isinstance(config, dict) else config if isinstance(config, list | tuple) else ()
    return [*([config] if isinstance(config, dict) else []), *(part for value in values for part in _parts(value))]


def _is_short(reach: Any) -> bool:
    return isinstance(reach, int | float) and 0 <= reach < _SMALL
