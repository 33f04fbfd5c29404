"""Averages of the magnetization from its law, with the definitions that the toolkit uses throughout."""

from __future__ import annotations

import numpy as np

from ebmphys.exact.jet import Array


def magnetization_averages(magnetization: Array, probability: Array, beta: float, n_sites: int) -> dict[str, float]:
    """Moments of the magnetization per site m and what derives from them.

    susceptibility chi = beta N (<m^2> - <|m|>^2); susceptibility_disordered = beta N <m^2>;
    binder_cumulant U4 = 1 - <m^4> / (3 <m^2>^2).
    magnetization (levels,) per site, probability (levels,) summing to 1 -> values by name.
    """
    mean, absolute, second, fourth = (
        float(np.dot(probability, f)) for f in (magnetization, abs(magnetization), magnetization**2, magnetization**4)
    )
    return {
        "magnetization": mean,
        "abs_magnetization": absolute,
        "magnetization_squared": second,
        "magnetization_fourth": fourth,
        "binder_cumulant": 1 - fourth / (3 * second**2),
        "susceptibility": beta * n_sites * (second - absolute**2),
        "susceptibility_disordered": beta * n_sites * second,
    }
