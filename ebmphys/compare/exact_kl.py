"""KL(p || q) of the models behind sample files, where all configurations can be enumerated."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ebmphys.checkpoint import load, load_model
from ebmphys.compare.ensemble import same_temperature
from ebmphys.compare.files import build_hamiltonian
from ebmphys.compare.verdict import HeldBack
from ebmphys.dataset import Dataset
from ebmphys.generators import ConditionalVAE
from ebmphys.likelihood import kl_to_exact

_NOT_DRAWS = {
    "threshold": "thresholded configurations are not draws of the model",
    "correct": "its draws were corrected to the law of the Hamiltonian and are not the model's any more",
}


def model_files(sample: Path, given: Path | None = None) -> dict[float, Path]:
    """The checkpoint that the draws of each temperature came from, as far as they are recorded and still there.

    ``sample`` records one a temperature, in order; one that is ``given`` stands for all. A path that does not exist
    from here is looked for beside the sample file, under its own name; a file that has changed since is not it.
    """
    data = Dataset(sample)
    if given is not None:
        return dict.fromkeys(data.temperatures.tolist(), given)
    found = {}
    for temperature, recorded in zip(data.temperatures.tolist(), data.provenance.get("models", []), strict=False):
        places = (Path(recorded), sample.parent / Path(recorded).name)
        place = next((place for place in places if place.is_file()), None)
        was = data.provenance.get("inputs", {}).get(recorded)
        if place is not None and was in (None, digest(place)):
            found[temperature] = place
    return found


def kl_of_models(reference: Path, sample: Path, given: Path | None = None) -> dict[float, float | str | HeldBack]:
    """KL(p || q), nats, of the model of a sample file at each temperature; a sentence where it cannot be had."""
    data = Dataset(sample)
    for setting, reason in _NOT_DRAWS.items():
        if data.settings.get(setting):
            return dict.fromkeys(data.temperatures.tolist(), reason)
    files = model_files(sample, given)
    target = build_hamiltonian(Dataset(reference).model)
    found: dict[float, float | str | HeldBack] = {}
    for temperature in data.temperatures.tolist():
        path = next((files[t] for t in files if same_temperature(t, temperature)), None)
        if target is None or path is None:
            found[temperature] = (
                "the reference names no Hamiltonian"
                if target is None
                else "no model file is at hand, or it has changed since"
            )
            continue
        try:
            model = load_model(path).to(target.device)
            law = model.at(temperature) if isinstance(model, ConditionalVAE) else model
            found[temperature] = kl_to_exact(target, 1 / temperature, law)
        except ValueError as refusal:
            found[temperature] = _held_back(path, str(refusal), Dataset(reference).model)
    return found


def _held_back(path: Path, reason: str, hamiltonian: dict[str, Any] | None) -> str | HeldBack:
    """What the training's last look at data that were held back says of the KL from this Hamiltonian's law."""
    stored = load(path)
    if stored.provenance.get("hamiltonian") != hamiltonian:
        return reason
    last: dict[str, Any] = next(iter(stored.history[-1:]), {})
    name = next((name for name in ("kl_estimate", "kl_bound") if name in last), None)
    return reason if name is None else HeldBack(reason, float(last[name]), name == "kl_bound")


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
