"""One temperature of a comparison: measured, compared, and reduced to what the table and the figures need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ebmphys.compare.divergence import Distance, distances
from ebmphys.compare.ensemble import Ensemble
from ebmphys.compare.exact_side import ExactSide
from ebmphys.compare.histograms import Histogram, histogram, levels
from ebmphys.compare.measure import Measured, measure
from ebmphys.compare.rows import Row, finite, rows_of
from ebmphys.compare.verdict import Verdict, verdict

_SNAPSHOTS = 6


@dataclass(frozen=True)
class Histograms:
    """Energy or magnetization of every ensemble at one temperature, on the same bins; name -> Histogram."""

    temperature: float
    quantity: str
    of: dict[str, Histogram]


@dataclass(frozen=True)
class Part:
    """Everything about one temperature: what is kept when its configurations are let go."""

    reference: str
    samples: list[str]
    temperature: float
    rows: list[Row]
    distances: list[Distance]
    correlations: list[dict[str, Any]]
    verdicts: list[Verdict]
    histograms: list[Histograms]
    snapshots: dict[str, NDArray[np.float32]]
    exact: ExactSide

    @classmethod
    def of(cls, reference: Ensemble, samples: Sequence[Ensemble]) -> Part:
        """Measure the ensembles of one temperature and compare each sample with the reference."""
        if len({s.name for s in samples}) < len(samples):
            raise ValueError(f"two samples have one name at T = {reference.temperature:g}")
        for sample in samples:
            if sample.n_sites != reference.n_sites:
                sizes = f"{sample.n_sites} sites, the reference has {reference.n_sites}"
                raise ValueError(f"{sample.name} has {sizes}")
        # Rounding apart they are at one temperature: from here on it is the same number, so that tables can be joined.
        samples = [replace(sample, temperature=reference.temperature) for sample in samples]
        side = ExactSide.of(reference)
        values = side.values(reference.beta)
        ours = measure(reference)
        rows = rows_of(reference, ours, ours, values, is_reference=True)
        dists: list[Distance] = []
        verdicts, curves = [], [_correlation(reference, ours, None)]
        for sample in samples:
            theirs = measure(sample)
            found, apart = rows_of(sample, theirs, ours, values), distances(reference, sample)
            rows, dists = rows + found, dists + apart
            verdicts.append(verdict(found, apart))
            curves.append(_correlation(sample, theirs, ours))
        everyone = [reference, *samples]
        return cls(
            reference.name,
            [s.name for s in samples],
            reference.temperature,
            rows,
            dists,
            [c for c in curves if c],
            verdicts,
            _histograms(everyone),
            {e.name: shots for e in everyone if (shots := _snapshots(e, side.shape)) is not None},
            side,
        )


def _correlation(ensemble: Ensemble, measured: Measured, reference: Measured | None) -> dict[str, Any]:
    """G(r) of an ensemble with error bars, and z against the reference's; empty where it could not be measured."""
    if measured.correlation is None:
        return {}
    value, error = measured.correlation.value, measured.correlation.error
    z: list[float | None] = [None] * len(value)
    if reference is not None and reference.correlation is not None:
        sigma = np.hypot(error, reference.correlation.error)
        difference = value - reference.correlation.value
        z = [float(d / s) if s > 0 else None for d, s in zip(difference, sigma, strict=True)]
    return {
        "sample": ensemble.name,
        "temperature": ensemble.temperature,
        "r": list(range(len(value))),
        "value": [finite(v) for v in value],
        "error": [finite(v) for v in error],
        "z": z,
    }


def _histograms(ensembles: Sequence[Ensemble]) -> list[Histograms]:
    found = []
    for quantity in ("energy_per_site", "magnetization"):
        series = [getattr(e, quantity) for e in ensembles]
        grid = levels(*series)
        low, high = min(s.min() for s in series), max(s.max() for s in series)
        of = {e.name: histogram(s, grid, low, high) for e, s in zip(ensembles, series, strict=True)}
        found.append(Histograms(ensembles[0].temperature, quantity, of))
    return found


def _snapshots(ensemble: Ensemble, shape: tuple[int, ...] | None) -> NDArray[np.float32] | None:
    """A few configurations far apart in the run, (draw, *shape); None where they are no picture of a plane."""
    if ensemble.x is None or shape is None or len(shape) != 2:
        return None
    rows = np.linspace(0, len(ensemble.x) - 1, min(_SNAPSHOTS, len(ensemble.x))).astype(int)
    picked = torch.as_tensor(ensemble.x)[torch.from_numpy(rows)]
    return picked.cpu().numpy().astype(np.float32).reshape(len(rows), *shape)
