"""``fit``: a model fitted to the configurations of one temperature, or one model each at several."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ebmphys.checkpoint import load
from ebmphys.dataset import Dataset
from ebmphys.energies import BoltzmannMachine
from ebmphys.experiment.belief_net import fit_belief_net
from ebmphys.experiment.conditional import fit_conditional
from ebmphys.experiment.generative_fitting import fit_generative
from ebmphys.experiment.layers import layer_file
from ebmphys.experiment.learning import build_objective
from ebmphys.experiment.lesson import Lesson, prepare
from ebmphys.experiment.machines import build_machine
from ebmphys.experiment.pretraining import fit_pretrained
from ebmphys.experiment.provenance import provenance
from ebmphys.experiment.settings import Temperatures, check_apart, check_output, place
from ebmphys.experiment.starts import start_from
from ebmphys.experiment.training import Outcome, Teaching, train
from ebmphys.experiment.usage import MACHINES

PLACEHOLDER = "{temperature}"


class Fit(Teaching):
    """Fit a model to the configurations of a dataset: a Boltzmann machine of any kind, or one that needs no chains."""

    data: Path
    """The dataset to learn from."""
    out: Path
    """The model file to write; with several temperatures its name contains {temperature}, but for a cvae."""
    temperature: Temperatures | None = None
    """Which temperature to learn, or several, one model each; not needed where the data have one. A cvae is one model
    of two or more, all of the data if not given."""

    def outputs(self) -> dict[float, Path]:
        """Temperature -> the file of its model. Raises ValueError where the name cannot tell several apart."""
        there = Dataset(self.data).temperatures.tolist()
        chosen = self.temperature
        if self.model == "cvae":
            together = tuple(there) if chosen is None else chosen
            if len(together) < 2:
                raise ValueError("a cvae is told the temperature and learns two or more: for one take a vae")
            return dict.fromkeys(together, self.out)
        if chosen is None:
            if len(there) > 1:
                raise ValueError(f"{self.data} has {len(there)} temperatures: say which with --temperature")
            chosen = tuple(there)
        if len(chosen) > 1 and PLACEHOLDER not in self.out.name:
            raise ValueError(f"several temperatures need {PLACEHOLDER} in --out, such as rbm-{PLACEHOLDER}.pt")
        return {t: self.out.with_name(self.out.name.replace(PLACEHOLDER, f"{t:g}")) for t in chosen}

    def inputs(self) -> list[Path]:
        return [self.data]

    def written(self) -> list[Path]:
        """The models, and the layers that some are made of on the way."""
        outs = dict.fromkeys(self.outputs().values())
        return [path for out in outs for path in (out, *(layer_file(out, n) for n in range(len(self.layers) + 1)))]


def fit_model(settings: Fit) -> dict[str, Any]:
    """Fit one model a temperature; what each reached.

    Raises FileNotFoundError, FileExistsError and ValueError, before anything is trained.
    """
    outputs = settings.outputs()
    check_apart(settings)
    source = Dataset(settings.data)
    if not source.draws:
        raise ValueError(f"{settings.data} holds 0 complete draws: nothing to learn from yet")
    for temperature, out in outputs.items():
        source.energy(temperature)
        if not (settings.resume and out.exists()):
            check_output(out, settings.force)
    if settings.model == "cvae":
        return {"models": [_fit_together(settings, list(outputs))]}
    return {"models": [_fit_one(settings, temperature, out) for temperature, out in outputs.items()]}


def _fit_one(settings: Fit, temperature: float, out: Path) -> dict[str, Any]:
    lesson = _lesson(settings, temperature, {"temperature": temperature})
    if settings.invariant and lesson.lattice is not None and not lesson.uniform:
        raise ValueError("--invariant is for data whose couplings are the same everywhere: these have no translations")
    outcome = _fitter(settings)(settings, lesson, out)
    return {"out": str(out), "temperature": temperature} | _reached(settings, outcome, out)


def _fit_together(settings: Fit, temperatures: list[float]) -> dict[str, Any]:
    lessons = {t: _lesson(settings, t, {"temperatures": temperatures}) for t in temperatures}
    outcome = fit_conditional(settings, lessons, settings.out)
    return {"out": str(settings.out), "temperatures": temperatures} | _reached(settings, outcome, settings.out)


def _lesson(settings: Fit, temperature: float, learned: dict[str, Any]) -> Lesson:
    device, source = place(settings.device), Dataset(settings.data)
    return prepare(
        source,
        temperature,
        settings.visible_unit,
        settings.symmetries,
        settings.validation,
        (settings.seed, ("fit", settings.model, f"{temperature:.12g}")),
        device,
        _origin(settings, source, device) | learned,
    )


def _reached(settings: Fit, outcome: Outcome, out: Path) -> dict[str, Any]:
    history, warnings, seconds = outcome
    source = Dataset(settings.data)
    if not source.complete:
        warnings = [f"{settings.data}: {source.draws} of {source.draws_planned} planned draws are complete", *warnings]
    last = {name: value for name, value in history[-1].items() if name != "loss"} if history else {}
    return {
        "stopped": history.stopped,
        "parameters": sum(tensor.numel() for tensor in load(out).parameters.values()),
        **last,
        "seconds": seconds,
        "warnings": warnings,
    }


def _fitter(settings: Teaching) -> Callable[[Teaching, Lesson, Path], Outcome]:
    if settings.model not in MACHINES:
        return fit_generative
    if settings.model == "dbn":
        return fit_belief_net
    return fit_pretrained if settings.pretrain else _fit_machine


def _fit_machine(settings: Teaching, lesson: Lesson, out: Path) -> Outcome:
    n_visible, weights = lesson.learn.shape[-1], lesson.rng("weights")
    model = build_machine(settings, lesson.lattice, n_visible, lesson.even, weights, lesson.device)
    objective = build_objective(settings, model, len(lesson.learn), lesson.rng("objective"))
    begun = settings.resume and out.exists()
    if begun or settings.start is None or not isinstance(model, BoltzmannMachine):
        return train(settings, lesson, model, objective, out)
    clock = time.process_time()
    doubt = start_from(settings.start, model, lesson.learn)
    outcome = train(settings, lesson, model, objective, out, before=time.process_time() - clock)
    return outcome._replace(warnings=[*filter(None, [doubt]), *outcome.warnings])


def _origin(settings: Fit, source: Dataset, device: torch.device) -> dict[str, Any]:
    """What the model file remembers of the data: enough to draw into a file of the same kind and compare."""
    return provenance([settings.data], device) | {
        "verb": "fit",
        "settings": settings.what(),
        "hamiltonian": source.model,
        "shape": None if source.shape is None else list(source.shape),
        "unit": source.unit,
    }
