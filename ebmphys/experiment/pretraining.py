"""Fitting a deep Boltzmann machine: pairs of layers one upon the other, then all together."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from ebmphys.energies import BoltzmannMachine, DeepBoltzmannMachine, pretraining_machine, stacked
from ebmphys.experiment.layers import layer_file, remove_layers
from ebmphys.experiment.learning import build_objective
from ebmphys.experiment.lesson import Lesson
from ebmphys.experiment.machines import build_machine
from ebmphys.experiment.training import Outcome, Teaching, train
from ebmphys.objectives import Clamped
from ebmphys.units import build_unit


def fit_pretrained(settings: Teaching, lesson: Lesson, out: Path) -> Outcome:
    """A machine of stacked pairs (Salakhutdinov and Hinton 2009), trained further; the seconds are shared out evenly.

    The pairs are kept in files beside ``out`` while it is not there yet, so that an interrupted fit goes on.
    """
    sizes = (lesson.learn.shape[-1], *settings.layers)
    if settings.resume and out.exists():
        model = build_machine(settings, lesson.lattice, sizes[0], lesson.even, lesson.rng("weights"), lesson.device)
        before = 0.0
    else:
        model, before = _stacked(settings, lesson, out, sizes)
    objective = build_objective(settings, model, len(lesson.learn), lesson.rng("objective"))
    outcome = train(settings, lesson, model, objective, out, parts=len(sizes), before=before)
    remove_layers(out, len(sizes) - 1)
    return outcome


def _stacked(
    settings: Teaching, lesson: Lesson, out: Path, sizes: tuple[int, ...]
) -> tuple[DeepBoltzmannMachine, float]:
    """The pretrained machine, and the CPU seconds that it took."""
    machines: list[BoltzmannMachine] = []
    learn, held, seconds = lesson.learn, lesson.held, 0.0
    biases = not lesson.even or settings.visible_unit == "bit"
    for number, (below, above) in enumerate(pairwise(sizes)):
        unit, rng = build_unit(settings.visible_unit), lesson.rng("layer", number, "weights")
        pair = pretraining_machine(sizes, number, unit, biases=biases, rng=rng, device=lesson.device)
        copies = pair.n_visible // below
        data = learn.repeat(1, copies), held.repeat(1, copies)
        objective = build_objective(settings, pair, len(learn), lesson.rng("layer", number, "objective"))
        place = layer_file(out, number)
        outcome = train(settings, lesson, pair, objective, place, hidden=data, part=number + 1, parts=len(sizes))
        seconds += outcome.seconds
        draws = lesson.rng("layer", number, "draws")
        learn, held = (_layer_above(pair, v, above, draws) for v in data)
        machines.append(pair)
    return stacked(sizes, machines), seconds


@torch.no_grad()
def _layer_above(pair: BoltzmannMachine, v: Tensor, above: int, rng: torch.Generator) -> Tensor:
    """One draw of the upper layer's first copy for each configuration; (n, n_visible) -> (n, above)."""
    x = Clamped(1, rng).fill(pair, v.to(pair.weights))
    return x[:, pair.n_visible : pair.n_visible + above]
