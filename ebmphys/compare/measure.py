"""Every observable of an ensemble, with error bars that know about autocorrelation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from ebmphys.compare.ensemble import Ensemble, Real
from ebmphys.lattice import Graph, Lattice, build_graph
from ebmphys.observables import (
    correlation_length,
    domain_walls,
    small_structure_factors,
    smallest_momentum,
    summarize,
    two_point,
)
from ebmphys.stats import Estimate, jackknife, mean_with_error

_ELEMENTS = 1 << 23  # spins transformed at once


@dataclass(frozen=True)
class Measured:
    """What an ensemble says: an estimate of each observable, the two-point function G(r) (r = 0, 1, ...) or None
    where there are no configurations on a periodic lattice, and the spread of each observable that is a plain
    average over single configurations."""

    estimates: dict[str, Estimate]
    correlation: Estimate | None
    spread: dict[str, float]


def measure(ensemble: Ensemble) -> Measured:
    """All observables of an ensemble by name (``definitions.OBSERVABLES``), where its data allows them."""
    e, m = ensemble.energy_per_site, ensemble.magnetization
    estimates = summarize(e, m, ensemble.beta, ensemble.n_sites)
    estimates["magnetization"] = mean_with_error(m)
    singles = {
        "energy_per_site": e,
        "magnetization": m,
        "abs_magnetization": np.abs(m),
        "magnetization_squared": m**2,
        "magnetization_fourth": m**4,
    }
    graph = graph_of(ensemble)
    correlation = None
    if ensemble.x is not None and graph is not None:
        if graph.n_bonds:
            singles["domain_walls"] = _per_draw(ensemble, partial(domain_walls, graph=graph))
            estimates["domain_walls"] = mean_with_error(singles["domain_walls"])
        if isinstance(graph, Lattice) and all(graph.periodic) and graph.n_cells == graph.n_sites:
            correlation = jackknife(_itself, _per_draw(ensemble, partial(two_point, lattice=graph)))
            estimates["longest_correlation"] = _last(correlation)
            if graph.geometry == "hypercubic" and max(graph.shape) > 2:
                estimates["correlation_length"] = _length(ensemble, graph)
    spread = {name: float(values.std()) for name, values in singles.items()}
    return Measured(estimates, correlation, spread)


def graph_of(ensemble: Ensemble) -> Graph | None:
    """The graph of the ensemble's Hamiltonian, None where its config holds none."""
    config = (ensemble.model or {}).get("graph")
    return None if config is None else build_graph(dict(config))


def _per_draw(ensemble: Ensemble, observable: Any) -> Real:
    """The observable of every configuration, (draw, chain, ...), a few at a time to bound the memory."""
    chunk = max(1, _ELEMENTS // ensemble.n_sites)
    x = torch.as_tensor(ensemble.x)
    parts = [observable(part.to(torch.float32)).cpu().numpy() for part in x.split(chunk)]
    values = np.concatenate(parts).astype(np.float64)
    chains = ensemble.energy_per_site.shape[1]
    return values.reshape(-1, chains, *values.shape[1:])


def _length(ensemble: Ensemble, lattice: Lattice) -> Estimate:
    factors = _per_draw(ensemble, partial(small_structure_factors, lattice=lattice))
    k = smallest_momentum(lattice)

    def length(averages: Real) -> Any:
        zero, smallest = averages
        return correlation_length(zero, smallest, k) if smallest > 0 else math.nan

    return jackknife(length, factors)


def _last(function: Estimate) -> Estimate:
    value, error = float(function.value[-1]), float(function.error[-1])
    return Estimate(value, error, function.tau, function.n_effective, function.warning, function.method)


def _itself(average: Any) -> Any:
    return average
