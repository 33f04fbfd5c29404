"""Distances between the histograms of two ensembles, and what sampling noise alone would give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import wasserstein_distance

from ebmphys.compare.ensemble import Ensemble, Real
from ebmphys.compare.histograms import Counts, Levels, block_counts, levels

_SPLITS = 8
_DRAWS_A_LEVEL = 10
_FEWEST_LEVELS = 8

Measure = Callable[[Real, Real, Real], float]  # counts, counts, the levels' values


@dataclass(frozen=True)
class Distance:
    """One distance between a sample and the reference: see ``distances``."""

    sample: str
    temperature: float
    quantity: str
    measure: str
    value: float
    floor: float
    noise_spread: float
    excess: float
    levels: int
    exact_levels: bool

    @property
    def at_floor(self) -> bool:
        """Whether the excess is no larger than twice the scatter of the two ensembles' own halves."""
        return self.excess <= 2 * self.noise_spread


def kl_divergence(p: Real, q: Real, smoothing: float = 0.5) -> float:
    """Kullback-Leibler divergence between the laws of two sets of counts, sum p ln(p/q), in nats.

    p_k = (n_k + a) / (n + a K) with a = ``smoothing`` on the K levels that either visits (Krichevsky and Trofimov,
    1981), so that an unvisited level is not an infinity. For many counts its bias is (K-1)/2 (1/n + 1/m).
    (level,), (level,) -> float.
    """
    seen = (p + q) > 0
    a, b = p[seen] + smoothing, q[seen] + smoothing
    a, b = a / a.sum(), b / b.sum()
    some = a > 0
    return float(max((a[some] * np.log(a[some] / b[some])).sum(), 0.0))


def js_divergence(p: Real, q: Real) -> float:
    """Jensen-Shannon divergence between two sets of counts, the mean KL of each law to their average, in nats.

    Between 0 and ln 2, no smoothing; for many counts its bias is (K-1)/8 (1/n + 1/m) (J. Lin, 1991).
    (level,), (level,) -> float.
    """
    a, b = p / p.sum(), q / q.sum()
    middle = (a + b) / 2
    total = sum((c[c > 0] * np.log(c[c > 0] / middle[c > 0])).sum() for c in (a, b))
    return float(max(total / 2, 0.0))


def distances(reference: Ensemble, sample: Ensemble) -> list[Distance]:
    """KL both ways, JS and Wasserstein distances of energy and magnetization, with the floor of each.

    Both ensembles are split at random into halves of independent blocks, R1, R2 and S1, S2. value = mean D(S_i, R_j),
    floor = D(R1, R2), noise_spread = the scatter of D(R1, R2) and of D(S1, S2) over splits, excess = value - noise.
    That of counts enters KL and JS as A/n + B/m, so that noise = (D(R1, R2) + D(S1, S2)) / 2; a Wasserstein distance
    grows as its root, so that there the two are averaged in squares. Correlated draws are taken care of by the halves.
    Levels that are visited less than ten times on average are merged with their neighbours.
    """
    fields = {
        "energy_per_site": (reference.energy_per_site, sample.energy_per_site),
        "magnetization": (reference.magnetization, sample.magnetization),
        "abs_magnetization": (np.abs(reference.magnetization), np.abs(sample.magnetization)),
    }
    wanted: dict[str, dict[str, tuple[Measure, int]]] = {
        "energy_per_site": {**_BETWEEN_COUNTS, "wasserstein": (_wasserstein, 2)},
        "magnetization": _BETWEEN_COUNTS,
        "abs_magnetization": {"wasserstein": (_wasserstein, 2)},
    }
    found = []
    for quantity, (ours, theirs) in fields.items():
        grid, support = _occupied(levels(ours, theirs), ours, theirs)
        r, s = (_halves(block_counts(grid.index(series), support)) for series in (ours, theirs))
        for measure, (between, power) in wanted[quantity].items():
            numbers = _against_noise(r, s, between, power, grid.value(support))
            found.append(
                Distance(sample.name, reference.temperature, quantity, measure, *numbers, len(support), grid.exact)
            )
    return found


def _occupied(grid: Levels, ours: Real, theirs: Real) -> tuple[Levels, Counts]:
    """The levels that either visits, neighbours merged in twos until there are ten draws a level or more."""
    while True:
        support = np.union1d(grid.index(ours), grid.index(theirs))
        if len(support) <= max(min(ours.size, theirs.size) / _DRAWS_A_LEVEL, _FEWEST_LEVELS):
            return grid, support
        grid = grid.merged(2)


def _against_noise(r: Real, s: Real, between: Measure, power: int, values: Real) -> tuple[float, float, float, float]:
    """Value, floor, spread of the noise and excess; halves (split, 2, level) of reference and sample."""
    cross = [between(a[i], b[j], values) for a, b in zip(r, s, strict=True) for i in (0, 1) for j in (0, 1)]
    floor = np.array([between(a[0], a[1], values) for a in r])
    own = np.array([between(b[0], b[1], values) for b in s])
    noise = float((((floor**power).mean() + (own**power).mean()) / 2) ** (1 / power))
    value = float(np.mean(cross))
    spread = float(np.hypot(floor.std(ddof=1), own.std(ddof=1)))
    return value, float(floor.mean()), spread, value - noise


def _halves(counts: Counts) -> Real:
    """Counts of random halves of the blocks, (block, level) -> (split, 2, level)."""
    rng = np.random.default_rng(0)
    blocks = len(counts)
    if blocks < 2:
        raise ValueError("a floor needs at least two independent blocks of draws")
    split = []
    for _ in range(_SPLITS):
        order = rng.permutation(blocks)
        split.append([counts[order[: blocks // 2]].sum(axis=0), counts[order[blocks // 2 :]].sum(axis=0)])
    return np.array(split, dtype=np.float64)


def _wasserstein(p: Real, q: Real, values: Real) -> float:
    return float(wasserstein_distance(values, values, p, q))


_BETWEEN_COUNTS: dict[str, tuple[Measure, int]] = {
    "kl_forward": (lambda p, q, _: kl_divergence(p, q), 1),
    "kl_backward": (lambda p, q, _: kl_divergence(q, p), 1),
    "js": (lambda p, q, _: js_divergence(p, q), 1),
}
