"""Timing and autocorrelation times of entrants on one task, their turns interleaved."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from ebmphys.bench.task import Entrant, Real, Running, Task
from ebmphys.stats import tau_int

_DRAWS = 2000  # of a series for tau, at most
_FEWEST = 50
_TAU_CHAINS = 64
_TAUS = 15  # autocorrelation times that each chain of a series is to last
_RESOLVED = 2.0  # draws: a shorter tau is measured again with fewer steps between draws

Say = Callable[[str], None]


@dataclass(frozen=True)
class Budget:
    """``repeats`` timed runs of about ``seconds`` each, and about ``tau_seconds`` for the series behind tau.

    Raises ValueError for what is no such thing.
    """

    repeats: int = 5
    seconds: float = 0.3
    tau_seconds: float = 2.0

    def __post_init__(self) -> None:
        if self.repeats < 1 or not self.seconds > 0 or not self.tau_seconds > 0:
            raise ValueError(
                f"a budget needs repeats >= 1 and times above 0, got repeats={self.repeats}, "
                f"seconds={self.seconds}, tau_seconds={self.tau_seconds}"
            )


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of repeated measurements."""

    median: float
    min: float
    max: float


@dataclass(frozen=True)
class Row:
    """What was measured of one entrant; None for what could not be, ``note`` for why.

    flips_per_ns: spin updates of all chains a nanosecond, accepted or not (for one cluster a step, spins flipped).
    tau_energy, tau_abs_m: integrated autocorrelation times in steps. effective_per_second: effective samples of all
    chains together by the slower of the two, chains / (2 tau seconds_per_step). over_peer, effective_over_peer: these
    two over those of the best peer of the same run.
    """

    name: str
    peer: bool
    note: str = ""
    flips_per_ns: Spread | None = None
    seconds_per_step: float | None = None
    tau_energy: float | None = None
    tau_abs_m: float | None = None
    effective_per_second: float | None = None
    effective_per_second_per_chain: float | None = None
    over_peer: float | None = None
    effective_over_peer: float | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class _Lane:
    """An entrant at work: steps of a timed run, its tau, seconds a step and updates a nanosecond of the runs so far."""

    entrant: Entrant
    running: Running
    steps: int
    tau: dict[str, float | None]
    seconds: list[float]
    rates: list[float]


def compete(entrants: Sequence[Entrant], task: Task, budget: Budget, say: Say = lambda line: None) -> list[Row]:
    """A row for each entrant, in their order, measured on one task.

    Each is warmed up and runs for its tau first; then all take turns at the timed runs, so that a machine that slows
    down slows all of them.
    """
    threads = torch.get_num_threads()
    lanes: dict[str, _Lane] = {}
    rows: dict[str, Row] = {}
    for entrant in entrants:
        say(f"{entrant.name}: warming up, tau")
        try:
            lanes[entrant.name] = _prepare(entrant, task, budget)
        except (ValueError, ImportError) as error:
            absent = isinstance(error, ImportError)
            rows[entrant.name] = Row(entrant.name, entrant.peer, "not installed" if absent else str(error))
        # Where numba and torch share an OpenMP runtime, numba's first parallel kernel sets the threads of both.
        torch.set_num_threads(threads)
    for turn in range(budget.repeats):
        say(f"timed run {turn + 1} of {budget.repeats}")
        for lane in lanes.values():
            _timed(lane, task)
    rows |= {name: _row(lane, task) for name, lane in lanes.items()}
    return list(_over_peers([rows[entrant.name] for entrant in entrants]))


def _prepare(entrant: Entrant, task: Task, budget: Budget) -> _Lane:
    """tau belongs to a chain, so that a few chains show it in less time; the timed runs are those of all."""
    few = replace(task, chains=min(task.chains, _TAU_CHAINS))
    running = _warm(entrant, few)
    tau = autocorrelation_times(running, _seconds_per_step(running, budget.seconds), budget.tau_seconds)
    if few != task:
        running = _warm(entrant, task)
    if entrant.one_cluster:
        # How long such a step takes depends on the clusters, and they grow until equilibrium is there.
        end = time.perf_counter() + budget.tau_seconds
        while time.perf_counter() < end:
            running.advance(1)
    steps = max(1, round(budget.seconds / _seconds_per_step(running, budget.seconds)))
    return _Lane(entrant, running, steps, tau, [], [])


def _warm(entrant: Entrant, task: Task) -> Running:
    running = entrant.start(task)
    running.advance(1)
    return running


def _timed(lane: _Lane, task: Task) -> None:
    """One timed run, and the rate of updates in it."""
    step = _seconds(lane.running.advance, lane.steps) / lane.steps
    # The cluster of a random site has N <m^2> spins on average (Wolff 1989).
    share = float((lane.running.observe()[1] ** 2).mean()) if lane.entrant.one_cluster else 1.0
    lane.seconds.append(step)
    lane.rates.append(share * task.spins / step / 1e9)


def _seconds_per_step(running: Running, seconds: float) -> float:
    """From runs of doubling length, up to a tenth of the time that a timed run is to take."""
    steps = 1
    while True:
        taken = _seconds(running.advance, steps)
        if taken > seconds / 10:
            return taken / steps
        steps *= 2


def _seconds(work: Callable[..., object], *arguments: int) -> float:
    start = time.perf_counter()
    work(*arguments)
    return max(time.perf_counter() - start, 1e-9)


def _series(running: Running, draws: int, thin: int, seconds: float) -> Iterator[tuple[Real, Real]]:
    """Up to so many draws of (E, m) per site with ``thin`` steps before each, ended after twice the time."""
    end = time.perf_counter() + 2 * seconds
    for _ in range(draws):
        if time.perf_counter() > end:
            return
        running.advance(thin)
        yield running.observe()


def autocorrelation_times(running: Running, step: float, seconds: float) -> dict[str, float | None]:
    """tau_int of the energy and of |m| in steps, from a series of about so many seconds; None where it is too short.

    ``step`` is the time of a step in seconds. The first fifth of a series is left out. A tau is given where each chain
    lasted 15 of them and ``tau_int`` has nothing to warn of; one below two draws is measured again, closer together.
    """
    running.observe()
    look = _seconds(running.observe)
    draws = min(_DRAWS, int(seconds / (step + look)))
    found: dict[str, float | None] = {"energy": None, "abs_m": None}
    if draws < _FEWEST:
        return found
    thin = max(1, int((seconds / draws - look) / step))
    unresolved = set(found)
    while unresolved:
        energy, m = (np.stack(column) for column in zip(*_series(running, draws, thin, seconds), strict=True))
        for name, series in (("energy", energy), ("abs_m", np.abs(m))):
            tau = _tau_in_draws(series[len(series) // 5 :])
            if name in unresolved:
                found[name] = None if tau is None else tau * thin
                if tau is None or tau >= _RESOLVED or thin == 1:
                    unresolved.remove(name)
        thin = max(1, thin // 8)
    return found


def _tau_in_draws(series: Real) -> float | None:
    if len(series) < _FEWEST // 2:
        return None
    tau = tau_int(series)
    return None if tau.warning or len(series) < _TAUS * tau.value else tau.value


def _row(lane: _Lane, task: Task) -> Row:
    step = statistics.median(lane.seconds)
    energy, abs_m = lane.tau["energy"], lane.tau["abs_m"]
    per_chain = None if energy is None or abs_m is None else 1 / (2 * max(energy, abs_m) * step)
    return Row(
        lane.entrant.name,
        lane.entrant.peer,
        "" if per_chain is not None else "too short for tau",
        Spread(statistics.median(lane.rates), min(lane.rates), max(lane.rates)),
        step,
        energy,
        abs_m,
        None if per_chain is None else per_chain * task.chains,
        per_chain,
    )


def _over_peers(rows: Sequence[Row]) -> Iterator[Row]:
    """The same rows with their ratios to the best peer's flips and the best peer's effective samples."""
    peers = [row for row in rows if row.peer]
    flips = max((row.flips_per_ns.median for row in peers if row.flips_per_ns), default=None)
    effective = max((row.effective_per_second for row in peers if row.effective_per_second), default=None)
    for row in rows:
        yield replace(
            row,
            over_peer=row.flips_per_ns.median / flips if row.flips_per_ns and flips else None,
            effective_over_peer=row.effective_per_second / effective
            if row.effective_per_second and effective
            else None,
        )
