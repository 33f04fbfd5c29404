"""Where to put the temperatures of a ladder, and how many it takes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from ebmphys.samplers.base import Chains
from ebmphys.samplers.tempering.exchange import ReplicaExchange

_FLOOR = 1e-3  # of the mean: a pair without a rejection keeps some weight


@dataclass(frozen=True)
class Barrier:
    """What the even-odd scheme can reach between two temperatures (Syed et al. 2022).

    cumulated (n_temperatures,): Lambda, the sum of rejection rates from the first temperature, the communication
    barrier where they are small; total: at the last one; round_trip_rate: expected with this ladder, round
    trips of a ladder a step, 1 / (1 + sum r / (1 - r)); optimal_round_trip_rate: with many temperatures evened,
    1 / (1 + Lambda). Both assume that the sampler decorrelates energies between trades.
    """

    cumulated: Tensor
    total: float
    round_trip_rate: float
    optimal_round_trip_rate: float


def geometric_ladder(beta_min: float, beta_max: float, n: int) -> Tensor:
    """n inverse temperatures in geometric progression, float64; even acceptance where the specific heat is constant.

    Raises ValueError unless 0 < beta_min < beta_max and n >= 2.
    """
    if not (0 < beta_min < beta_max < math.inf and n >= 2):
        raise ValueError(f"a geometric ladder needs 0 < beta_min < beta_max, n >= 2, got {beta_min}, {beta_max}, {n}")
    return torch.from_numpy(np.geomspace(beta_min, beta_max, n))


def barrier(rejection: ArrayLike | Tensor) -> Barrier:
    """The communication barrier from the rejection rates of neighbouring pairs; (n_temperatures - 1,) -> Barrier.

    Raises ValueError for rates that are not probabilities.
    """
    rates = _rates(rejection)
    cumulated = np.append(0.0, rates.cumsum())
    rejected = math.inf if rates.max() == 1 else float((rates / (1 - rates)).sum())
    return Barrier(
        torch.from_numpy(cumulated), float(cumulated[-1]), 1 / (1 + rejected), 1 / (1 + float(cumulated[-1]))
    )


def temperatures_needed(rejection: ArrayLike | Tensor, acceptance: float) -> int:
    """The fewest temperatures with which an evened ladder trades with this probability: 1 + Lambda / (1 - acceptance).

    Lambda is the sum of the present rejection rates, too small where they are close to 1. Raises ValueError for an
    acceptance outside (0, 1).
    """
    if not 0 < acceptance < 1:
        raise ValueError(f"acceptance must lie between 0 and 1, got {acceptance}")
    return 1 + max(1, math.ceil(barrier(rejection).total / (1 - acceptance) - 1e-9))


def even_acceptance_ladder(betas: ArrayLike | Tensor, rejection: ArrayLike | Tensor, n: int | None = None) -> Tensor:
    """The ladder between the same ends on which every pair would be rejected as often (Syed et al. 2022).

    Places n temperatures (as many as before, unless told) at equal steps of Lambda, interpolated monotonically.
    betas (n_temperatures,), rejection (n_temperatures - 1,) -> (n,) float64. One application from a fine ladder
    is enough; from a coarse one measure again and repeat. Raises ValueError for rates that are not probabilities or
    not one a pair, or betas that do not rise or fall.
    """
    return _evened(betas, _rates(rejection), n)


@torch.no_grad()
def adapt_ladder(exchange: ReplicaExchange, chains: Chains, rounds: int = 5, steps: int = 50) -> Tensor:
    """Even the acceptance of a ladder in pilot rounds, each twice as long as the one before; -> betas (n,) float64.

    The rates are averaged over all ladders of the batch, which share the result. The chains are advanced and left
    at the new temperatures. Draws made meanwhile are not to be kept.
    Raises ValueError for counts below 1, or where ladders of the batch have temperatures of their own.
    """
    if rounds < 1 or steps < 1:
        raise ValueError(f"rounds and steps must be at least 1, got {rounds} and {steps}")
    if chains.beta.ndim != 1:
        raise ValueError(f"all ladders of the batch must share their betas, got shape {tuple(chains.beta.shape)}")
    betas = chains.beta.double().cpu()
    for number in range(rounds):
        traded = torch.zeros(len(betas) - 1, dtype=torch.float64, device=chains.beta.device)
        length = steps * 2**number
        for _ in range(length):
            traded += exchange.step(chains)["swap_rate"].reshape(-1, len(traded)).mean(0, dtype=torch.float64)
        betas = even_acceptance_ladder(betas, 1 - traded / length)
        chains.beta = betas.to(chains.beta)
    return betas


def _evened(betas: ArrayLike | Tensor, weights: NDArray[np.float64], n: int | None) -> Tensor:
    """Temperatures at equal steps of a weight given for each interval."""
    old = _numbers(betas)
    count = len(old) if n is None else n
    if old.ndim != 1 or weights.shape != (len(old) - 1,):
        raise ValueError(f"{old.size} betas have {old.size - 1} pairs, got weights of shape {weights.shape}")
    if not ((np.diff(old) > 0).all() or (np.diff(old) < 0).all()):
        raise ValueError("the betas of a ladder must rise, or fall, all along it")
    if count < 2:
        raise ValueError(f"a ladder needs two or more temperatures, got {count}")
    floor = _FLOOR * weights.mean() or 1.0
    reached = np.append(0.0, weights.clip(min=floor).cumsum())
    new = PchipInterpolator(reached, old)(np.linspace(0, reached[-1], count))
    new[0], new[-1] = old[0], old[-1]
    return torch.from_numpy(new)


def _rates(rejection: ArrayLike | Tensor) -> NDArray[np.float64]:
    rates = _numbers(rejection)
    # Sums of rates are rounded: a little outside the interval is no fault.
    if rates.ndim != 1 or len(rates) == 0 or not ((rates > -1e-9) & (rates < 1 + 1e-9)).all():
        raise ValueError("rejection rates are one probability a pair of neighbours, each between 0 and 1")
    return rates.clip(0, 1)


def _numbers(values: ArrayLike | Tensor) -> NDArray[np.float64]:
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
    return np.asarray(array, dtype=np.float64)
