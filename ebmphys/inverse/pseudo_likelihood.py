"""Couplings and fields by pseudo-likelihood: each spin explained by the others (Besag 1975)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ebmphys.inverse.correlations import configurations
from ebmphys.inverse.fit import InverseIsing, check_graph
from ebmphys.inverse.regressions import Regressions
from ebmphys.lattice import Graph

Real = NDArray[np.float64]

_MOST_STEPS = 100
_CONVERGED = 1e-10  # in couplings
_INNER_STEPS = 20_000  # on small matrices, without a look at the data
_RUNAWAY = 15.0  # a coupling beyond this says that a spin always follows its neighbours
_FEW_CHAINS = 20


def pseudo_likelihood(
    x: Any, graph: Graph | None = None, *, weights: Any = None, l1: float = 0.0, l2: float = 0.0
) -> InverseIsing:
    """Maximum pseudo-likelihood: for each site the logistic regression of s_i on its neighbours.

    Minimises <log(1 + exp(-2 s_i (h_i + sum_j J_ij s_j)))> + l1 sum_j |J_ij| + l2 sum_j J_ij^2 by Newton's method, with
    l1 by the proximal one; fields are not penalised. A coupling is the mean of what its two ends say. Consistent: from
    the exact law it returns the couplings exactly (Besag 1975; Ravikumar, Wainwright and Lafferty 2010; Aurell and
    Ekeberg 2012).
    x: +-1 spins, (n_draws, n), independent draws, or (draw, chain, n), chains independent of each other. weights,
    (n_draws,) or (draw, chain): where rows are the states of a known law rather than draws. graph: complete unless
    given. Error bars by the sandwich formula over draws, or over chains (Huber 1967; Liang and Zeger 1986); none with
    weights, l1 or l2, where they would not mean what they say. Warns where couplings run away and of fewer than 20
    chains.
    Raises ValueError for what are no spins, for penalties or weights that are negative, and where a site never turns.
    """
    if not (0 <= l1 < np.inf and 0 <= l2 < np.inf):
        raise ValueError(f"penalties must be finite and not negative, got l1 = {l1}, l2 = {l2}")
    rows, w = configurations(x, weights)
    used = check_graph(graph, rows.shape[1])
    sites = Regressions(rows, w, used)
    theta, warning = _newton(sites, l1, l2)
    there, back = sites.slots
    a, b = used.bonds.T
    j = (theta[a, there] + theta[b, back]) / 2
    chains = np.shape(x)[1] if np.ndim(x) == 3 else len(rows)
    if weights is not None or l1 > 0 or l2 > 0 or warning or chains < 2:
        return InverseIsing(used, j, theta[:, 0], "pseudo-likelihood", warning=warning)
    few = f"error bars from {chains} chains only: take {_FEW_CHAINS} or more" if chains < _FEW_CHAINS else ""
    return InverseIsing(used, j, theta[:, 0], "pseudo-likelihood", *sites.errors(theta, chains), few)


def _newton(sites: Regressions, l1: float, l2: float) -> tuple[Real, str]:
    """The minimum of every site's regression at once, and what kept it from being found, if anything."""
    theta, penalised = np.zeros_like(sites.present), sites.present.copy()
    penalised[:, 0] = 0
    for _ in range(_MOST_STEPS):
        gradient, curvature = sites.derivatives(theta)
        gradient = gradient + 2 * l2 * penalised * theta
        curvature = curvature + np.eye(theta.shape[1]) * (2 * l2 * penalised + 1 - sites.present)[:, None, :]
        step = _solved(curvature, gradient) if l1 == 0 else _shrunk(curvature, gradient, theta, l1 * penalised)
        # Damped as for self-concordant functions: a full step far from the minimum may overshoot without end.
        decrement = np.sqrt(np.einsum("ni,nij,nj->n", step, curvature, step))
        theta = theta + step / (1 + np.where(decrement > 0.25, decrement, 0.0))[:, None]
        if abs(theta).max() > _RUNAWAY:
            return theta, "couplings run away: a spin always follows its neighbours; take more draws, or l2 > 0"
        if abs(step).max() < _CONVERGED:
            return theta, ""
    return theta, f"not converged in {_MOST_STEPS} steps: couplings still move by {abs(step).max():.1g}"


def _solved(curvature: Real, gradient: Real) -> Real:
    try:
        return np.asarray(-np.linalg.solve(curvature, gradient[..., None])[..., 0])
    except np.linalg.LinAlgError:
        raise ValueError("a site never turns or two always agree: take more draws, or l2 > 0") from None


def _shrunk(curvature: Real, gradient: Real, theta: Real, threshold: Real) -> Real:
    """The step that minimises the quadratic model plus l1, by accelerated proximal gradients (Beck and Teboulle 2009).

    Restarted wherever it overshoots (O'Donoghue and Candes 2015); (n, p, p), (n, p), (n, p), (n, p) -> (n, p).
    """
    rate = 1 / np.linalg.eigvalsh(curvature)[:, -1:]
    now, ahead, momentum = theta, theta, np.ones((len(theta), 1))
    for _ in range(_INNER_STEPS):
        slope = gradient + ((ahead - theta)[:, None, :] @ curvature)[:, 0]
        free = ahead - rate * slope
        then = np.sign(free) * (abs(free) - rate * threshold).clip(min=0)
        faster = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        restart = ((ahead - then) * (then - now)).sum(1, keepdims=True) > 0
        ahead = then + np.where(restart, 0.0, (momentum - 1) / faster) * (then - now)
        momentum = np.where(restart, 1.0, faster)
        moved, now = abs(then - now).max(), then
        if moved < _CONVERGED / 10:
            break
    return now - theta
