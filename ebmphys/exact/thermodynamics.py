"""What the partition function of a finite system says by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ebmphys.exact.jet import Jet


@dataclass(frozen=True)
class Thermodynamics:
    """Energy, specific heat and free energy of a finite system of N sites at one beta.

    log Z; u = -(d log Z / d beta) / N; c = beta^2 (d^2 log Z / d beta^2) / N = beta^2 N Var(e), k_B = 1;
    f = -log Z / (beta N), which is -inf at beta = 0.
    """

    log_partition: float
    energy_per_site: float
    specific_heat: float
    free_energy_per_site: float

    @staticmethod
    def of(log_partition: Jet, n_sites: int, beta: float) -> Thermodynamics:
        """From log Z with its two derivatives in beta."""
        log_z = float(log_partition.value)
        return Thermodynamics(
            log_partition=log_z,
            energy_per_site=-float(log_partition.slope) / n_sites,
            specific_heat=beta**2 * float(log_partition.curvature) / n_sites,
            free_energy_per_site=-log_z / (beta * n_sites) if beta > 0 else -math.inf,
        )


def check_beta(beta: float) -> float:
    """The inverse temperature as a float; ValueError unless finite and not negative."""
    if not (math.isfinite(beta) and beta >= 0):
        raise ValueError(f"beta must be finite and not negative, got {beta}")
    return float(beta)


def check_coupling(coupling: float) -> float:
    """A coupling as a float; ValueError unless finite."""
    if not math.isfinite(coupling):
        raise ValueError(f"the coupling must be finite, got {coupling}")
    return float(coupling)
