"""Couplings and fields as found, and how far they are from others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ebmphys.energies import BoltzmannMachine, Ising
from ebmphys.lattice import Graph

Real = NDArray[np.float64]


@dataclass(frozen=True)
class InverseIsing:
    """p(s) ~ exp(sum over bonds J_ij s_i s_j + sum over sites h_i s_i): J and h hold beta, as one cannot tell it apart.

    couplings: (n_bonds,), in the order of ``graph.bonds``; fields: (n_sites,); the errors are standard errors of the
    same shapes, None from methods that have none. ``warning`` is empty where nothing speaks against the numbers.
    """

    graph: Graph
    couplings: Real
    fields: Real
    method: str
    coupling_errors: Real | None = None
    field_errors: Real | None = None
    warning: str = ""

    def matrix(self) -> Real:
        """J as a symmetric matrix, zero where there is no bond; (n_sites, n_sites)."""
        full = np.zeros((self.graph.n_sites, self.graph.n_sites))
        i, j = self.graph.bonds.T
        full[i, j] = full[j, i] = self.couplings
        return full

    def as_ising(self, device: torch.device | str | None = None) -> Ising:
        """The law as an Ising model to be sampled at beta = 1."""
        return Ising(self.graph, _float(self.couplings), _float(self.fields), device=device)

    def as_boltzmann_machine(self, device: torch.device | str | None = None) -> BoltzmannMachine:
        """The law as a machine to be trained further, without hidden sites, at beta = 1."""
        machine = BoltzmannMachine(self.graph, device=device)
        with torch.no_grad():
            machine.weights.copy_(_float(self.couplings))
            machine.bias.copy_(_float(self.fields))
        return machine


def all_pairs(n_sites: int) -> Graph:
    """The complete graph, bonds (i, j), i < j, in lexicographic order: where no graph is known."""
    return Graph(n_sites, np.stack(np.triu_indices(n_sites, 1), axis=-1))


def check_graph(graph: Graph | None, n_sites: int) -> Graph:
    """The graph of a fit, complete where none is given.

    Raises ValueError for another number of sites, and for doubled bonds, whose couplings cannot be told apart.
    """
    if graph is None:
        return all_pairs(n_sites)
    if graph.n_sites != n_sites:
        raise ValueError(f"the graph has {graph.n_sites} sites and the data {n_sites}")
    if len(np.unique(np.sort(graph.bonds, axis=1), axis=0)) != graph.n_bonds:
        raise ValueError(
            "the graph joins a pair of sites twice, and their couplings cannot be told apart: join it once"
        )
    return graph


def relative_error(found: Real, true: Real) -> float:
    """sqrt(sum (J - J*)^2 / sum J*^2); (n_bonds,), (n_bonds,). Raises ValueError where all true ones are zero."""
    scale = float((np.asarray(true) ** 2).sum())
    if scale == 0:
        raise ValueError("couplings that are all zero have no relative error")
    return float(np.sqrt(((np.asarray(found) - np.asarray(true)) ** 2).sum() / scale))


def _float(values: Real) -> torch.Tensor:
    return torch.from_numpy(values).float()
