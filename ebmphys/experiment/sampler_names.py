"""The samplers of ``generate`` by the names that its settings have for them, and those of fitted models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from ebmphys.energies import EnergyModel, Ising, NeuralEnergy
from ebmphys.samplers import BlockGibbs, Enumerated, Metropolis, MultiSpin, Sampler
from ebmphys.samplers.cluster import SwendsenWang, Wolff
from ebmphys.samplers.gradient import HMC, GibbsWithGradients
from ebmphys.samplers.multispin import Update

Name = Literal["gibbs", "metropolis", "packed-gibbs", "packed-metropolis", "swendsen-wang", "wolff", "enumerated"]

SAMPLERS: dict[Name, Callable[[Ising], Sampler]] = {
    "gibbs": BlockGibbs,
    "metropolis": Metropolis,
    "packed-gibbs": MultiSpin,
    "packed-metropolis": lambda model: MultiSpin(model, Update.METROPOLIS),
    "swendsen-wang": SwendsenWang,
    "wolff": Wolff,
    "enumerated": Enumerated,
}
PACKED: tuple[str, ...] = ("packed-gibbs", "packed-metropolis")

_STEPS_A_SWEEP = 16
_STEP = 0.2  # ten of them turn a unit of width 1 by about a third of a period


def by_gradient(model: EnergyModel) -> Sampler:
    """Flips of two-valued units informed by the gradient, n_sites / 16 of them a step; HMC for continuous ones."""
    if not model.visible_unit.values:
        return HMC(model, _STEP)
    return GibbsWithGradients(model, max(1, model.n_sites // _STEPS_A_SWEEP))


def suited_sampler(model: EnergyModel) -> Sampler:
    """What draws from a fitted model: heat bath where a block at a time can be drawn, else by gradients."""
    return by_gradient(model) if isinstance(model, NeuralEnergy) else BlockGibbs(model)
