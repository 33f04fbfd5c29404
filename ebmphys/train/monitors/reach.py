"""What can be said of a model's law in less time than the training between two looks."""

from __future__ import annotations

from torch import nn

from ebmphys.energies import BoltzmannMachine, DeepBoltzmannMachine, EnergyModel, TwoLayers
from ebmphys.energies.boltzmann import MOST_SUMMED
from ebmphys.exact.enumeration import MOST_SITES
from ebmphys.generators import DeepBeliefNet, FactorisedModel, TractableModel
from ebmphys.units import Unit

ENUMERABLE = 16  # summing over more units takes longer than the training between two looks
LEAST_STEPS = 50  # an annealing in fewer closes on nothing, and a tau of 5 needs as many to be told
_BLOCKS = 4  # a sweep of so many costs what the steps were chosen for


def two_valued(model: nn.Module) -> bool:
    """Whether every visible site has two values."""
    unit: Unit | None = getattr(model, "visible_unit", None)
    return unit is not None and len(unit.values) == 2


def law_within_reach(model: nn.Module) -> bool:
    """Whether p(v) can be written down for every v: up to 16 two-valued sites, and hidden ones that can be summed out.

    Of deep machines and belief nets every layer but the last one is enumerated, and has up to 16 units as well. Latents
    are integrated out where the sites are independent given them.
    """
    if not isinstance(model, EnergyModel | FactorisedModel | DeepBeliefNet | TractableModel):
        return False
    if not two_valued(model) or not _few(model.n_visible):
        return False
    if isinstance(model, DeepBeliefNet):
        return all(map(_few, model.sizes[:-1]))
    if isinstance(model, DeepBoltzmannMachine):
        return all(map(_few, model.sizes[:-1])) and all(len(unit.values) == 2 for unit in model.layer_units[:-1])
    if isinstance(model, BoltzmannMachine) and not model.sums_out_hidden:
        return model.n_sites - model.n_visible <= MOST_SUMMED
    return isinstance(model, FactorisedModel | TractableModel) or model.sums_out_hidden


def enumerable(model: EnergyModel) -> bool:
    """Whether log Z can be summed over up to 16 two-valued units: the visible ones, or the hidden of two layers."""
    if isinstance(model, TwoLayers) and len(model.hidden.values) == 2 and _few(model.n_hidden):
        return True
    return model.sums_out_hidden and two_valued(model) and _few(model.n_visible)


def log_z_within_reach(model: EnergyModel) -> bool:
    """Whether F(v) is a closed form and log Z can be summed, or annealed from infinite temperature.

    Annealing draws block after block: continuous hidden units leave it too far from the model, and continuous sites
    alone have no conditional law of a known family.
    """
    if not model.sums_out_hidden:
        return False
    if enumerable(model):
        return True
    if all(model.units[name].values for name in model.hidden_blocks):
        return bool(model.hidden_blocks) or bool(model.visible_unit.values)
    return two_valued(model) and model.n_visible <= MOST_SITES


def affordable(steps: int, blocks: int, least: int = LEAST_STEPS) -> int:
    """Steps times 4 / max(4, blocks), ``least`` or more: as many draws of a block, however many blocks a sweep has."""
    return max(least, steps * _BLOCKS // max(_BLOCKS, blocks))


def _few(units: int) -> bool:
    return units <= ENUMERABLE
