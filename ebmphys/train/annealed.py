"""Training on an energy alone: ``fit`` without data, and how far the model still is from the target's law."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ebmphys.energies import EnergyModel
from ebmphys.generators import TractableModel
from ebmphys.likelihood import log_partition
from ebmphys.objectives import Objective, VariationalFreeEnergy, variational_free_energy
from ebmphys.rng import generator
from ebmphys.train.history import History
from ebmphys.train.loop import Monitor, fit
from ebmphys.train.settings import Training


def blank_rows(n_visible: int, n: int) -> Tensor:
    """Rows for a training without data, whose updates ``fit`` counts by them: all zero, and of no size in memory."""
    return torch.zeros(1, n_visible, dtype=torch.int8).expand(n, -1)


def anneal(
    model: TractableModel,
    objective: VariationalFreeEnergy,
    settings: Training,
    *,
    updates: int = 20,
    **options: Any,
) -> History:
    """Descend the variational free energy; an epoch is so many ``updates`` of ``settings.batch_size`` draws each.

    Everything else is ``fit``'s, whose ``options`` these are: rng, monitors, on_epoch, checkpoint, resume. The
    parameters of a run that still anneals should not be averaged with those at its end: give the annealing less than
    half of it. Raises ValueError for fewer than one update, and as ``fit``.
    """
    if updates < 1:
        raise ValueError(f"an epoch needs 1 update or more, got {updates}")
    rows = blank_rows(model.n_visible, updates * settings.batch_size)
    return fit(model, rows, objective, settings, **options)


def reverse_kl(target: EnergyModel, beta: float, draws: int = 1000, seed: int = 0) -> Monitor:
    """KL(q || p) = beta (F_q - F) in nats over fresh draws of the model, always from the same stream.

    Raises ValueError where the target's log Z is not known exactly.
    """
    log_z = log_partition(target, beta)

    def monitor(model: nn.Module, objective: Objective) -> float:
        if not isinstance(model, TractableModel):
            raise ValueError(f"{type(model).__name__} has no exact likelihood to set against an energy")
        rng = generator(seed, "monitor", "reverse kl", device=model.device)
        return float(beta * variational_free_energy(model, target, beta, draws, rng).value + log_z)

    return monitor
