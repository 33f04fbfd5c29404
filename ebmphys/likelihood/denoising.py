"""What can be known of a configuration from a noisy one: the posterior that no denoiser betters."""

from __future__ import annotations

import torch
from torch import Tensor

from ebmphys.exact.enumeration import MOST_SITES


def flip_channel(law: Tensor, p: float) -> Tensor:
    """The law of configurations whose every site was turned over with probability p; (*batch, 2^n) -> the same.

    In the order of ``exact.enumeration.states``. Site after site, so in n 2^n operations.
    """
    n = _sites(law)
    for site in range(n):
        lower, upper = law.unflatten(-1, (2**site, 2, 2 ** (n - 1 - site))).unbind(-2)
        law = torch.stack([(1 - p) * lower + p * upper, p * lower + (1 - p) * upper], -2).flatten(-3)
    return law


def flip_posterior(log_p: Tensor, p: float) -> tuple[Tensor, Tensor]:
    """The law of noisy configurations y, and P(site i had its upper value | y) by Bayes' rule, for every y.

    ``log_p`` (2^n,) are log-weights of the clean configurations x, normalised or not, and every site is turned over
    with probability p; -> (2^n,), (2^n, n), float64. Taking the likelier value of every site then makes the fewest
    errors that any denoiser makes on average, and these probabilities have the lowest cross-entropy.
    Raises ValueError for a p outside 0 to 1/2 or a number of weights that is not 2^n.
    """
    if not 0 < p <= 0.5:
        raise ValueError(f"the probability of a flip is above 0 and up to 0.5, got {p}")
    law, n = torch.softmax(log_p.double(), 0), _sites(log_p)
    place = torch.arange(len(law), device=law.device)
    upper = (place >> torch.arange(n - 1, -1, -1, device=law.device)[:, None]) & 1
    noisy = flip_channel(law, p)
    return noisy, (flip_channel(law * upper, p) / noisy).T


def _sites(law: Tensor) -> int:
    n = law.shape[-1].bit_length() - 1
    if law.shape[-1] != 2**n or not 1 <= n <= MOST_SITES:
        raise ValueError(f"a law of n two-valued sites has 2^n weights, n from 1 to {MOST_SITES}, got {law.shape[-1]}")
    return n
