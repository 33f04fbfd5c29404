"""The settings that say how a model learns, and the objective that they name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from ebmphys.energies import EnergyModel
from ebmphys.experiment.choice import Choice
from ebmphys.experiment.sampler_names import by_gradient, suited_sampler
from ebmphys.objectives import (
    Clamped,
    Exact,
    FastPersistent,
    FromData,
    MeanField,
    NegativePhase,
    Objective,
    Penalised,
    Persistent,
    PositivePhase,
    PseudoLikelihood,
    RandomStart,
    Tempered,
    TrajectoryTempered,
    TwoPhase,
)
from ebmphys.samplers import BlockGibbs, Sampler
from ebmphys.train import Centred, GradientTransform, NaturalGradient, suited_transforms

NegativeName = Literal["pcd", "cd", "exact", "fast", "random", "tempered", "trajectory"]

_STEPS, _STEPS_OF_AN_RBM = 10, 20


class Learning(Choice, group="Learning by chains"):
    """How an energy learns."""

    negative: NegativeName = "pcd"
    """Where draws of the model come from: chains that live on (pcd), with fast weights (fast), from the data (cd) or
    from noise (random) each time, replica exchange in beta (tempered) or along the training (trajectory), or the sum
    over all states (exact)."""
    positive: Literal["clamped", "mean-field"] = "clamped"
    """Hidden units that act on each other, while the data are held: by Gibbs sampling, or by their mean field."""
    k: int | None = Field(default=None, ge=1)
    """Steps of the chains an update (default: 20 of an rbm, whose sweeps are cheap, else 10)."""
    fantasy_chains: int = Field(default=500, ge=1)
    """Chains that live on."""
    sampler: Literal["auto", "gibbs", "gradient"] = "auto"
    """A step of the chains: a Gibbs sweep, or a flip informed by gradients (auto: for neural energies)."""
    gradient: Literal["auto", "plain", "centred", "natural"] = "auto"
    """What the gradient goes through; auto centres it where units are not symmetric about zero."""
    l1: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Strength of a Laplace prior on the weights, exp(-l1 |w|)."""
    l2: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Strength of a Gaussian prior on the weights, exp(-l2 w^2 / 2)."""

    @property
    def steps(self) -> int:
        """Steps of the chains an update, as they were given or by default."""
        return self.k or (_STEPS_OF_AN_RBM if self.model == "rbm" else _STEPS)


def build_objective(settings: Learning, model: nn.Module, n_data: int, rng: torch.Generator) -> Objective:
    """The objective of the settings for so many configurations. Raises ValueError where the model has none such."""
    objective: Objective
    if settings.objective == "pseudo-likelihood":
        objective = PseudoLikelihood()
    else:
        objective = TwoPhase(negative_phase(settings, rng), _positive(settings, model, rng))
    return penalised(settings, objective, n_data)


def penalised(settings: Learning, objective: Objective, n_data: int) -> Objective:
    """The objective with the priors of the settings, where they have any."""
    if settings.l1 or settings.l2:
        return Penalised(objective, settings.l1, settings.l2, n_data)
    return objective


def negative_phase(settings: Learning, rng: torch.Generator) -> NegativePhase:
    """The negative phase of the settings."""
    step, k, n_chains = sampler_of(settings), settings.steps, settings.fantasy_chains
    phases: dict[NegativeName, Callable[[], NegativePhase]] = {
        "pcd": lambda: Persistent(k, rng, n_chains, make_sampler=step),
        "fast": lambda: FastPersistent(k, rng, n_chains, make_sampler=step),
        "cd": lambda: FromData(k, rng, make_sampler=step),
        "random": lambda: RandomStart(k, rng, n_chains, make_sampler=step),
        "tempered": lambda: Tempered(k, rng, n_chains, make_sampler=step),
        "trajectory": lambda: TrajectoryTempered(k, rng, n_chains, make_sampler=step),
        "exact": Exact,
    }
    return phases[settings.negative]()


def sampler_of(settings: Learning) -> Callable[[EnergyModel], Sampler]:
    """What steps the chains of a model."""
    return {"auto": suited_sampler, "gibbs": BlockGibbs, "gradient": by_gradient}[settings.sampler]


def transforms_of(settings: Learning, model: nn.Module) -> list[GradientTransform]:
    """What the gradient goes through before the optimizer sees it."""
    if settings.gradient == "auto":
        return suited_transforms(model)
    if settings.gradient == "centred" and isinstance(model, EnergyModel) and model.even:
        raise ValueError("--gradient centred: an even model has no biases to centre; --symmetries none gives it some")
    kinds: dict[str, list[GradientTransform]] = {"plain": [], "centred": [Centred()], "natural": [NaturalGradient()]}
    return kinds[settings.gradient]


def _positive(settings: Learning, model: nn.Module, rng: torch.Generator) -> PositivePhase | None:
    if not isinstance(model, EnergyModel) or model.sums_out_hidden:
        return None
    return MeanField() if settings.positive == "mean-field" else Clamped(settings.steps, rng)
