"""What the best law of sites that know nothing of each other reaches: who does not better it has learned nothing."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.exact.enumeration import log_weights, visible_states
from ebmphys.train.loop import Monitor
from ebmphys.train.monitors.likelihoods import kl_on_data


def independent_sites(
    found: Mapping[str, Monitor], v: Tensor, target: EnergyModel | None = None, beta: float = 1.0
) -> dict[str, Monitor]:
    """``NAME_independent`` beside the first of kl, kl_estimate, kl_bound, log_likelihood and elbo that is found.

    The product of each site's own law, that of the target p ~ exp(-beta E) for kl, that of two-valued data v for the
    others: of all products the best. With H_i the entropy of site i its divergence is KL(p || product) = sum_i H_i -
    H(p), its log-likelihood -sum_i H_i, in nats.
    """
    if "kl" in found and target is not None:
        law = torch.softmax(log_weights(target, beta), 0)
        up = (visible_states(target) == target.visible_unit.values[1]).double()
        return {"kl_independent": _always(_entropies(law @ up) - float(torch.special.entr(law).sum()))}
    likelihood = _always(-_entropies((v == v.max()).double().mean(0)))
    for name in ("kl_estimate", "kl_bound"):
        if name in found and target is not None:
            return {f"{name}_independent": kl_on_data(target, beta, v, likelihood)}
    return {f"{name}_independent": likelihood for name in ("log_likelihood", "elbo") if name in found}


def _entropies(up: Tensor) -> float:
    """sum_i H_i of sites that are up with these probabilities; (n,) -> a number."""
    return float((torch.special.entr(up) + torch.special.entr(1 - up)).sum())


def _always(value: float) -> Monitor:
    return lambda model, objective: value
