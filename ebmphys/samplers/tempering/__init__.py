"""Replica exchange around any sampler, the ladder it needs, and how well it travels."""

from ebmphys.samplers.tempering.exchange import ReplicaExchange, swap_accepted
from ebmphys.samplers.tempering.ladder import (
    Barrier,
    adapt_ladder,
    barrier,
    even_acceptance_ladder,
    geometric_ladder,
    temperatures_needed,
)
from ebmphys.samplers.tempering.trips import RoundTrips, round_trips, walkers

__all__ = [
    "Barrier",
    "ReplicaExchange",
    "RoundTrips",
    "adapt_ladder",
    "barrier",
    "even_acceptance_ladder",
    "geometric_ladder",
    "round_trips",
    "swap_accepted",
    "temperatures_needed",
    "walkers",
]
