"""What is known exactly about a given Ising model, by whichever way reaches it."""

from __future__ import annotations

import torch

from ebmphys.energies import EnergyModel, Ising
from ebmphys.exact.averages import magnetization_averages
from ebmphys.exact.enumeration import log_weights, visible_states
from ebmphys.exact.laws import magnetization_law
from ebmphys.exact.strip import Strip
from ebmphys.exact.thermodynamics import Thermodynamics, check_beta
from ebmphys.exact.torus import kaufman
from ebmphys.exact.transfer import strip_thermodynamics
from ebmphys.lattice import Lattice

NAMES = (
    "log_partition",
    "energy_per_site",
    "specific_heat",
    "abs_magnetization",
    "magnetization_squared",
    "magnetization_fourth",
    "binder_cumulant",
    "susceptibility",
    "susceptibility_disordered",
)
_ENUMERATED_SITES = 16
_OPERATIONS = 2e8  # of the transfer matrix with magnetization: about two seconds


def exact_values(model: EnergyModel, beta: float) -> dict[str, float]:
    """The exact values of a model's averages at inverse temperature beta, as far as they can be had in seconds.

    Keys from `NAMES`, with the definitions of `Thermodynamics` and `magnetization_averages`: all of them for an Ising
    model of up to 16 sites and for narrow strips and chains (uniform up to 9 x 9, any couplings up to 8 x 8);
    log_partition, energy_per_site and specific_heat for larger uniform periodic square lattices in zero field;
    none otherwise.
    Raises ValueError for beta negative or not finite.
    """
    beta = check_beta(beta)
    way = exact_source(model)
    if not isinstance(model, Ising) or not way:
        return {}
    if way == ENUMERATION:
        values = _enumerated(model, beta)
    elif way == TRANSFER_MATRIX:
        strip = _strip(model)
        law = magnetization_law(strip, beta)
        values = _thermal(strip_thermodynamics(strip, beta)) | law.averages()
    else:
        assert isinstance(model.graph, Lattice)
        n, m = model.graph.shape
        values = _thermal(kaufman((n, m), beta, float(model.couplings[0])))
    return {name: values[name] for name in NAMES if name in values}


ENUMERATION = "enumeration of all configurations"
TRANSFER_MATRIX = "transfer matrix, Kramers and Wannier (1941)"
KAUFMAN = "Kaufman (1949)"


def exact_source(model: EnergyModel) -> str:
    """Where `exact_values` of this model come from: a method or an author and year; empty if nothing is known."""
    if not isinstance(model, Ising):
        return ""
    if model.n_sites <= _ENUMERATED_SITES:
        return ENUMERATION
    graph = model.graph
    if not isinstance(graph, Lattice) or graph.geometry != "hypercubic" or graph.dimension > 2:
        return ""
    if _strip(model).cost * model.n_sites // 2 <= _OPERATIONS:
        return TRANSFER_MATRIX
    uniform = bool((model.couplings == model.couplings[0]).all()) and not bool(model.fields.any())
    torus = graph.dimension == 2 and all(graph.periodic) and min(graph.shape) > 1
    frustrated = bool(model.couplings[0] < 0) and any(side % 2 for side in graph.shape)
    return KAUFMAN if uniform and torus and not frustrated else ""


def _strip(model: Ising) -> Strip:
    assert isinstance(model.graph, Lattice)
    couplings, fields = (t.detach().double().cpu().numpy() for t in (model.couplings, model.fields))
    return Strip.of_lattice(model.graph, couplings, fields).cheaper_way


def _thermal(known: Thermodynamics) -> dict[str, float]:
    return {
        "log_partition": known.log_partition,
        "energy_per_site": known.energy_per_site,
        "specific_heat": known.specific_heat,
    }


def _enumerated(model: Ising, beta: float) -> dict[str, float]:
    n = model.n_sites
    energy = -log_weights(model, 1.0)
    log_z = torch.logsumexp(-beta * energy, 0)
    p = torch.exp(-beta * energy - log_z)
    mean = (p * energy).sum()
    magnetization = visible_states(model).double().mean(-1)
    return {
        "log_partition": float(log_z),
        "energy_per_site": float(mean) / n,
        "specific_heat": beta**2 * float((p * (energy - mean) ** 2).sum()) / n,
        **magnetization_averages(magnetization.cpu().numpy(), p.cpu().numpy(), beta, n),
    }
