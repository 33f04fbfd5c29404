"""Small systems by summing over every configuration of their two-valued visible sites."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.exact.thermodynamics import check_beta

MOST_SITES = 24
_CHUNK = 2**18  # numbers in one block of states


def states(
    unit_values: Sequence[float],
    n: int,
    start: int = 0,
    stop: int | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Tensor:
    """Configurations number start to stop of n two-valued sites, in lexicographic order, site 0 slowest.

    unit_values (lower, upper) -> (stop - start, n); all 2^n when start and stop are left out.
    Raises ValueError for units that are not two-valued, for n above 24 and for a range outside 0..2^n.
    """
    if len(unit_values) != 2:
        raise ValueError(f"enumeration needs units of two values, got {len(unit_values)} (0: a continuous unit)")
    if not 1 <= n <= MOST_SITES:
        raise ValueError(f"enumeration takes 1 to {MOST_SITES} visible sites, got {n}")
    stop = 2**n if stop is None else stop
    if not 0 <= start <= stop <= 2**n:
        raise ValueError(f"configurations of {n} sites are numbered 0 to {2**n}, got the range {start} to {stop}")
    numbers = torch.arange(start, stop, device=device)
    bits = (numbers[:, None] >> torch.arange(n - 1, -1, -1, device=device)) & 1
    lower, upper = unit_values
    return bits.to(dtype) * (upper - lower) + lower


def visible_states(model: EnergyModel) -> Tensor:
    """Every visible configuration of a model, in the order of `log_weights`; -> (2^n_visible, n_visible).

    Raises ValueError as `states` does. Memory: 4 n 2^n bytes, 1.6 GB at 24 sites; the averages below need less.
    """
    return states(model.visible_unit.values, model.n_visible, device=model.device)


@torch.no_grad()
def log_weights(model: EnergyModel, beta: float = 1.0) -> Tensor:
    """-beta F_beta(v) of every visible configuration, in float64; log p(v) is this minus `log_partition`.

    -> (2^n_visible,), order of `states`. The model's parameters are taken as they are and computed with in float64.
    Raises ValueError as `states` does, and where a free energy is not finite (beta = 0 with hidden units).
    """
    beta = check_beta(beta)
    exact = deepcopy(model).double()
    weights = torch.empty(2 ** _enumerable(model), dtype=torch.float64, device=model.device)
    for start, v in _blocks(model, torch.float64):
        weights[start : start + len(v)] = -beta * exact.free_energy(v, beta)
    if not bool(weights.isfinite().all()):
        raise ValueError(f"the model's free energy is not finite at beta = {beta}")
    return weights


def log_partition(model: EnergyModel, beta: float = 1.0) -> float:
    """log Z = log sum_v exp(-beta F_beta(v)), summed over every visible configuration; raises as `log_weights`."""
    return float(torch.logsumexp(log_weights(model, beta), 0))


@torch.no_grad()
def expectation(model: EnergyModel, beta: float, observable: Callable[[Tensor], Tensor]) -> Tensor:
    """Exact equilibrium average of an observable of the visible configuration.

    observable: (n, n_visible) float32 -> (n, *value); -> (*value,) in float64, as exact as the observable's own
    arithmetic (x.double() first, where float32 would round). Raises as `log_weights`.
    """
    probability = torch.softmax(log_weights(model, beta), 0)
    total = torch.zeros((), dtype=torch.float64, device=probability.device)
    for start, v in _blocks(model, torch.float32):
        value = observable(v).double()
        total = total + torch.tensordot(probability[start : start + len(v)], value, dims=1)
    return total


def kl_divergence(log_p: Tensor, log_q: Tensor) -> float:
    """Kullback-Leibler divergence sum p log(p / q) in nats between two laws given by log-weights.

    log_p, log_q: (n,) normalised or not, -inf where a state is impossible. Infinite where q = 0 and p > 0.
    Raises ValueError for unlike shapes. Source: Kullback and Leibler (1951), Ann. Math. Stat. 22, 79.
    """
    log_p, log_q = _normalised(log_p, log_q)
    p = log_p.exp()
    return float(torch.where(p > 0, p * (log_p - log_q), torch.zeros_like(p)).sum())


def total_variation(log_p: Tensor, log_q: Tensor) -> float:
    """Total variation distance sum |p - q| / 2, in [0, 1], of two laws given by log-weights, normalised or not.

    (n,), (n,). Raises ValueError for unlike shapes.
    """
    log_p, log_q = _normalised(log_p, log_q)
    return float((log_p.exp() - log_q.exp()).abs().sum() / 2)


def _normalised(log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
    if log_p.ndim != 1 or log_p.shape != log_q.shape:
        raise ValueError(f"two laws need one log-weight a state, got {tuple(log_p.shape)} and {tuple(log_q.shape)}")
    return torch.log_softmax(log_p.double(), 0), torch.log_softmax(log_q.double(), 0)


def _enumerable(model: EnergyModel) -> int:
    """The number of visible sites, refused where it is too many, before 2^n of anything is made."""
    return states(model.visible_unit.values, model.n_visible, 0, 0).shape[-1]


def _blocks(model: EnergyModel, dtype: torch.dtype) -> Iterator[tuple[int, Tensor]]:
    """The visible configurations, a bounded number at a time, each block with the number of its first."""
    n, size = _enumerable(model), max(1, _CHUNK // model.n_sites)
    for start in range(0, 2**n, size):
        stop = min(start + size, 2**n)
        yield start, states(model.visible_unit.values, n, start, stop, dtype=dtype, device=model.device)
