"""Samplers: they know a model's energy and its conditionals, and nothing else."""

from ebmphys.samplers.base import Chains, Observable, Sampler, Schedule, advance, draws, record
from ebmphys.samplers.cluster import SwendsenWang, Wolff
from ebmphys.samplers.enumerated import Enumerated
from ebmphys.samplers.flips import can_flip, offer_flips
from ebmphys.samplers.gibbs import BlockGibbs, heat_bath
from ebmphys.samplers.metropolis import Metropolis, MetropolisHastings, flip_accepted, spin_exchange
from ebmphys.samplers.multispin import MultiSpin, PackedChains

__all__ = [
    "BlockGibbs",
    "Chains",
    "Enumerated",
    "Metropolis",
    "MetropolisHastings",
    "MultiSpin",
    "Observable",
    "PackedChains",
    "Sampler",
    "Schedule",
    "SwendsenWang",
    "Wolff",
    "advance",
    "can_flip",
    "draws",
    "flip_accepted",
    "heat_bath",
    "offer_flips",
    "record",
    "spin_exchange",
]
