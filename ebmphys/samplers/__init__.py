"""Samplers: they know a model's energy and its conditionals, and nothing else."""

from ebmphys.samplers.annealing import anneal, geometric_schedule, ground_state, linear_schedule
from ebmphys.samplers.base import Chains, Observable, Sampler, Schedule, advance, draws, record
from ebmphys.samplers.cluster import SwendsenWang, Wolff
from ebmphys.samplers.downward import Downward, DownwardChains
from ebmphys.samplers.enumerated import Enumerated
from ebmphys.samplers.flat_histogram import DensityOfStates, Multicanonical, wang_landau
from ebmphys.samplers.flips import can_flip, offer_flips
from ebmphys.samplers.gibbs import BlockGibbs, heat_bath
from ebmphys.samplers.gradient import HMC, GibbsWithGradients, Langevin, first_order_flips
from ebmphys.samplers.mean_field import mean_field
from ebmphys.samplers.metropolis import Metropolis, MetropolisHastings, flip_accepted, spin_exchange
from ebmphys.samplers.multispin import MultiSpin, PackedChains
from ebmphys.samplers.neural_metropolis import NeuralMetropolis
from ebmphys.samplers.population import population_annealing
from ebmphys.samplers.tempering import ReplicaExchange

__all__ = [
    "HMC",
    "BlockGibbs",
    "Chains",
    "DensityOfStates",
    "Downward",
    "DownwardChains",
    "Enumerated",
    "GibbsWithGradients",
    "Langevin",
    "Metropolis",
    "MetropolisHastings",
    "MultiSpin",
    "Multicanonical",
    "NeuralMetropolis",
    "Observable",
    "PackedChains",
    "ReplicaExchange",
    "Sampler",
    "Schedule",
    "SwendsenWang",
    "Wolff",
    "advance",
    "anneal",
    "can_flip",
    "draws",
    "first_order_flips",
    "flip_accepted",
    "geometric_schedule",
    "ground_state",
    "heat_bath",
    "linear_schedule",
    "mean_field",
    "offer_flips",
    "population_annealing",
    "record",
    "spin_exchange",
    "wang_landau",
]
