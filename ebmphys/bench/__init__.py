"""Speed: flips, autocorrelation times and effective samples per second, of the samplers here and of their peers."""

from ebmphys.bench.machine import machine
from ebmphys.bench.measure import Budget, Row, Spread, autocorrelation_times, compete
from ebmphys.bench.ours import SAMPLERS
from ebmphys.bench.peers import PACKAGES
from ebmphys.bench.plain import PLAIN
from ebmphys.bench.task import Entrant, Running, Task, observed

PEERS = PLAIN + PACKAGES

__all__ = [
    "PEERS",
    "SAMPLERS",
    "Budget",
    "Entrant",
    "Row",
    "Running",
    "Spread",
    "Task",
    "autocorrelation_times",
    "compete",
    "machine",
    "observed",
]
