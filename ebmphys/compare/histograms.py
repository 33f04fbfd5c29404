"""Histograms on the levels that a quantity can take, counted in blocks that are independent of each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ebmphys.compare.ensemble import Real

Counts = NDArray[np.int64]

_MOST_BLOCKS = 64
_FEWEST_BLOCKS = 8


@dataclass(frozen=True)
class Levels:
    """Equidistant levels ``origin + width * k``; ``exact`` where the quantity takes no other values, bins where not."""

    origin: float
    width: float
    exact: bool

    def index(self, values: Real) -> Counts:
        """The number k of the level nearest to each value, (...) -> (...)."""
        return np.rint((values - self.origin) / self.width).astype(np.int64)

    def value(self, index: Counts) -> Real:
        """The level (the middle of the bin) of each number, (...) -> (...)."""
        return self.origin + self.width * index.astype(np.float64)

    def merged(self, together: int) -> Levels:
        """Bins of several neighbouring levels each."""
        if together == 1:
            return self
        return Levels(self.origin + self.width * (together - 1) / 2, self.width * together, False)


def levels(reference: Real, *others: Real) -> Levels:
    """The levels of a quantity: exact ones where all values lie on a grid, else bins of the reference.

    A grid is the smallest gap between values, or a half, third or quarter of it. Bins have the width of Freedman
    and Diaconis (1981), 2 IQR n^(-1/3). (...) each -> Levels.
    """
    distinct = np.unique(np.concatenate([np.unique(v) for v in (reference, *others)]))
    scale = max(float(np.abs(distinct).max()), 1e-300)
    gaps = np.diff(distinct)
    gaps = gaps[gaps > 1e-6 * scale]  # below: one level seen through rounding to single precision
    if gaps.size == 0:
        return Levels(float(distinct[0]), scale, True)
    for parts in (1, 2, 3, 4):
        width = float(gaps.min()) / parts
        steps = (distinct - distinct[0]) / width
        if np.abs(steps - np.rint(steps)).max() < 0.01 and steps[-1] < 1e7:
            return Levels(float(distinct[0]), float(distinct[-1] - distinct[0]) / float(np.rint(steps[-1])), True)
    low, high = np.quantile(reference, [0.25, 0.75])
    spread = float(high - low) or float(np.ptp(reference)) or scale
    return Levels(float(np.median(reference)), 2 * spread * reference.size ** (-1 / 3), False)


def block_counts(index: Counts, support: Counts) -> Counts:
    """How often each level of the sorted support occurs in each block; (draw, chain), (level,) -> (block, level).

    With 8 chains or more a block is one chain or a group of whole chains (at most 64 groups); with fewer, each chain
    is cut into stretches of equal time, so that there are at least 8 blocks where the draws suffice.
    """
    n, n_chains = index.shape
    if n_chains >= _FEWEST_BLOCKS:
        count = min(n_chains, _MOST_BLOCKS)
        block = np.broadcast_to(np.arange(n_chains) * count // n_chains, index.shape)
    else:
        stretches = min(-(-_FEWEST_BLOCKS // n_chains), n)
        count = stretches * n_chains
        block = (np.arange(n) * stretches // n)[:, None] + stretches * np.arange(n_chains)
    position = np.searchsorted(support, index)
    flat = np.bincount((block * len(support) + position).ravel(), minlength=count * len(support))
    return flat.reshape(count, len(support))


@dataclass(frozen=True)
class Histogram:
    """Probability density on equal bins with its error bar, both per unit of the quantity; each (bin,)."""

    centres: Real
    density: Real
    error: Real
    width: float


def histogram(values: Real, grid: Levels, low: float, high: float, most_bins: int = 60) -> Histogram:
    """Density of a series over whole groups of levels between low and high, with errors from independent blocks.

    (draw, chain) -> Histogram of at most about ``most_bins`` bins, each a whole number of levels wide.
    """
    first, last = grid.index(np.array([low, high]))
    grid = grid.merged(max(1, -(-int(last - first + 1) // most_bins)))
    first, last = grid.index(np.array([low, high]))
    bins = np.arange(first, last + 1)
    counts = block_counts(np.clip(grid.index(values), first, last), bins)
    sizes = counts.sum(axis=1)
    fraction = counts.sum(axis=0) / sizes.sum()
    # Ratio estimator over blocks: they need not be of one size.
    residual = counts - fraction * sizes[:, None]
    blocks = len(counts)
    error = np.sqrt(blocks / max(blocks - 1, 1) * (residual**2).sum(axis=0)) / sizes.sum()
    return Histogram(grid.value(bins), fraction / grid.width, error / grid.width, grid.width)
