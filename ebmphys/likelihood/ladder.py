"""Chains at every rung between independent units and a model, and what log Z follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.likelihood.bridge import acceptance_ratio, little_overlap
from ebmphys.likelihood.estimate import LogPartition
from ebmphys.likelihood.path import Path
from ebmphys.rng import uniforms
from ebmphys.samplers.tempering import even_acceptance_ladder, swap_accepted
from ebmphys.stats import Estimate, mean_with_error, split_rhat
from ebmphys.stats.series import join

Real = NDArray[np.float64]

_AGREE = 1.05  # split R-hat of gains; chains that agree scatter by about 0.02
_HALVES = 4  # draws a chain, fewer than which have no R-hat
_PILOTS = 3


@dataclass(frozen=True)
class Ladder:
    """Gains g = d log f_t(x) / dt = E_0(x) - beta E(x) of chains at each rung t of a path f_t = f_0 exp(t g).

    t: (rungs,), rising; gains: (draw, chain, rungs), chains independent of each other; log_base: log Z_0 at t[0].
    ``between`` makes one from the energies of a replica exchange run.
    """

    t: Real
    gains: Real
    log_base: float

    def __post_init__(self) -> None:
        if self.t.ndim != 1 or len(self.t) < 2 or not (np.diff(self.t) > 0).all():
            raise ValueError("the rungs of a ladder must be two or more numbers that rise")
        if self.gains.ndim != 3 or self.gains.shape[-1] != len(self.t):
            raise ValueError(f"gains need shape (draw, chain, {len(self.t)}), got {self.gains.shape}")

    @staticmethod
    def between(betas: Any, energies: Any, log_base: float = 0.0) -> Ladder:
        """The ladder of chains at inverse temperatures, (rungs,), with their energies, (draw, chain, rungs).

        log_base: log Z at the first of them, the lowest; left at 0 the results are log Z / Z_first.
        """
        heat, energy = np.asarray(betas, dtype=np.float64), np.asarray(energies, dtype=np.float64)
        return Ladder(heat, -energy, log_base)


@torch.no_grad()
def tempered_ladder(
    model: EnergyModel,
    beta: float = 1.0,
    *,
    rng: torch.Generator,
    rungs: int = 33,
    chains: int = 32,
    draws: int = 400,
    burn_in: int = 400,
    base: Tensor | None = None,
) -> Ladder:
    """Gibbs chains on ``rungs`` laws from free units to exp(-beta E), neighbours trading places after every sweep.

    ``chains`` ladders that are independent of each other; one draw a sweep. During the burn-in the rungs move to where
    every pair trades as often. ``base`` as in ``ais``. Raises ValueError for counts that make no run, and as ``ais``.
    """
    if rungs < 2 or chains < 2 or draws < 1 or burn_in < 0:
        raise ValueError(
            f"a ladder needs rungs >= 2, chains >= 2, draws >= 1 and burn_in >= 0, "
            f"got {rungs}, {chains}, {draws}, {burn_in}"
        )
    path = Path(model, beta, base, rng)
    run = _Exchange(
        path, path.start(chains, rungs), torch.linspace(0, 1, rungs, dtype=torch.float64, device=rng.device)
    )
    for pilot in range(_PILOTS):
        rejection, _ = run.advance(max(burn_in * 2**pilot // 2 ** (_PILOTS + 1), 4))
        run.t = even_acceptance_ladder(run.t, rejection).to(run.t)
    run.advance(burn_in - burn_in // 2)
    _, gains = run.advance(draws)
    return Ladder(run.t.cpu().numpy(), gains.cpu().numpy(), path.log_base)


@dataclass
class _Exchange:
    """Chains (chain, rung, n_sites) of a path that trade places with their neighbours."""

    path: Path
    x: Tensor
    t: Tensor

    def advance(self, steps: int) -> tuple[Tensor, Tensor]:
        """The share of rejected trades of each pair, and the gains of every draw, (steps, chain, rung)."""
        gains = self.x.new_empty(steps, *self.x.shape[:-1])
        rejected, offered = self.t.new_zeros(len(self.t) - 1), self.t.new_zeros(len(self.t) - 1)
        for step in range(steps):
            self.path.sweep(self.x, self.t)
            gain = gains[step] = self.path.gain(self.x)
            parity = step % 2
            u = uniforms(gain[:, parity:-1:2].shape, self.path.rng)
            accepted = swap_accepted(self.t, -gain, u, parity)
            rejected[parity::2] += (~accepted).double().mean(0)
            offered[parity::2] += 1
            source = torch.arange(len(self.t), device=gain.device).repeat(len(gain), 1)
            source[:, parity:-1:2] += accepted.long()
            source[:, parity + 1 :: 2] -= accepted.long()
            self.x = self.x.gather(1, source[..., None].expand_as(self.x))
        return rejected / offered.clamp(min=1), gains


def thermodynamic_integration(ladder: Ladder) -> LogPartition:
    """log Z = log Z_0 + integral of <g>_t dt over the rungs, by the trapezoidal rule with its first correction.

    Since d<g>/dt = Var(g), an interval h gives h (<g>_0 + <g>_1) / 2 - h^2 (Var_1 - Var_0) / 12, wrong by order h^5
    (Euler and Maclaurin). The error adds that of the averages and that of the quadrature, a fifteenth of what taking
    every other rung would change, in quadrature. Warns where the quadrature's is the larger, where chains disagree,
    and where runs are short. Kirkwood (1935); Gelman and Meng (1998).
    """
    everywhere, every_other = np.arange(len(ladder.t)), np.arange(0, len(ladder.t), 2)
    value, terms = _integral(ladder, everywhere)
    coarse, _ = _integral(ladder, np.union1d(every_other, everywhere[-1:]))
    own = mean_with_error(terms)
    quadrature = abs(value - coarse) / 15
    wide = f"the quadrature alone is off by {quadrature:.1g} nats: take more rungs" if quadrature > own.error else ""
    return _result(ladder, value, float(np.hypot(own.error, quadrature)), own, wide)


def bridge_sampling(ladder: Ladder) -> LogPartition:
    """log Z = log Z_0 + the sum over neighbouring rungs of their log-ratio by ``bridge``.

    No quadrature: exact for any rungs in the limit of many draws. The error is that of the sum, correlations
    between rungs and in time included. Warns where neighbours hardly overlap, where chains disagree and where runs
    are short. Bennett (1976).
    """
    total, influence, least = 0.0, np.zeros(ladder.gains.shape[:2]), np.inf
    for k, step in enumerate(np.diff(ladder.t)):
        forward, reverse = step * ladder.gains[..., k], -step * ladder.gains[..., k + 1]
        ratio, terms_0, terms_1, shared = acceptance_ratio(forward, reverse)
        total += ratio
        influence += terms_0 + terms_1
        least = min(least, shared)
    own = mean_with_error(influence)
    return _result(ladder, total, own.error, own, little_overlap(least))


def _integral(ladder: Ladder, rungs: NDArray[np.int64]) -> tuple[float, Real]:
    """The corrected trapezoidal rule over some of the rungs, and its terms draw by draw, whose mean it is."""
    steps = np.diff(ladder.t[rungs])
    slope, curvature = np.zeros(len(rungs)), np.zeros(len(rungs))
    slope[:-1] += steps / 2
    slope[1:] += steps / 2
    curvature[:-1] += steps**2 / 12
    curvature[1:] -= steps**2 / 12
    gains = ladder.gains[..., rungs]
    terms = gains @ slope + (gains - gains.mean((0, 1))) ** 2 @ curvature
    return float(terms.mean()), terms


def _result(ladder: Ladder, value: float, error: float, own: Estimate, warning: str) -> LogPartition:
    series = [ladder.gains[..., k] for k in range(len(ladder.t))] if len(ladder.gains) >= _HALVES else []
    worst = max(map(split_rhat, series), default=1.0)
    apart = f"chains disagree (R-hat {worst:.2f}): run longer, or with more rungs" if worst > _AGREE else ""
    words = join(apart, warning, own.warning)
    return LogPartition(ladder.log_base + value, error, own.n_effective, ladder.gains.shape[1], words)
