"""``exact``: what closed forms and transfer matrices say about a lattice."""

from __future__ import annotations

from typing import Any

import torch

from ebmphys.exact import critical_temperature, exact_source, exact_values, onsager, yang_magnetization
from ebmphys.experiment.hamiltonian import RANDOM, Hamiltonian
from ebmphys.experiment.settings import Temperatures


class Exact(Hamiltonian):
    """Exact values of the Ising model: the finite lattice, and the infinite square lattice beside it."""

    temperatures: Temperatures
    """k_B T / J: numbers and start:stop:count ranges."""


def exact(settings: Exact) -> dict[str, Any]:
    """A row a temperature; raises ValueError where nothing is known exactly of such a system."""
    model = settings.ising(torch.device("cpu")).double()
    model.fields.fill_(settings.field)  # as typed: float32 would already be off in the eighth digit
    if settings.coupling not in RANDOM:
        model.couplings.fill_(float(settings.coupling))
    source = exact_source(model)
    if not source:
        raise ValueError(
            "nothing exact is at hand for this system: up to 16 sites by enumeration, chains and two-dimensional"
            " strips up to about 10 wide by transfer matrix, uniform square tori in zero field by Kaufman"
        )
    rows = [{"temperature": t, **exact_values(model, 1 / t)} for t in settings.temperatures]
    result: dict[str, Any] = {"settings": settings.what(), "source": source, "rows": rows}
    lattice = settings.lattice()
    square = lattice.geometry == "hypercubic" and lattice.dimension == 2 and min(lattice.shape) > 1
    if square and settings.coupling not in RANDOM and float(settings.coupling) > 0 and not settings.field:
        coupling = float(settings.coupling)
        result["critical_temperature"] = critical_temperature("square", coupling)
        result["infinite"] = [_infinite(t, coupling) for t in settings.temperatures]
    return result


def _infinite(temperature: float, coupling: float) -> dict[str, float | None]:
    bulk = onsager(1 / temperature, coupling)
    finite = bulk.specific_heat < float("inf")
    return {
        "temperature": temperature,
        "free_energy_per_site": bulk.free_energy_per_site,
        "energy_per_site": bulk.energy_per_site,
        "specific_heat": bulk.specific_heat if finite else None,
        "spontaneous_magnetization": yang_magnetization(1 / temperature, coupling),
    }
