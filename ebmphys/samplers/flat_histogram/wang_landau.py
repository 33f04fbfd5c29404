"""The density of states by a random walk in energy (Wang and Landau 2001), ended as Belardinelli and Pereyra do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ebmphys.energies import EnergyModel
from ebmphys.samplers.compiled import seeds, torch_threads
from ebmphys.samplers.flat_histogram.density import DensityOfStates
from ebmphys.samplers.flat_histogram.kernels import wang_landau_moves
from ebmphys.samplers.flat_histogram.levels import IntegerIsing

_MOVES_A_BIN = 200  # between looks at the histograms
_LONGEST_ROUND = 2**24  # moves, so that whoever watches hears from the run


@dataclass(frozen=True)
class WangLandauStage:
    """How far a run has come: the largest log f of any walker, sweeps done by each, levels met so far."""

    log_f: float
    sweeps: int
    levels: int


def wang_landau(
    model: EnergyModel,
    *,
    rng: torch.Generator,
    walkers: int = 32,
    log_f: float = 1e-6,
    flatness: float = 0.8,
    most_sweeps: int | None = None,
    on_stage: Callable[[WangLandauStage], None] | None = None,
) -> DensityOfStates:
    """log g(E) of an Ising model with whole-number couplings, by independent walkers until log f is reached.

    Each walker flips single spins with probability min(1, g(E) / g(E')) and adds log f to its log g of the level
    where it is after each attempt. log f starts at 1 and is halved when no level that any walker has met has
    fewer than ``flatness`` of the mean number of visits; once it is below 1/t, with t the number of moves a level,
    log f = 1/t: halving on would freeze the error in. The statistical error falls as the square root of log f, and
    the run takes n_levels / log_f moves a walker. A walker that meets a new level goes back to log f = 1. After
    ``most_sweeps`` sweeps the run ends in any case, with a warning. ``on_stage`` is called as log f halves.
    Streams belong to walkers: the number of threads changes nothing.
    Raises ValueError for settings out of range and models as `IntegerIsing.of` does.
    Source: F. Wang and D. P. Landau (2001); R. E. Belardinelli and V. D. Pereyra (2007) for 1/t.
    """
    if walkers < 1 or not 0 < log_f < 1 or not 0 < flatness < 1 or (most_sweeps is not None and most_sweeps < 1):
        raise ValueError(
            f"Wang-Landau needs walkers >= 1, log_f and flatness between 0 and 1 and most_sweeps >= 1, "
            f"got walkers={walkers}, log_f={log_f}, flatness={flatness}, most_sweeps={most_sweeps}"
        )
    system = IntegerIsing.of(model)
    run = _Walkers(system, walkers, rng)
    limit = float("inf") if most_sweeps is None else most_sweeps * system.n_sites
    shown = 1.0
    while run.largest > log_f and run.moves < limit:
        run.go(int(min(run.round_length(log_f), limit - run.moves)))
        run.refine(flatness)
        if on_stage is not None and run.largest <= shown / 2:
            shown = run.largest
            on_stage(WangLandauStage(shown, run.moves // system.n_sites, run.levels))
    return run.density(log_f)


class _Walkers:
    """The state of all walkers; arrays over (walker, bin), or (walker,)."""

    def __init__(self, system: IntegerIsing, count: int, rng: torch.Generator) -> None:
        shape = (count, system.n_bins)
        self.system, self.count, self.moves = system, count, 0
        self.streams = seeds((count, 4), rng)
        up = torch.rand(count, system.n_sites, generator=rng, device=rng.device) < 0.5
        self.spins = np.where(up.cpu().numpy(), 1, -1).astype(np.int8)
        self.bins = system.bins(self.spins)
        self.log_g = np.zeros(shape)
        self.histogram = np.zeros(shape, dtype=np.int64)
        self.visited = np.zeros(shape, dtype=np.bool_)
        self.visited[np.arange(count), self.bins] = True
        self.log_f = np.ones(count)
        self.timed = np.zeros(count, dtype=np.bool_)
        self.done = np.zeros(count, dtype=np.int64)

    @property
    def known(self) -> NDArray[np.bool_]:
        """The bins that any walker has met; (n_bins,)."""
        return np.asarray(self.visited.any(axis=0))

    @property
    def levels(self) -> int:
        return int(self.known.sum())

    @property
    def largest(self) -> float:
        return float(self.log_f.max())

    def round_length(self, target: float) -> int:
        """Moves until the next look: a fixed number while histograms are compared, then as many as are done."""
        if not self.timed.all():
            return _MOVES_A_BIN * self.system.n_bins
        left = int(np.ceil(self.levels / target)) - self.moves
        return max(min(left, self.moves, _LONGEST_ROUND), 1)

    def go(self, count: int) -> None:
        system = self.system
        with torch_threads():
            new = wang_landau_moves(
                count,
                self.spins,
                self.bins,
                self.log_g,
                self.histogram,
                self.visited,
                self.log_f,
                self.timed,
                self.done,
                self.levels,
                system.neighbours,
                system.strengths,
                system.fields,
                system.spacing,
                self.streams,
            )
        self.moves += count
        surprised = new > 0
        self.log_f[surprised], self.timed[surprised] = 1.0, False
        self.histogram[surprised] = 0

    def refine(self, flatness: float) -> None:
        """Halve log f of walkers with flat histograms, and let time set it once 1/t is larger."""
        visits = self.histogram[:, self.known]
        flat = ~self.timed & (visits.min(axis=1) >= flatness * visits.mean(axis=1)) & (visits.min(axis=1) > 0)
        self.log_f[flat] /= 2
        self.histogram[flat] = 0
        by_time = self.levels / self.moves
        self.timed |= self.log_f <= by_time
        self.log_f[self.timed] = by_time

    def density(self, target: float) -> DensityOfStates:
        known = self.known
        missing = int((~self.visited[:, known]).any(axis=1).sum())
        stopped = f"stopped at log f = {self.largest:.2g} before {target:.2g} was reached"
        unmet = f"{missing} of {self.count} walkers never met some level that others did"
        warning = "; ".join([stopped] * (self.largest > target) + [unmet] * (missing > 0))
        # A walker that never met a level has no estimate there: the lowest it has is an upper end.
        floor = np.where(self.visited, self.log_g, np.inf).min(axis=1, keepdims=True)
        log_g = np.where(self.visited, self.log_g, floor)[:, known]
        return DensityOfStates(self.system.n_sites, self.system.energies[known], log_g, warning)
