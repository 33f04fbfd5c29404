"""One logistic regression a site, all of them at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from ebmphys.lattice import Graph, Index

Real = NDArray[np.float64]

_NUMBERS = 1 << 22  # in one table


class Regressions:
    """-<log p(s_i | neighbours)> = <log(1 + exp(-2 s_i theta_i.(1, s_j, ...)))> of every site i.

    theta: (n_sites, p), p = 1 + max degree: the field, then the couplings in the order of ``graph.neighbours``; where
    a site has fewer neighbours the rest is padding. rows: (N, n_sites), +-1; weights: (N,), of sum 1.
    """

    def __init__(self, rows: NDArray[np.int8], weights: Real, graph: Graph) -> None:
        self.rows, self.weights, self.graph = rows, weights, graph
        self.around = graph.neighbours.clip(min=0)
        self.present: Real = np.concatenate([np.ones((graph.n_sites, 1)), graph.neighbours >= 0], axis=1)

    @property
    def slots(self) -> tuple[Index, Index]:
        """Where in theta of its first site each bond is, and where in theta of its second; (n_bonds,) each."""
        through = np.where(self.graph.neighbours >= 0, self.graph.neighbour_bonds, -1)
        bonds = np.arange(self.graph.n_bonds)[:, None]
        there, back = ((through[end] == bonds).argmax(1) + 1 for end in self.graph.bonds.T)
        return there, back

    def derivatives(self, theta: Real) -> tuple[Real, Real]:
        """Gradient and curvature in theta; (n_sites, p) -> (n_sites, p), (n_sites, p, p)."""
        gradient, curvature = np.zeros_like(theta), np.zeros((*theta.shape, theta.shape[1]))
        for start, s, inputs in self._chunks():
            w = self.weights[start : start + s.shape[1]]
            wrong = expit(-2 * s * (theta[:, None] @ inputs)[:, 0])
            gradient -= (inputs @ (2 * w * s * wrong)[..., None])[..., 0]
            curvature += (inputs * (4 * w * wrong * (1 - wrong))[:, None]) @ inputs.transpose(0, 2, 1)
        return gradient, curvature

    def errors(self, theta: Real, chains: int) -> tuple[Real, Real]:
        """Standard errors of couplings, (n_bonds,), and fields, (n_sites,), at the minimum, all weights equal.

        From what each chain's draws alone would move the minimum by; row k belongs to chain k mod ``chains``.
        """
        _, curvature = self.derivatives(theta)
        inverse = np.linalg.inv(curvature + np.eye(theta.shape[1]) * (1 - self.present)[:, None, :])
        (there, back), (a, b) = self.slots, self.graph.bonds.T
        n, moved = len(self.rows), np.zeros((chains if chains < len(self.rows) else 0, len(a) + len(theta)))
        squares = np.zeros(len(a) + len(theta))
        for start, s, inputs in self._chunks():
            wrong = expit(-2 * s * (theta[:, None] @ inputs)[:, 0])
            pull = inverse @ (inputs * (2 * s * wrong)[:, None])
            own = np.concatenate([(pull[a, there] + pull[b, back]) / 2, pull[:, 0]]).T / n
            if chains == n:
                squares += (own**2).sum(0)
            else:
                np.add.at(moved, (start + np.arange(len(own))) % chains, own)
        error = np.sqrt((squares + (moved**2).sum(0)) * chains / (chains - 1))
        return error[: len(a)], error[len(a) :]

    def _chunks(self) -> Iterator[tuple[int, Real, Real]]:
        """The number of the first row, spins (n_sites, rows) and what explains them, (n_sites, p, rows)."""
        size = max(1, _NUMBERS // self.present.size)
        for start in range(0, len(self.rows), size):
            s = np.ascontiguousarray(self.rows[start : start + size].T, dtype=np.float64)
            inputs = np.empty((*self.present.shape, s.shape[1]))
            inputs[:, 0] = 1
            inputs[:, 1:] = s[self.around] * self.present[:, 1:, None]
            yield start, s, inputs
