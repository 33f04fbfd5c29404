"""Fitting a deep belief net: RBM upon RBM, each on what the one below makes of the data, then all together."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ebmphys.energies import RBM
from ebmphys.experiment.learning import build_objective, negative_phase
from ebmphys.experiment.lesson import Lesson
from ebmphys.experiment.training import Teaching, train
from ebmphys.generators import DeepBeliefNet
from ebmphys.objectives.wake_sleep import WakeSleep
from ebmphys.rng import uniforms
from ebmphys.train import History
from ebmphys.units import Bit, build_unit


def fit_belief_net(settings: Teaching, lesson: Lesson, out: Path) -> History:
    """Greedy layers (Hinton, Osindero and Teh 2006), then wake-sleep; the seconds are shared out evenly.

    The layers are kept in files beside ``out`` while it is not there yet, so that an interrupted fit goes on.
    """
    parts, rbms, layers = len(settings.layers) + 1, [], []
    data = lesson.learn, lesson.held
    for number, width in enumerate(settings.layers):
        layers.append(out.with_name(f".{out.name}.layer{number + 1}"))
        rbm = _layer(settings, lesson, number, data[0].shape[-1], width)
        objective = build_objective(settings, rbm, len(data[0]), lesson.rng("layer", number, "objective"))
        train(
            settings, lesson, rbm, objective, layers[-1], hidden=data if number else None, part=number + 1, parts=parts
        )
        rng = lesson.rng("layer", number, "draws")
        data = _hidden_draws(rbm, data[0], rng), _hidden_draws(rbm, data[1], rng)
        rbms.append(rbm)
    net = DeepBeliefNet.from_rbms(rbms)
    rng = lesson.rng("objective")
    history = train(settings, lesson, net, WakeSleep(negative_phase(settings, rng), rng), out, parts=parts)
    for layer in layers:
        layer.unlink(missing_ok=True)
    return history


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
