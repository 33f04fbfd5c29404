"""What to watch of models whose law is not at hand: how far they restore, what they draw, how they are bounded."""

from __future__ import annotations

from torch import Tensor, nn

from ebmphys.energies import EnergyModel
from ebmphys.experiment.lesson import Lesson
from ebmphys.generators import GAN, Diffusion
from ebmphys.objectives import Objective
from ebmphys.objectives.reconstruction import Reconstruction, Reconstructs
from ebmphys.rng import generator
from ebmphys.train import Monitor, kl_on_data
from ebmphys.train.monitors.denoising import mean_denoising_bound
from ebmphys.train.monitors.drawn import against_draws


def looks(model: nn.Module, objective: Objective, lesson: Lesson) -> dict[str, Monitor]:
    """The monitors of a diffusion (kl_bound, or elbo where log Z of the target is not known), a gan and an ae."""
    if isinstance(objective, Reconstruction):
        return {"restoration": _restoration(lesson.held)}
    if isinstance(model, Diffusion):
        return _bounded(lesson.target, lesson.beta, lesson.held)
    return against_draws(lesson.held, lesson.target) if isinstance(model, GAN) else {}


def _bounded(target: EnergyModel | None, beta: float, v: Tensor) -> dict[str, Monitor]:
    bound = mean_denoising_bound(v)
    try:
        return {"elbo": bound} if target is None else {"kl_bound": kl_on_data(target, beta, v, bound)}
    except ValueError:  # no exact log Z
        return {"elbo": bound}


def _restoration(v: Tensor) -> Monitor:
    """The error of restoring data that were held back, noise the same at every look, in nats per configuration."""

    def monitor(model: nn.Module, objective: Objective) -> float:
        if not isinstance(objective, Reconstruction):
            raise ValueError(f"{type(objective).__name__} is not about restoring configurations")
        restores: Reconstructs = model  # type: ignore[assignment]
        seen = v if objective.noise is None else objective.noise(v, generator(0, "monitor", "noise", device=v.device))
        return float(restores.reconstruction_error(v, seen).mean())

    return monitor
