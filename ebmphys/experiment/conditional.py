"""Fitting a conditional VAE: one model of all temperatures, which it is told."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ebmphys.experiment.generative import convolutions_of
from ebmphys.experiment.generative_learning import bound_of
from ebmphys.experiment.lesson import Lesson
from ebmphys.experiment.training import Outcome, Teaching, train
from ebmphys.generators import ConditionalVAE, Temperature
from ebmphys.objectives import Objective
from ebmphys.objectives.conditional import Conditional
from ebmphys.train import Monitor, suited
from ebmphys.train.on_visible import OnVisible
from ebmphys.units import build_unit


def fit_conditional(settings: Teaching, lessons: Mapping[float, Lesson], out: Path) -> Outcome:
    """One model of the lessons, by temperature. Raises ValueError for one that the data do not allow."""
    first = next(iter(lessons.values()))
    model = _model(settings, first, lessons.keys())
    n_data = sum(len(lesson.learn) for lesson in lessons.values())
    updates = settings.epochs * math.ceil(n_data / settings.batch)
    objective = Conditional(bound_of(settings, updates, first.rng("objective")))
    together = replace(
        first,
        learn=torch.cat([_told(lesson.learn, t) for t, lesson in lessons.items()]),
        held=torch.cat([_told(lesson.held, t) for t, lesson in lessons.items()]),
        augment=[OnVisible(symmetry, first.n_visible) for symmetry in first.augment],
        target=None,
    )
    return train(settings, together, model, objective, out, looks=_averaged(model, objective, lessons))


def _model(settings: Teaching, first: Lesson, temperatures: Collection[float]) -> ConditionalVAE:
    return ConditionalVAE(
        first.n_visible,
        [Temperature(min(temperatures), max(temperatures))],
        settings.layers,
        settings.code,
        build_unit(settings.visible_unit),
        convolutions=convolutions_of(settings, first),
        decoder_hidden=settings.decoder_hidden if settings.decoder == "autoregressive" else None,
        symmetric=settings.symmetry(first),
        rng=first.rng("weights"),
        device=first.device,
    )


def _told(v: Tensor, temperature: float) -> Tensor:
    """Configurations with their temperature as the last column; (n, n_visible) -> (n, n_visible + 1)."""
    v = v.float()
    return torch.cat([v, v.new_full((len(v), 1), temperature)], -1)


def _averaged(model: ConditionalVAE, objective: Objective, lessons: Mapping[float, Lesson]) -> dict[str, Monitor]:
    """The monitors of the law at each temperature, averaged over temperatures."""
    each = [
        suited(model.at(t), objective, lesson.held, lesson.law, lesson.beta, lesson.chains)
        for t, lesson in lessons.items()
    ]
    names = [name for name in each[0] if all(name in found for found in each)]
    return {name: _mean(name, each, tuple(lessons)) for name in names}


def _mean(name: str, each: Sequence[Mapping[str, Monitor]], temperatures: Sequence[float]) -> Monitor:
    def monitor(model: nn.Module, objective: Objective) -> float:
        if not isinstance(model, ConditionalVAE):
            raise ValueError(f"{type(model).__name__} is told no temperature")
        pairs = zip(each, temperatures, strict=True)
        return sum(found[name](model.at(t), objective) for found, t in pairs) / len(temperatures)

    return monitor
