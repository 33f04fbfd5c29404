"""The comparison of dataset files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ebmphys import __version__
from ebmphys.checkpoint import load
from ebmphys.compare.comparison import Comparison, assemble
from ebmphys.compare.ensemble import same_temperature
from ebmphys.compare.exact_kl import digest, kl_of_models, model_files
from ebmphys.compare.files import read_ensembles
from ebmphys.dataset import Dataset


def compare_files(
    reference: str | Path, samples: Sequence[str | Path], models: Mapping[str, str | Path] | None = None
) -> Comparison:
    """Compare sample files with a reference file at every temperature of the reference that they have.

    A sample is called by its file's stem (with its folder where two have the same); its model file, for the exact
    KL(p || q), is the one in ``models`` under that name, else the one recorded in the file. Raises ValueError for
    files that do not fit together, and what ``Dataset`` raises for files that are none.
    """
    base, others = Path(reference), [Path(s) for s in samples]
    if not others:
        raise ValueError("give at least one sample file to compare with the reference")
    names = _names([base, *others])
    given = models or {}
    unknown = sorted(set(given) - set(names[1:]))
    if unknown:
        raise ValueError(f"no sample named {', '.join(unknown)}: there are {', '.join(names[1:])}")
    kls, notes = {}, _repeated(names, [base, *others])
    if len({tuple(_shared(base, path)) for path in others}) > 1:
        notes.append("samples have different temperatures: the ranking is by the mean over those that each one has")
    for name, path in zip(names[1:], others, strict=True):
        kls[name] = kl_of_models(base, path, Path(given[name]) if name in given else None)
    for name, path in zip(names, [base, *others], strict=True):
        data = Dataset(path)
        if data.model != Dataset(base).model:
            notes.append(f"{name}: made with another Hamiltonian than the reference; energies are by the reference's")
        if left := _only_in(data.temperatures.tolist(), Dataset(base).temperatures.tolist()):
            notes.append(f"{name}: T = {', '.join(f'{t:.4g}' for t in left)} not in the reference, and left out")
        if data.settings.get("verb") == "import":
            notes.append(f"{name}: imported, so exact values are those of the Hamiltonian that import was told")
        if any(digest(base) in load(p).provenance.get("inputs", {}).values() for p in model_files(path).values()):
            notes.append(f"{name}: its model learned from the reference itself, so a memoriser would look good")
        if data.settings.get("correct"):
            notes.append(f"{name}: a Metropolis chain of the Hamiltonian that a model proposes to, so right by itself")
        if data.settings.get("threshold"):
            notes.append(f"{name}: the likeliest configurations of a model, which are not draws of it")
        if data.unit == "gaussian":
            notes.append(f"{name}: values are real numbers, not spins; every observable takes them as they are")
        if not data.complete:
            notes.append(f"{name}: {data.draws} of {data.draws_planned} planned draws are complete")
    provenance = {
        "ebmphys_version": __version__,
        "files": [_origin(name, path) for name, path in zip(names, [base, *others], strict=True)],
    }
    return assemble(read_ensembles(base, others, names), kls, provenance, notes)


def training_histories(
    reference: str | Path, samples: Sequence[str | Path], models: Mapping[str, str | Path] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """The training records of the models behind sample files, by the names that ``compare_files`` gives the samples,
    with the temperature behind them where a sample has several.

    Samples without a model file, or whose model was not trained, are left out. Raises what ``checkpoint.load`` raises.
    """
    others, given = [Path(s) for s in samples], models or {}
    found = {}
    for name, path in zip(_names([Path(reference), *others])[1:], others, strict=True):
        files = model_files(path, Path(given[name]) if name in given else None)
        for temperature, source in files.items():
            if history := load(source).history:
                found[name if len(set(files.values())) == 1 else f"{name}, T = {temperature:.4g}"] = history
    return found


def _only_in(some: Sequence[float], others: Sequence[float]) -> list[float]:
    return [t for t in some if not any(same_temperature(t, other) for other in others)]


def _shared(reference: Path, sample: Path) -> list[float]:
    """Temperatures of the reference that the sample has."""
    own, there = (Dataset(path).temperatures.tolist() for path in (sample, reference))
    return [t for t in there if t not in _only_in(there, own)]


def _repeated(names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """What is compared with itself, in words."""
    first: dict[str, str] = {}
    pairs = [(name, first.setdefault(digest(path), name)) for name, path in zip(names, paths, strict=True)]
    return [
        f"{name}: the same draws as {other}, so that they agree says nothing" for name, other in pairs if name != other
    ]


def _names(paths: Sequence[Path]) -> list[str]:
    """Stems, made unique by their folders and then by a number."""
    stems = [p.stem for p in paths]
    longer = [p.stem if stems.count(p.stem) == 1 else f"{p.resolve().parent.name}/{p.stem}" for p in paths]
    return [n if longer.count(n) == 1 else f"{n}-{longer[:k].count(n) + 1}" for k, n in enumerate(longer)]


def _origin(name: str, path: Path) -> dict[str, Any]:
    data = Dataset(path)
    return {
        "name": name,
        "file": path.name,
        "sha256": digest(path),
        "unit": data.unit,
        "shape": None if data.shape is None else list(data.shape),
        "temperatures": np.asarray(data.temperatures).tolist(),
        "draws": data.draws,
        "chains": data.chains,
        "model": data.model,
        "settings": data.settings,
        "provenance": data.provenance,
    }
