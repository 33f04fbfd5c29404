"""What to watch while a model learns: honest numbers, never the reconstruction error or the objective of CD alone.

A monitor is ``(model, objective) -> float``. None draws from the training's generators, so that watching a run does not
change it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ebmphys.energies import EnergyModel
from ebmphys.exact.enumeration import MOST_SITES
from ebmphys.generators import VAE
from ebmphys.likelihood import ais, importance_bound, kl_to_exact, log_likelihood, log_partition
from ebmphys.objectives import ELBO, Objective
from ebmphys.observables import abs_magnetization, magnetization
from ebmphys.rng import generator
from ebmphys.samplers import Chains
from ebmphys.train.loop import Monitor
from ebmphys.units import Unit

_ROWS = 1024  # at a time, so that the weights of a bound stay small
_ENUMERABLE = 16  # summing over more units takes longer than the training between two evaluations


def exact_kl(target: EnergyModel, beta: float) -> Monitor:
    """KL(p || q) in nats from the exact law p ~ exp(-beta E) of a target that can be enumerated."""
    return lambda model, objective: kl_to_exact(target, beta, model)


def mean_log_likelihood(v: Tensor, seed: int = 0) -> Monitor:
    """<log p(v)> in nats per configuration of data that are not trained on.

    log Z exactly where a side has up to 16 units; by a short annealed importance sampling where not, then on average
    too low, and the likelihood too high, by an amount of the order of its error.
    """

    def monitor(model: nn.Module, objective: Objective) -> float:
        if not isinstance(model, EnergyModel):
            return float(log_likelihood(model, v).mean())
        hidden = model.n_sites - model.n_visible
        if min(model.n_visible, hidden or model.n_visible) <= _ENUMERABLE:
            log_z = log_partition(model)
        else:
            rng = generator(seed, "monitor", "ais", device=model.device)
            log_z = ais(model, rng=rng, steps=2000, chains=200).value
        return float(log_likelihood(model, v, log_partition=log_z).mean())

    return monitor


def mean_elbo(v: Tensor, draws: int = 8, seed: int = 0) -> Monitor:
    """The evidence lower bound in nats per configuration of data that are not trained on, the noise always the same."""

    def monitor(model: nn.Module, objective: Objective) -> float:
        return -float(ELBO(generator(seed, "monitor", "elbo", device=v.device), draws)(model, v))

    return monitor


def mean_importance_bound(v: Tensor, draws: int = 64, seed: int = 0) -> Monitor:
    """The importance-weighted bound of a VAE's log-likelihood (IWAE), tighter than the ELBO; nats per configuration."""

    def monitor(model: nn.Module, objective: Objective) -> float:
        if not isinstance(model, VAE):
            raise ValueError(f"{type(model).__name__} has no importance-weighted bound")
        rng = generator(seed, "monitor", "importance", device=v.device)
        return float(torch.cat([importance_bound(model, rows, draws, rng) for rows in v.split(_ROWS)]).mean())

    return monitor


def free_energy_gap(train: Tensor, validation: Tensor) -> Monitor:
    """<F>_validation - <F>_train: it grows from zero as a model overfits (Hinton 2012); log Z drops out."""

    def monitor(model: nn.Module, objective: Objective) -> float:
        if not isinstance(model, EnergyModel):
            raise ValueError(f"{type(model).__name__} has no free energy")
        return float(model.free_energy(validation).mean() - model.free_energy(train).mean())

    return monitor


def chain_mean(observable: Callable[[Tensor], Tensor]) -> Monitor:
    """The mean of an observable over the persistent chains' visible sites: near the data's once they have learned."""

    def monitor(model: nn.Module, objective: Objective) -> float:
        chains = chains_of(objective)
        if chains is None:
            raise ValueError("the objective keeps no chains to look at")
        return float(observable(chains.x[..., : model.n_visible]).double().mean())

    return monitor


def chains_of(objective: Objective) -> Chains | None:
    """The persistent chains of an objective, None where it keeps none."""
    return getattr(getattr(objective, "negative", None), "chains", None)


def kl_on_data(target: EnergyModel, beta: float, v: Tensor, likelihood: Monitor) -> Monitor:
    """<log p> - <log q> in nats over data v drawn from p ~ exp(-beta E): an estimate of KL(p || q) without bias, as
    long as v was not trained on and the likelihood is right; too high by as much as a bound is too low.

    Raises ValueError where the target's log Z is not known exactly.
    """
    lower, upper = target.visible_unit.values
    entropy = float(log_likelihood(target, torch.where(v > 0, upper, lower), beta).mean())  # spins and bits alike
    return lambda model, objective: entropy - likelihood(model, objective)


def suited(
    model: nn.Module, objective: Objective, validation: Tensor, target: EnergyModel | None = None, beta: float = 1.0
) -> dict[str, Monitor]:
    """The monitors that a model and its objective allow, by name.

    ``kl``, exact, where the target's law can be enumerated. For an energy ``log_likelihood`` of the validation data, or
    ``kl_estimate`` where the target's log Z is known; for a VAE ``elbo``, or ``kl_bound`` (importance-weighted,
    above the true KL). Neither where log Z is out of reach (continuous hidden units on many visible sites). With
    persistent chains their ``chain_abs_magnetization`` and ``chain_positive``, the share with m > 0: a model that
    learned only one sign has every observable right and the KL wrong by nats.
    """
    if target is not None and not (_two_valued(target) and _two_valued(model)):
        target = None  # a density has no KL from a law of two-valued spins
    monitors: dict[str, Monitor] = {}
    if target is not None and target.n_visible <= _ENUMERABLE:
        monitors["kl"], target = exact_kl(target, beta), None
    if not isinstance(model, EnergyModel):
        bound = _on_data(target, beta, validation, mean_importance_bound(validation))
        return monitors | ({"elbo": mean_elbo(validation)} if bound is None else {"kl_bound": bound})
    if _log_z_within_reach(model):
        likelihood = mean_log_likelihood(validation)
        estimate = _on_data(target, beta, validation, likelihood)
        monitors |= {"log_likelihood": likelihood} if estimate is None else {"kl_estimate": estimate}
    if hasattr(getattr(objective, "negative", None), "chains"):
        centre = sum(model.visible_unit.values) / 2
        monitors["chain_abs_magnetization"] = chain_mean(lambda x: abs_magnetization((x - centre) * _span(model)))
        monitors["chain_positive"] = chain_mean(lambda x: (magnetization(x - centre) > 0).float())
    return monitors


def _on_data(target: EnergyModel | None, beta: float, v: Tensor, likelihood: Monitor) -> Monitor | None:
    """``kl_on_data``, or None where there is no target or no exact log Z of it."""
    try:
        return None if target is None else kl_on_data(target, beta, v, likelihood)
    except ValueError:
        return None


def _log_z_within_reach(model: EnergyModel) -> bool:
    """Whether log Z can be summed, or annealed from infinite temperature, where continuous hidden units have none."""
    every = torch.arange(model.n_sites, device=model.device)
    hidden = [name for name, sites in model.blocks.items() if bool((every[sites] >= model.n_visible).any())]
    if all(model.units[name].values for name in hidden):
        return True
    return bool(model.visible_unit.values) and model.n_visible <= MOST_SITES


def _two_valued(model: nn.Module) -> bool:
    unit: Unit | None = getattr(model, "visible_unit", None)
    return unit is not None and len(unit.values) == 2


def _span(model: EnergyModel) -> float:
    """Two over the distance of a unit's values, which makes bits spins."""
    values = model.visible_unit.values
    return 2 / (values[-1] - values[0]) if values else 1.0
