"""What to watch while a model learns: honest numbers, never the reconstruction error or the objective of CD alone.

A monitor is ``(model, objective) -> float``. None draws from the training's generators, so that watching a run does not
change it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ebmphys.energies import EnergyModel
from ebmphys.generators import GAN, Diffusion, LatentVariableModel, TractableModel
from ebmphys.objectives import Objective
from ebmphys.objectives.reconstruction import Reconstruction
from ebmphys.observables import energy_per_site
from ebmphys.train.loop import Monitor
from ebmphys.train.monitors.denoising import mean_denoising_bound
from ebmphys.train.monitors.drawn import against_draws
from ebmphys.train.monitors.independent import independent_sites
from ebmphys.train.monitors.likelihoods import (
    BracketedLikelihood,
    exact_kl,
    free_energy_gap,
    kl_on_data,
    mean_elbo,
    mean_importance_bound,
    mean_log_likelihood,
)
from ebmphys.train.monitors.persistent import (
    Observable,
    absolute,
    chain_deviation,
    chain_mean,
    chain_tau,
    chains_of,
    data_mean,
    keeps_chains,
    positive,
    swap_rate,
    tells_tau,
    trades,
)
from ebmphys.train.monitors.reach import enumerable, law_within_reach, log_z_within_reach, two_valued
from ebmphys.train.monitors.restoration import mean_restoration
from ebmphys.train.monitors.weights import ranks, singular_value

__all__ = [
    "BracketedLikelihood",
    "against_data",
    "chain_deviation",
    "chain_mean",
    "chain_tau",
    "chains_of",
    "data_mean",
    "exact_kl",
    "free_energy_gap",
    "kl_on_data",
    "mean_elbo",
    "mean_importance_bound",
    "mean_log_likelihood",
    "singular_value",
    "suited",
    "swap_rate",
]


def suited(
    model: nn.Module,
    objective: Objective,
    validation: Tensor,
    target: EnergyModel | None = None,
    beta: float = 1.0,
    chains: int | None = None,
) -> dict[str, Monitor]:
    """The monitors that a model and its objective allow, by name.

    ``kl``, exact, where both laws can be enumerated, the target's and the model's. For an energy ``log_likelihood`` of
    the validation data, or ``kl_estimate`` where the target's log Z is known, with ``_low`` and ``_high`` beside it
    where log Z is bracketed, and their standard errors ``_low_error`` and ``_high_error``; for a VAE ``elbo``, or
    ``kl_bound`` (importance-weighted, above the true KL), and so for a diffusion. Neither where log Z is out of reach
    (continuous hidden units on many visible sites, hidden units that act on each other). For a GAN what
    ``against_draws`` gives, and ``restoration`` alone where the objective is to restore.
    With persistent chains what ``against_data`` gives, the data being those of so many Markov ``chains``, and
    ``chain_tau`` where it can be told (``tells_tau``) or, of chains that trade along a ladder, ``swap_rate``; of
    machines of two layers the largest ``singular_value_1``, ``_2``, ``_3`` of the weights. For two-valued data
    ``NAME_independent``, what sites that know nothing of each other reach (``independent_sites``).
    """
    if target is not None and not (two_valued(target) and two_valued(model)):
        target = None  # a density has no KL from a law of two-valued spins
    found = _within_reach(model, objective, validation, target, beta, chains)
    return found | (independent_sites(found, validation, target, beta) if two_valued(model) else {})


def _within_reach(
    model: nn.Module,
    objective: Objective,
    validation: Tensor,
    target: EnergyModel | None,
    beta: float,
    chains: int | None,
) -> dict[str, Monitor]:
    monitors: dict[str, Monitor] = {}
    known = target
    if target is not None and law_within_reach(target) and law_within_reach(model):
        monitors["kl"], target = exact_kl(target, beta), None
    if isinstance(objective, Reconstruction):
        return {"restoration": mean_restoration(validation)}
    if isinstance(model, LatentVariableModel):
        bound = _on_data(target, beta, validation, mean_importance_bound(validation))
        return monitors | ({"elbo": mean_elbo(validation)} if bound is None else {"kl_bound": bound})
    if isinstance(model, Diffusion):
        bound = _on_data(target, beta, validation, mean_denoising_bound(validation))
        return {"elbo": mean_denoising_bound(validation)} if bound is None else {"kl_bound": bound}
    if isinstance(model, GAN):
        return against_draws(validation, known)
    if isinstance(model, TractableModel):
        on_data = _on_data(target, beta, validation, mean_log_likelihood(validation))
        return monitors | (
            {"log_likelihood": mean_log_likelihood(validation)} if on_data is None else {"kl_estimate": on_data}
        )
    if not isinstance(model, EnergyModel):
        return monitors
    if log_z_within_reach(model):
        monitors |= _likelihood(model, objective, validation, target, beta)
    if keeps_chains(objective):
        monitors |= against_data(model, validation, known, chains)
    if trades(objective):
        monitors["swap_rate"] = swap_rate
    if tells_tau(model, objective):
        monitors["chain_tau"] = chain_tau()
    return monitors | {f"singular_value_{rank}": singular_value(rank) for rank in ranks(model)}


def against_data(
    model: EnergyModel, v: Tensor, target: EnergyModel | None = None, chains: int | None = None
) -> dict[str, Monitor]:
    """The chains beside data v: ``chain_NAME``, ``data_NAME`` and, in standard errors, ``NAME_deviation``.

    v: rows (draw, chain) of so many Markov ``chains``, or independent ones where it is None (``chain_deviation``).
    NAME is energy_per_site, of the target's Hamiltonian where there is one, and abs_magnetization; ``chain_positive``
    and ``data_positive`` are the shares with m > 0: a model that learned only one sign has every observable right and
    the KL wrong by nats.
    """
    observables: dict[str, Observable] = {}
    if target is not None:
        observables["energy_per_site"] = _energy_of(target)
    if len(model.visible_unit.values) in (0, 2):
        observables["abs_magnetization"] = absolute(model)
    monitors: dict[str, Monitor] = {}
    for name, observable in observables.items():
        monitors[f"chain_{name}"] = chain_mean(observable)
        monitors[f"data_{name}"] = data_mean(observable, v)
        monitors[f"{name}_deviation"] = chain_deviation(observable, v, chains)
    if "abs_magnetization" in observables:
        monitors["chain_positive"] = chain_mean(positive(model))
        monitors["data_positive"] = data_mean(positive(model), v)
    return monitors


def _likelihood(
    model: EnergyModel, objective: Objective, v: Tensor, target: EnergyModel | None, beta: float
) -> dict[str, Monitor]:
    found: dict[str, Monitor] = {"": mean_log_likelihood(v)}
    errors: dict[str, Monitor] = {}
    if keeps_chains(objective) and not enumerable(model):
        likelihood = BracketedLikelihood(v)
        found = {"": likelihood.value, "_low": likelihood.low, "_high": likelihood.high}
        errors = {"_low": likelihood.low_error, "_high": likelihood.high_error}
    turned = {"": "", "_low": "_high", "_high": "_low"}  # the lower the likelihood, the higher the divergence
    estimates = {turned[end]: _on_data(target, beta, v, monitor) for end, monitor in found.items()}
    known = {f"kl_estimate{end}": monitor for end, monitor in estimates.items() if monitor is not None}
    if known:
        return known | {f"kl_estimate{turned[end]}_error": monitor for end, monitor in errors.items()}
    found |= {f"{end}_error": monitor for end, monitor in errors.items()}
    return {f"log_likelihood{end}": monitor for end, monitor in found.items()}


def _energy_of(target: EnergyModel) -> Observable:
    lower, upper = target.visible_unit.values
    return lambda v: energy_per_site(torch.where(v > 0, upper, lower), target)


def _on_data(target: EnergyModel | None, beta: float, v: Tensor, likelihood: Monitor) -> Monitor | None:
    """``kl_on_data``, or None where there is no target or no exact log Z of it."""
    try:
        return None if target is None else kl_on_data(target, beta, v, likelihood)
    except ValueError:
        return None
