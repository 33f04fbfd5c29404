"""``fit``: a model fitted to the configurations of one temperature, or one model each at several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ebmphys.checkpoint import load
from ebmphys.dataset import Dataset
from ebmphys.experiment.belief_net import fit_belief_net
from ebmphys.experiment.learning import build_objective
from ebmphys.experiment.lesson import Lesson, prepare
from ebmphys.experiment.machines import build_machine
from ebmphys.experiment.provenance import provenance
from ebmphys.experiment.settings import Temperatures, check_output, place
from ebmphys.experiment.training import Outcome, Teaching, train

PLACEHOLDER = "{temperature}"


class Fit(Teaching):
    """Fit a Boltzmann machine of any kind, or a variational autoencoder, to the configurations of a dataset."""

    data: Path
    """The dataset to learn from."""
    out: Path
    """The model file to write; with several temperatures its name contains {temperature}."""
    temperature: Temperatures | None = None
    """Which temperature to learn, or several, one model each; not needed where the data have one."""

    def outputs(self) -> dict[float, Path]:
        """Temperature -> the file of its model. Raises ValueError where the name cannot tell several apart."""
        there = Dataset(self.data).temperatures.tolist()
        chosen = self.temperature
        if chosen is None:
            if len(there) > 1:
                raise ValueError(f"{self.data} has {len(there)} temperatures: say which with --temperature")
            chosen = tuple(there)
        if len(chosen) > 1 and PLACEHOLDER not in self.out.name:
            raise ValueError(f"several temperatures need {PLACEHOLDER} in --out, such as rbm-{PLACEHOLDER}.pt")
        return {t: self.out.with_name(self.out.name.replace(PLACEHOLDER, f"{t:g}")) for t in chosen}


def fit_model(settings: Fit) -> dict[str, Any]:
    """Fit one model a temperature; what each reached.

    Raises FileNotFoundError, FileExistsError and ValueError, before anything is trained.
    """
    outputs = settings.outputs()
    for temperature, out in outputs.items():
        Dataset(settings.data).energy(temperature)
        if not (settings.resume and out.exists()):
            check_output(out, settings.force)
    return {"models": [_fit_one(settings, temperature, out) for temperature, out in outputs.items()]}


def _fit_one(settings: Fit, temperature: float, out: Path) -> dict[str, Any]:
    device, source = place(settings.device), Dataset(settings.data)
    lesson = prepare(
        source,
        temperature,
        settings.visible_unit,
        settings.symmetries,
        settings.validation,
        (settings.seed, ("fit", settings.model, f"{temperature:.12g}")),
        device,
        _origin(settings, source, temperature, device),
    )
    fit = fit_belief_net if settings.model == "dbn" else _fit_machine
    history, warnings = fit(settings, lesson, out)
    last = {name: value for name, value in history[-1].items() if name != "loss"} if history else {}
    return {
        "out": str(out),
        "temperature": temperature,
        "stopped": history.stopped,
        "parameters": sum(tensor.numel() for tensor in load(out).parameters.values()),
        **last,
        "warnings": warnings,
    }


def _fit_machine(settings: Teaching, lesson: Lesson, out: Path) -> Outcome:
    if settings.invariant and lesson.lattice is not None and not lesson.uniform:
        raise ValueError("--invariant is for data whose couplings are the same everywhere: these have no translations")
    n_visible, weights = lesson.learn.shape[-1], lesson.rng("weights")
    model = build_machine(settings, lesson.lattice, n_visible, lesson.even, weights, lesson.device)
    objective = build_objective(settings, model, len(lesson.learn), lesson.rng("objective"))
    return train(settings, lesson, model, objective, out)


def _origin(settings: Fit, source: Dataset, temperature: float, device: torch.device) -> dict[str, Any]:
    """What the model file remembers of the data: enough to draw into a file of the same kind and compare."""
    return provenance([settings.data], device) | {
        "verb": "fit",
        "settings": settings.what(),
        "temperature": temperature,
        "hamiltonian": source.model,
        "shape": None if source.shape is None else list(source.shape),
        "unit": source.unit,
    }
