"""What every estimate of log Z says: a value, its error, how much stands behind it, and why not to trust it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LEAST_SHARE = 0.1  # of the chains; for log-normal weights it is reached where their log has variance 2.3


@dataclass(frozen=True)
class LogPartition:
    """An estimate of log Z, or of log Z_1/Z_0, in nats, its standard error, and how many of the chains' draws count.

    ``warning`` says in words why the number cannot be trusted; it is empty where nothing speaks against it.
    """

    value: float
    error: float
    effective_sample_size: float
    chains: int
    warning: str = ""


def log_mean_weight(log_weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log of the mean weight of independent chains, its standard error, and (sum w)^2 / sum w^2.

    (*batch, chains) -> (*batch,) each. Raises ValueError where a weight is not a number.
    """
    if bool(log_weights.isnan().any()):
        raise ValueError("a weight is not a number: check the model's parameters")
    chains = log_weights.shape[-1]
    effective = 1 / (torch.softmax(log_weights, -1) ** 2).sum(-1)
    # Variance of the weights over their mean squared, over the number of chains: the delta method for the logarithm.
    error = ((chains / effective - 1).clamp(min=0) / (chains - 1)).sqrt()
    return torch.logsumexp(log_weights, -1) - math.log(chains), error, effective


def few_count(effective: float, chains: int, consequence: str) -> str:
    """The warning for weights that few chains carry, empty where enough do."""
    if effective >= LEAST_SHARE * chains:
        return ""
    return (
        f"only {effective:.1f} of {chains} chains carry the weight: {consequence} and its error too small; "
        f"anneal in more steps"
    )
