"""Fitted models as they are drawn from: one a temperature, whichever file it is in."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ebmphys.checkpoint import Checkpoint, load, restored
from ebmphys.energies import EnergyModel
from ebmphys.generators import Autoencoder, ConditionalVAE, IndependentModel
from ebmphys.rng import generator


@dataclass(frozen=True)
class Fitted:
    """A model at the temperature that it has learned or, where it is ``told`` one, at that.

    ``seen``: whether it was trained at that temperature; ``doubt`` says in words where that is far from its training.
    """

    path: Path
    checkpoint: Checkpoint
    model: EnergyModel | IndependentModel
    temperature: float
    told: bool = False
    seen: bool = True
    doubt: str = ""

    @property
    def unfinished(self) -> bool:
        """Whether a training was saved on the way and never ended; what says nothing of its end was never one."""
        return self.checkpoint.schedule.get("stopped") in ("", "interrupted")

    def rng(self, seed: int, *path: str, device: torch.device) -> torch.Generator:
        """A stream of this model's own: two models never share one, and one model always has the same."""
        place = (f"{self.temperature:.12g}",) if self.told else ()
        return generator(seed, "sample", _fingerprint(self.checkpoint), *place, *path, device=device)


def read_models(paths: Sequence[Path], temperatures: Sequence[float] | None, device: torch.device) -> list[Fitted]:
    """The models of files in the order of temperatures; a conditional one at each of those given, or of its training.

    Raises FileNotFoundError, and ValueError for files that are no such models, or not of one system.
    """
    found: list[Fitted] = []
    for path in paths:
        checkpoint = load(path, device)
        model = restored(checkpoint).to(device)
        if isinstance(model, Autoencoder):
            raise ValueError(f"{path} is an autoencoder: it restores configurations and draws none")
        if isinstance(model, ConditionalVAE):
            found += _told(path, checkpoint, model, temperatures)
        elif temperatures is not None:
            raise ValueError(f"--temperatures is for a cvae: {path} has learned one temperature")
        else:
            found.append(Fitted(path, checkpoint, model, _learned(checkpoint)))
    found.sort(key=lambda fitted: fitted.temperature)
    first = found[0].checkpoint.provenance
    for fitted in found:
        origin = fitted.checkpoint.provenance
        if any(origin.get(name) != first.get(name) for name in ("hamiltonian", "shape")):
            raise ValueError(f"{fitted.path} has learned another system than {found[0].path}: sample them apart")
    return found


def _told(
    path: Path, checkpoint: Checkpoint, model: ConditionalVAE, temperatures: Sequence[float] | None
) -> list[Fitted]:
    learned = checkpoint.provenance.get("temperatures")
    if not learned:
        raise ValueError(f"{path} does not say which temperatures it has learned: fit it with ebmphys fit")
    found = []
    for temperature in temperatures or learned:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of what the doubt says
            law = model.at(temperature)
        outside = not min(learned) <= temperature <= max(learned)
        doubt = f"outside {min(learned):g} to {max(learned):g}, the temperatures of the training" if outside else ""
        seen = temperature in learned
        found.append(Fitted(path, checkpoint, law, temperature, told=True, seen=seen, doubt=doubt))
    return found


def _learned(checkpoint: Checkpoint) -> float:
    value = checkpoint.provenance.get("temperature")
    if not isinstance(value, float):
        raise ValueError("a model file does not say which temperature it has learned: fit it with ebmphys fit")
    return value


def _fingerprint(checkpoint: Checkpoint) -> str:
    digest = hashlib.sha256(repr(checkpoint.config).encode())
    for name, tensor in sorted(checkpoint.parameters.items()):
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
