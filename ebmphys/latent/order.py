"""The latent order parameter <|z|>(T) and its susceptibility."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ebmphys.latent.encoding import Real
from ebmphys.observables import susceptibility
from ebmphys.stats import jackknife, mean_with_error
from ebmphys.stats.series import as_series


@dataclass(frozen=True)
class OrderCurve:
    """<|z|> and chi = N (<z^2> - <|z|>^2) at each temperature, rising, with standard errors; (temperature,) each."""

    temperature: Real
    order: Real
    order_error: Real
    susceptibility: Real
    susceptibility_error: Real


def order_curve(z: Mapping[float, Any], n_sites: int) -> OrderCurve:
    """The order parameter of each temperature; T -> (draw,) or (draw, chain) of z, or (1, n) of independent draws.

    Series as in ``ebmphys.stats``, whose error bars know about autocorrelation. z is a latent whose sign is the
    configuration's (``odd_means``), or any other order parameter, such as m. chi is without beta and in units of z,
    which are the network's. Raises ValueError for less than two temperatures.
    """
    if len(z) < 2 or n_sites < 1:
        raise ValueError(f"an order curve needs 2 or more temperatures and 1 or more sites, got {len(z)}, {n_sites}")
    temperatures = sorted(z)
    rows = []
    for t in temperatures:
        one = as_series(np.abs(np.asarray(z[t], dtype=np.float64)))
        order = mean_with_error(one)
        chi = jackknife(lambda a, b: susceptibility(a, b, 1.0, n_sites), one, one**2)
        rows.append((order.value, order.error, chi.value, chi.error))
    return OrderCurve(np.array(temperatures), *np.array(rows).T)
