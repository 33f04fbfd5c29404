"""Fitting models that need no chains: data, an objective and the loop; mixtures by EM; from the energy alone."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from ebmphys.experiment.generative import build_generative
from ebmphys.experiment.generative_learning import generative_objective
from ebmphys.experiment.layers import layer_file, remove_layers
from ebmphys.experiment.lesson import Lesson
from ebmphys.experiment.training import Outcome, Teaching, train
from ebmphys.generators import Autoencoder, BernoulliMixture, SingleLayer
from ebmphys.objectives import VariationalFreeEnergy
from ebmphys.train import Monitor, blank_rows, empty_components, reverse_kl, spread_components

_UPDATES = 20  # an epoch of a training without data
_ANNEALING = 300  # updates, a third of the training at most


def fit_generative(settings: Teaching, lesson: Lesson, out: Path) -> Outcome:
    """Fit a model that needs no chains to a lesson. Raises ValueError for a model that the data do not allow."""
    model = build_generative(settings, lesson)
    if settings.objective == "free-energy":
        return _from_energy(settings, lesson, model, out)
    if isinstance(model, BernoulliMixture):
        return _by_expectation(settings, lesson, model, out)
    if isinstance(model, Autoencoder) and settings.pretrain:
        return _stacked(settings, lesson, model, out)
    updates = settings.epochs * math.ceil(len(lesson.learn) / settings.batch)
    objective = generative_objective(settings, model, len(lesson.learn), updates, lesson.rng("objective"))
    return train(settings, lesson, model, objective, out)


def _by_expectation(settings: Teaching, lesson: Lesson, model: BernoulliMixture, out: Path) -> Outcome:
    """EM, from components spread over the data; symmetries only where the mixture has them built in."""
    if not (settings.resume and out.exists()):
        spread_components(model, lesson.learn, lesson.rng("start"))
    n_data = len(lesson.learn)
    posterior = generative_objective(settings, model, n_data, settings.epochs, lesson.rng("objective"))
    outcome = train(settings, replace(lesson, augment=()), model, posterior, out)
    empty = empty_components(model, n_data)
    if not empty:
        return outcome
    doubt = f"{empty} of {model.n_components} components hold less than one configuration: fewer would do"
    return outcome._replace(warnings=[*outcome.warnings, doubt])


def _from_energy(settings: Teaching, lesson: Lesson, model: torch.nn.Module, out: Path) -> Outcome:
    """The variational free energy of the file's Hamiltonian at its temperature, annealed in beta."""
    if lesson.target is None:
        raise ValueError("--objective free-energy needs the Hamiltonian: the data do not say which they had")
    annealing = min(_ANNEALING, _UPDATES * settings.epochs // 3)
    objective = VariationalFreeEnergy(lesson.target, lesson.beta, lesson.rng("objective"), annealing)
    rows = blank_rows(lesson.n_visible, _UPDATES * settings.batch)
    monitors: dict[str, Monitor] = {}
    with suppress(ValueError):  # no exact log Z
        monitors["kl_reverse"] = reverse_kl(lesson.target, lesson.beta)
    return train(settings, replace(lesson, learn=rows, augment=()), model, objective, out, looks=monitors)


def _stacked(settings: Teaching, lesson: Lesson, model: Autoencoder, out: Path) -> Outcome:
    """Layer upon layer, then all together (Bengio et al. 2007); the seconds are shared out evenly.

    The layers are kept in files beside ``out`` while it is not there yet, so that an interrupted fit goes on.
    """
    parts, before = len(model.layers) + 1, 0.0
    objective = generative_objective(settings, model, len(lesson.learn), settings.epochs, lesson.rng("objective"))
    for number in range(0 if settings.resume and out.exists() else len(model.layers)):
        layer = SingleLayer(model, number)
        own = generative_objective(settings, model, len(lesson.learn), settings.epochs, lesson.rng("layer", number))
        before += train(settings, lesson, layer, own, layer_file(out, number), part=number + 1, parts=parts).seconds
    outcome = train(settings, lesson, model, objective, out, parts=parts, before=before)
    remove_layers(out, len(model.layers))
    return outcome
