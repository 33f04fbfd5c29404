"""Fast starts of a Boltzmann machine: couplings from an inverse Ising fit, before any chain has moved."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ebmphys.energies import BoltzmannMachine
from ebmphys.inverse import InverseIsing, correlations, naive_mean_field, pseudo_likelihood, tap
from ebmphys.lattice import Graph

Start = Literal["zero", "mean-field", "tap", "pseudo-likelihood"]

_MOST = 2**28  # numbers in the curvatures of all regressions: 2 GiB


def start_from(method: Start, machine: BoltzmannMachine, v: Tensor) -> str:
    """Set couplings and biases of the visible sites to those of the fit to data v, (n, n_visible); -> its warning.

    Weights that are tied get the mean over their bonds; hidden sites keep theirs. A machine without biases is fitted to
    the data and their mirror image, so that no field is left. Raises ValueError where the data allow no such fit.
    """
    inside = (machine.graph.bonds < machine.n_visible).all(axis=1)
    graph = Graph(machine.n_visible, machine.graph.bonds[inside])
    lower, upper = machine.unit.values
    spins = torch.where(v > (lower + upper) / 2, 1, -1)
    rows = torch.cat([spins, -spins]) if not machine.biases else spins
    if method == "zero":
        found = InverseIsing(graph, np.zeros(graph.n_bonds), np.zeros(graph.n_sites), method)
    elif method == "pseudo-likelihood":
        found = _by_regressions(rows, graph, len(v))
    else:
        found = (tap if method == "tap" else naive_mean_field)(correlations(rows), graph)
    _put(machine, found, torch.from_numpy(np.flatnonzero(inside)))
    return found.warning and f"the start by {method}: {found.warning}"


def _by_regressions(rows: Tensor, graph: Graph, n_data: int) -> InverseIsing:
    inputs = int(graph.degree.max(initial=0)) + 1
    if graph.n_sites * inputs**2 > _MOST:
        raise ValueError(
            f"--start pseudo-likelihood: {graph.n_sites} regressions on {inputs - 1} neighbours each are too many for "
            f"the memory: give --reach, or --start tap"
        )
    # A prior worth about one configuration: couplings of spins that always agree would run away.
    return pseudo_likelihood(rows, graph, l2=1 / n_data)


@torch.no_grad()
def _put(machine: BoltzmannMachine, found: InverseIsing, bonds: Tensor) -> None:
    """J s s' + h s in the values x of the machine's unit: s = slope (x - centre)."""
    lower, upper = machine.unit.values
    slope, centre = 2 / (upper - lower), (upper + lower) / 2
    weights = slope**2 * torch.from_numpy(found.couplings)
    fields = slope * torch.from_numpy(found.fields - slope * centre * found.matrix().sum(1))
    of_bonds, of_sites = (tie.cpu() for tie in machine.ties)
    _put_means(machine.weights, of_bonds[bonds], weights)
    if machine.biases:
        _put_means(machine.bias, of_sites[: machine.n_visible], fields)


def _put_means(parameter: Tensor, numbers: Tensor, values: Tensor) -> None:
    """The mean of the values that share a number, at that place; other places stay as they are."""
    totals = torch.zeros(len(parameter), dtype=torch.float64).index_add(0, numbers, values)
    counts = torch.bincount(numbers, minlength=len(parameter))
    present = counts > 0
    parameter[present.to(parameter.device)] = (totals / counts)[present].to(parameter)
