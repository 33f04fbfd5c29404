"""Fitting a deep belief net: RBM upon RBM, each on what the one below makes of the data, then all together."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ebmphys.checkpoint import build, load
from ebmphys.energies import RBM
from ebmphys.experiment.layers import layer_file, remove_layers
from ebmphys.experiment.learning import build_objective, negative_phase, penalised
from ebmphys.experiment.lesson import Lesson
from ebmphys.experiment.training import Outcome, Teaching, train
from ebmphys.generators import DeepBeliefNet
from ebmphys.objectives.wake_sleep import WakeSleep
from ebmphys.rng import uniforms
from ebmphys.units import Bit, build_unit


def fit_belief_net(settings: Teaching, lesson: Lesson, out: Path) -> Outcome:
    """Greedy layers (Hinton, Osindero and Teh 2006), then wake-sleep; the seconds are shared out evenly.

    The layers are kept in files beside ``out`` while it is not there yet, so that an interrupted fit goes on.
    """
    begun = settings.resume and out.exists()
    parts = len(settings.layers) + 1
    rbms, before = ([], 0.0) if begun else _greedy(settings, lesson, out, parts)
    net = _of_file(out) if begun else DeepBeliefNet.from_rbms(rbms)
    rng = lesson.rng("objective")
    objective = penalised(settings, WakeSleep(negative_phase(settings, rng), rng), len(lesson.learn))
    outcome = train(settings, lesson, net, objective, out, parts=parts, before=before)
    remove_layers(out, len(settings.layers))
    return outcome


def _of_file(out: Path) -> DeepBeliefNet:
    net = build(load(out).config)
    if not isinstance(net, DeepBeliefNet):
        raise ValueError(f"{out} cannot be resumed: it is not a belief net")
    return net


def _greedy(settings: Teaching, lesson: Lesson, out: Path, parts: int) -> tuple[list[RBM], float]:
    """The layers, and the CPU seconds that they took."""
    rbms: list[RBM] = []
    data, seconds = (lesson.learn, lesson.held), 0.0
    for number, width in enumerate(settings.layers):
        rbm = _layer(settings, lesson, number, data[0].shape[-1], width)
        objective = build_objective(settings, rbm, len(data[0]), lesson.rng("layer", number, "objective"))
        hidden = data if number else None
        place = layer_file(out, number)
        outcome = train(settings, lesson, rbm, objective, place, hidden=hidden, part=number + 1, parts=parts)
        seconds += outcome.seconds
        rng = lesson.rng("layer", number, "draws")
        data = _hidden_draws(rbm, data[0], rng), _hidden_draws(rbm, data[1], rng)
        rbms.append(rbm)
    return rbms, seconds


def _layer(settings: Teaching, lesson: Lesson, number: int, below: int, width: int) -> RBM:
    visible, hidden = build_unit(settings.visible_unit), build_unit(settings.hidden_unit)
    units = (hidden if number else visible, hidden)
    biases = not lesson.even or any(isinstance(unit, Bit) for unit in units)
    return RBM(below, width, *units, biases=biases, rng=lesson.rng("layer", number, "weights"), device=lesson.device)


@torch.no_grad()
def _hidden_draws(rbm: RBM, v: Tensor, rng: torch.Generator) -> Tensor:
    """One draw of the hidden units for each configuration."""
    x = torch.cat([v.to(rbm.weights), rbm.weights.new_zeros(len(v), rbm.n_hidden)], -1)
    return rbm.hidden.draw(rbm.conditional(x, "hidden"), uniforms((len(v), rbm.n_hidden), rng))
