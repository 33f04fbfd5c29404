"""Log-likelihoods of any model, and the divergence from a law that is known exactly."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from ebmphys.energies import EnergyModel
from ebmphys.exact.enumeration import MOST_SITES, kl_divergence, log_weights
from ebmphys.generators import DeepBeliefNet, LatentVariableModel, TractableModel
from ebmphys.likelihood.latent import enumerated_log_law, marginal
from ebmphys.likelihood.partition import log_partition as exact_log_partition
from ebmphys.likelihood.products import visible_law
from ebmphys.units import Unit

_ROWS = 2**12  # at a time through a network


@torch.no_grad()
def log_likelihood(model: nn.Module, v: Tensor, beta: float = 1.0, log_partition: float | None = None) -> Tensor:
    """log p(v) in nats, total and not per site; (*batch, n_visible) -> (*batch,), float64.

    An energy: -beta F_beta(v) - log Z, with ``log_partition`` as given, or exactly where it can be had. A deep machine
    without a log Z given, and a belief net (at beta = 1): from the law of all visible configurations, which takes up to
    about 16 two-valued units a layer. A latent variable model with one or two latents: by quadrature (``marginal``);
    with more there is only a bound, ``importance_bound``. A tractable model: its own ``log_prob``.
    Raises ValueError where there is no exact way, for v of the wrong size and for values that an energy's units do not
    have.
    """
    n = getattr(model, "n_visible", None)
    if v.shape[-1] != n:
        raise ValueError(f"the model has {n} visible sites, got configurations of {v.shape[-1]}")
    if isinstance(model, LatentVariableModel):
        return marginal(model, v)
    if isinstance(model, TractableModel):
        _check_values(model.visible_unit, v)
        return _log_prob(model, v)
    if not isinstance(model, EnergyModel | DeepBeliefNet):
        raise ValueError(f"no log-likelihood is known for {type(model).__name__}")
    unit = model.visible_unit if isinstance(model, EnergyModel) else model.visible
    _check_values(unit, v)
    by_layers = not isinstance(model, EnergyModel) or not model.sums_out_hidden
    if by_layers and log_partition is None and len(unit.values) == 2 and n <= MOST_SITES:
        return visible_law(model, beta)[_numbers(unit, v)]
    if not isinstance(model, EnergyModel):
        raise ValueError(f"the likelihood of a belief net is known up to {MOST_SITES} two-valued sites, it has {n}")
    log_z = exact_log_partition(model, beta) if log_partition is None else log_partition
    return -beta * deepcopy(model).double().free_energy(v.double(), beta) - log_z


def kl_to_exact(target: EnergyModel, beta: float, model: nn.Module) -> float:
    """KL(p || q) in nats, total and not per site, over every configuration of a small target.

    p = exp(-beta F) / Z of the target; q the law of an energy model at beta = 1, of a belief net or of a tractable
    model (``visible_law``), or of a latent variable model (``enumerated_log_law``: exact for one or two latents of
    a factorised conditional, and of small autoregressive ones; an estimate for others). Spins and bits may be
    compared: the upper values correspond. 65,536 states take some hundredths of a second, of a deep machine
    seconds.
    Raises ValueError for sizes that differ, above 24 sites, and for units that are not two-valued.
    """
    n = getattr(model, "n_visible", None)
    if n != target.n_visible:
        raise ValueError(f"the target has {target.n_visible} visible sites and the model {n}")
    if isinstance(model, LatentVariableModel):
        return kl_divergence(log_weights(target, beta), enumerated_log_law(model))
    if isinstance(model, EnergyModel | DeepBeliefNet | TractableModel):
        return kl_divergence(log_weights(target, beta), visible_law(model))
    raise ValueError(f"no exact law is known for {type(model).__name__}")


def _log_prob(model: TractableModel, v: Tensor) -> Tensor:
    exact, rows = deepcopy(model).double(), v.reshape(-1, model.n_visible).double()
    return torch.cat([exact.log_prob(some) for some in rows.split(_ROWS)]).reshape(v.shape[:-1])


def _check_values(unit: Unit, v: Tensor) -> None:
    values = torch.tensor(unit.values, dtype=v.dtype, device=v.device)
    if len(values) and not bool(torch.isin(v, values).all()):
        raise ValueError(f"visible units take the values {values.tolist()}, got others")


def _numbers(unit: Unit, v: Tensor) -> Tensor:
    """The place of each configuration in ``exact.enumeration.states``; (*batch, n) -> (*batch,)."""
    powers = 2 ** torch.arange(v.shape[-1] - 1, -1, -1, device=v.device)
    return ((v == unit.values[1]).long() * powers).sum(-1)
