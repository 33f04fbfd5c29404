"""Couplings in closed form from magnetizations and correlations: mean-field theories read backwards.

All take a graph, complete unless given, and keep only its bonds; none has an error bar of its own. C are the connected
correlations, m the magnetizations, L_i = 1 - m_i^2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ebmphys.inverse.correlations import Correlations
from ebmphys.inverse.fit import InverseIsing, check_graph
from ebmphys.lattice import Graph

Real = NDArray[np.float64]


def naive_mean_field(data: Correlations, graph: Graph | None = None) -> InverseIsing:
    """J_ij = -(C^-1)_ij, h_i = artanh m_i - sum_j J_ij m_j; right to first order in J (Kappen and Rodriguez 1998).

    Raises ValueError for correlations that have no inverse.
    """
    used = check_graph(graph, len(data.magnetization))
    j = -_on_bonds(used, data.inverse())
    h = np.arctanh(data.magnetization) - _sum_of_others(used, j, data.magnetization)
    return InverseIsing(used, j, h, "naive mean field")


def tap(data: Correlations, graph: Graph | None = None) -> InverseIsing:
    """(C^-1)_ij = -J_ij - 2 J_ij^2 m_i m_j, h_i = artanh m_i - sum_j J_ij m_j + m_i sum_j J_ij^2 L_j.

    With the reaction term of Thouless, Anderson and Palmer; right to second order in J (Tanaka 1998). Without
    magnetization it is naive mean field. A pair without a real solution is given the double root, as the
    warning says. Raises ValueError for correlations that have no inverse.
    """
    used = check_graph(graph, len(data.magnetization))
    inverse, product = (
        _on_bonds(used, data.inverse()),
        _on_bonds(used, np.outer(data.magnetization, data.magnetization)),
    )
    root = 1 - 8 * product * inverse
    # The root that goes to -C^-1 as m goes to 0, without a quotient of two small numbers.
    j = -2 * inverse / (1 + np.sqrt(root.clip(min=0)))
    return InverseIsing(used, j, _reaction_fields(data, used, j), "TAP", warning=_unsolved(root < 0))


def independent_pairs(data: Correlations, graph: Graph | None = None) -> InverseIsing:
    """J_ij = 1/4 log(p_++ p_-- / p_+- p_-+) of each pair by itself (Roudi, Aurell and Hertz 2009).

    h_i = sum over its bonds of 1/4 log(p_++ p_+- / p_-+ p_--) - (degree - 1) artanh m_i, i the first of the pair. Exact
    where the graph is a tree. Raises ValueError where a pair never takes one of its four values.
    """
    used = check_graph(graph, len(data.magnetization))
    p = _pair_law(data.magnetization, _on_bonds(used, data.connected), used)
    if (p <= 0).any():
        raise ValueError("a pair of sites never takes one of its four values: take more draws")
    return _from_pairs(data, used, p, "independent pairs")


def bethe(data: Correlations, graph: Graph | None = None) -> InverseIsing:
    """Independent pairs, each with the correlation of its own bond alone, c_ij: the Bethe approximation.

    On a tree (C^-1)_ij = -c_ij / (L_i L_j - c_ij^2), which gives c_ij from C^-1 on any graph; so it is exact on trees,
    known or not (Ricci-Tersenghi 2012; Nguyen and Berg 2012). A pair to which no law belongs is counted as free, as
    the warning says. Raises ValueError for correlations that have no inverse.
    """
    used = check_graph(graph, len(data.magnetization))
    inverse, widths = _on_bonds(used, data.inverse()), _on_bonds(used, _widths(data))
    own = -2 * inverse * widths / (1 + np.sqrt(1 + 4 * inverse**2 * widths))
    lost = np.asarray((_pair_law(data.magnetization, own, used) <= 0).any(axis=(0, 1)))
    p = _pair_law(data.magnetization, np.where(lost, 0.0, own), used)
    return _from_pairs(data, used, p, "Bethe", _unsolved(lost))


def sessak_monasson(data: Correlations, graph: Graph | None = None) -> InverseIsing:
    """J_ij = -(C^-1)_ij + J_ij of independent pairs - C_ij / (L_i L_j - C_ij^2): loops and pairs, each counted once.

    h as in ``tap``. Sessak and Monasson (2009); in this form Roudi, Tyrcha and Hertz (2009). Raises ValueError for
    correlations that have no inverse, and where a pair never takes one of its four values.
    """
    used = check_graph(graph, len(data.magnetization))
    c, widths = _on_bonds(used, data.connected), _on_bonds(used, _widths(data))
    j = -_on_bonds(used, data.inverse()) + independent_pairs(data, used).couplings - c / (widths - c**2)
    return InverseIsing(used, j, _reaction_fields(data, used, j), "Sessak-Monasson")


def _pair_law(m: Real, connected: Real, graph: Graph) -> Real:
    """p(s, r) of the spins of each bond, + first; (n_sites,), (n_bonds,) -> (2, 2, n_bonds)."""
    a, b = graph.bonds.T
    both = connected + m[a] * m[b]
    return np.array([[(1 + s * m[a] + r * m[b] + s * r * both) / 4 for r in (1, -1)] for s in (1, -1)])


def _from_pairs(data: Correlations, graph: Graph, p: Real, method: str, warning: str = "") -> InverseIsing:
    """Couplings and fields of laws that are products over bonds of p(s, r), over sites of p(s)^(1 - degree)."""
    (up_up, up_down), (down_up, down_down) = np.log(p)
    j = (up_up + down_down - up_down - down_up) / 4
    first, second = (up_up + up_down - down_up - down_down) / 4, (up_up + down_up - up_down - down_down) / 4
    h = _at_sites(graph, first, second) - (graph.degree - 1) * np.arctanh(data.magnetization)
    return InverseIsing(graph, j, h, method, warning=warning)


def _reaction_fields(data: Correlations, graph: Graph, j: Real) -> Real:
    m = data.magnetization
    return np.arctanh(m) - _sum_of_others(graph, j, m) + m * _sum_of_others(graph, j**2, 1 - m**2)


def _sum_of_others(graph: Graph, j: Real, values: Real) -> Real:
    """sum_j J_ij y_j of each site; (n_bonds,), (n_sites,) -> (n_sites,)."""
    a, b = graph.bonds.T
    return _at_sites(graph, j * values[b], j * values[a])


def _at_sites(graph: Graph, first: Real, second: Real) -> Real:
    """What bonds bring to their first and their second site, summed; (n_bonds,), (n_bonds,) -> (n_sites,)."""
    total = np.zeros(graph.n_sites)
    np.add.at(total, graph.bonds[:, 0], first)
    np.add.at(total, graph.bonds[:, 1], second)
    return total


def _widths(data: Correlations) -> Real:
    return np.outer(1 - data.magnetization**2, 1 - data.magnetization**2)


def _on_bonds(graph: Graph, matrix: Real) -> Real:
    a, b = graph.bonds.T
    return matrix[a, b]


def _unsolved(lost: NDArray[np.bool_]) -> str:
    return f"{int(lost.sum())} of {lost.size} pairs have no solution" if lost.any() else ""
