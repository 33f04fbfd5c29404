"""Exact answers: closed forms of the Ising model, transfer matrices, and sums over every configuration."""

from ebmphys.exact.averages import magnetization_averages
from ebmphys.exact.bulk import Bulk, onsager, yang_magnetization
from ebmphys.exact.chain import periodic_chain
from ebmphys.exact.critical import critical_temperature, potts_critical_temperature
from ebmphys.exact.enumeration import (
    expectation,
    kl_divergence,
    log_partition,
    log_weights,
    states,
    total_variation,
    visible_states,
)
from ebmphys.exact.known import exact_source, exact_values
from ebmphys.exact.laws import JointLaw, MagnetizationLaw, joint_law, magnetization_law
from ebmphys.exact.strip import Strip
from ebmphys.exact.thermodynamics import Thermodynamics
from ebmphys.exact.torus import kaufman
from ebmphys.exact.transfer import strip_thermodynamics

__all__ = [
    "Bulk",
    "JointLaw",
    "MagnetizationLaw",
    "Strip",
    "Thermodynamics",
    "critical_temperature",
    "exact_source",
    "exact_values",
    "expectation",
    "joint_law",
    "kaufman",
    "kl_divergence",
    "log_partition",
    "log_weights",
    "magnetization_averages",
    "magnetization_law",
    "onsager",
    "periodic_chain",
    "potts_critical_temperature",
    "states",
    "strip_thermodynamics",
    "total_variation",
    "visible_states",
    "yang_magnetization",
]
