"""Jackknife and bootstrap of quantities derived from averages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ebmphys.stats.autocorrelation import Tau, tau_int
from ebmphys.stats.mean import MANY_CHAINS, Estimate
from ebmphys.stats.series import Real, as_series, is_constant, join

_FEW_BLOCKS = 20
_MOST_BLOCKS = 1000  # enough for an error bar to 2 %, and a bound on the calls of f


@dataclass(frozen=True)
class _Blocks:
    """Sums of each series over blocks that are nearly independent, (block, ...), and the blocks' sizes."""

    sums: list[Real]
    sizes: Real
    tau: float
    n_effective: float
    warning: str
    method: str

    def estimate(self, value: Any, error: Any, replicas: Real, name: str) -> Estimate:
        bad = int((~np.isfinite(replicas.reshape(len(replicas), -1)).all(axis=1)).sum())
        undefined = f"f is not finite on {bad} of {len(replicas)} resampled averages" if bad else ""
        warning = join(self.warning, undefined)
        method = f"{name} over {self.method}"
        return Estimate(_plain(value), _plain(error), self.tau, self.n_effective, warning, method)


def jackknife(f: Callable[..., Any], *series: Any) -> Estimate:
    """Value and standard error of f(mean_1, mean_2, ...), a function of averages of aligned series.

    With f_0 from all N draws, f_b without the n_b draws of block b, h_b = N / n_b and B blocks: pseudovalues
    p_b = h_b f_0 - (h_b - 1) f_b, value = sum_b p_b / h_b, free of the bias of order 1/N, and error^2 =
    1/B sum_b (p_b - value)^2 / (h_b - 1), the usual jackknife where blocks are equal. Each series (draw,) or
    (draw, chain, ...) -> f of arrays (...) -> Estimate with the shape of f. Blocks are chains when there are 32
    or more, else stretches of about 2 tau (N/tau)^(1/3) draws of one chain, tau the longest of the series,
    which the Estimate reports. Warned of in words: fewer than 20 such blocks, and f that is not finite on some
    of the averages. Raises ValueError for series that are not aligned.
    Source: F. Busing, E. Meijer and R. van der Leeden (1999) for unequal blocks; H. R. Kuensch (1989) for blocks
    in time; R. M. Lee et al. (2011) for their length.
    """
    blocks = _blocks(series)
    totals = [s.sum(axis=0) for s in blocks.sums]
    n = blocks.sizes.sum()
    full = _value(f, [t / n for t in totals])
    left_out = _replicas(f, [t - s for t, s in zip(totals, blocks.sums, strict=True)], n - blocks.sizes)
    h = (n / blocks.sizes).reshape(-1, *[1] * full.ndim)
    with np.errstate(invalid="ignore"):
        pseudo = h * full - (h - 1) * left_out
        value = (pseudo / h).sum(axis=0)
        error = np.sqrt(((pseudo - value) ** 2 / (h - 1)).mean(axis=0))
    return blocks.estimate(value, error, left_out, "jackknife")


def bootstrap(f: Callable[..., Any], *series: Any, rng: np.random.Generator, resamples: int = 1000) -> Estimate:
    """Value and standard error of f(mean_1, mean_2, ...) from blocks drawn again with replacement.

    value = f of the averages over all draws (not corrected for bias); error^2 = B/(B - 1) times the variance
    of f over `resamples` sets of B blocks. Shapes, blocks, warnings and errors as for `jackknife`.
    Source: B. Efron (1979); H. R. Kuensch (1989) for blocks.
    """
    if resamples < 2:
        raise ValueError(f"bootstrap needs at least 2 resamples, got {resamples}")
    blocks = _blocks(series)
    count = len(blocks.sizes)
    weights = rng.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float64)
    drawn = [np.tensordot(weights, s, axes=1) for s in blocks.sums]
    replicas = _replicas(f, drawn, weights @ blocks.sizes)
    value = _value(f, [s.sum(axis=0) / blocks.sizes.sum() for s in blocks.sums])
    with np.errstate(invalid="ignore"):
        error = np.sqrt(count / (count - 1) * replicas.var(axis=0, ddof=1))
    return blocks.estimate(value, error, replicas, "bootstrap")


def _replicas(f: Callable[..., Any], sums: list[Real], sizes: Real) -> Real:
    """f of each row of averages: f sees averages of the series' own shape, never the axis of the blocks."""
    return np.stack([_value(f, [s[b] / size for s in sums]) for b, size in enumerate(sizes)])


def _value(f: Callable[..., Any], averages: list[Any]) -> Real:
    """f of averages; where it is not finite the Estimate says so, and numpy need not."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(f(*averages), dtype=np.float64)


def _blocks(series: tuple[Any, ...]) -> _Blocks:
    if not series:
        raise ValueError("give at least one series to average")
    aligned = [as_series(s, trailing=True) for s in series]
    if len({s.shape[:2] for s in aligned}) > 1:
        raise ValueError(f"series must have equal (draw, chain), got {[s.shape[:2] for s in aligned]}")
    n, n_chains = aligned[0].shape[:2]
    tau, total = _slowest(aligned), n * n_chains
    if n_chains >= MANY_CHAINS:
        edges = _edges(n_chains, min(n_chains, _MOST_BLOCKS))
        # Chains side by side, so that one stretch of the flattened axis is a group of whole chains.
        starts, sizes, method = edges[:-1] * n, np.diff(edges) * n, f"{len(edges) - 1} blocks of whole chains"
        short = ""
    else:
        length = max(2 * tau.value * (total / tau.value) ** (1 / 3), total / _MOST_BLOCKS, 1.0)
        per_chain = max(int(n / length), 2 if n_chains == 1 else 1)
        edges = _edges(n, per_chain)
        starts = (np.arange(n_chains)[:, None] * n + edges[:-1]).ravel()
        sizes = np.tile(np.diff(edges), n_chains)
        method = f"{len(sizes)} blocks of about {n // per_chain} draws"
        fits = n_chains * int(n / length)
        short = f"only {fits} blocks of {length:.0f} draws fit" if fits < _FEW_BLOCKS else ""
    by_chain = (np.swapaxes(s, 0, 1).reshape(total, *s.shape[2:]) for s in aligned)
    sums = [np.add.reduceat(s, starts, axis=0) for s in by_chain]
    warning = join(tau.warning, short)
    return _Blocks(sums, sizes.astype(np.float64), tau.value, total / (2 * tau.value), warning, method)


def _slowest(aligned: list[Real]) -> Tau:
    """The longest autocorrelation time of all series and components but constant ones, such as G(0) = 1."""
    flat = [s.reshape(*s.shape[:2], -1)[:, :, k] for s in aligned for k in range(s[0, 0].size)]
    moving = [x for x in flat if not is_constant(x)]
    return max((tau_int(x) for x in moving or flat[:1]), key=lambda tau: tau.value)


def _edges(length: int, parts: int) -> NDArray[np.int64]:
    return np.linspace(0, length, parts + 1).astype(np.int64)


def _plain(x: Real) -> Any:
    """A number where there are no axes, else the array."""
    return float(x) if np.ndim(x) == 0 else x
