"""The comparison: a reference and samples, temperature by temperature."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ebmphys.compare.definitions import AVERAGES, MEASURES, METHOD, OBSERVABLES
from ebmphys.compare.divergence import Distance
from ebmphys.compare.ensemble import Ensemble, same_temperature
from ebmphys.compare.part import Histograms, Part
from ebmphys.compare.rows import Row
from ebmphys.compare.verdict import ExactKL, HeldBack, Ranked, Verdict, headline, ranking

SCHEMA = "ebmphys-comparison"
SCHEMA_VERSION = 1

KLMap = Mapping[str, Mapping[float, float | str | HeldBack]]


@dataclass(frozen=True)
class Comparison:
    """All that is known about some samples beside their reference; ``table()`` is its numbers as plain data."""

    reference: str
    samples: tuple[str, ...]
    temperatures: tuple[float, ...]
    rows: list[Row]
    distances: list[Distance]
    correlations: list[dict[str, Any]]
    exact_kl: list[ExactKL]
    verdicts: list[Verdict]
    criterion: str
    ranking: list[Ranked]
    headline: str
    exact: dict[str, Any]
    notes: list[str]
    provenance: dict[str, Any]
    histograms: list[Histograms] = field(repr=False)
    snapshots: dict[float, dict[str, NDArray[np.float32]]] = field(repr=False)  # (draw, *shape) of each ensemble

    def table(self) -> dict[str, Any]:
        """The numbers as plain dicts and lists, with the definitions of every quantity."""
        names = ("rows", "distances", "exact_kl", "verdicts", "ranking")
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "headline": self.headline,
            "criterion": self.criterion,
            "reference": self.reference,
            "samples": list(self.samples),
            "temperatures": list(self.temperatures),
            **{name: [asdict(entry) for entry in getattr(self, name)] for name in names},
            "correlations": self.correlations,
            "exact": self.exact,
            "notes": self.notes,
            "definitions": {
                "observables": OBSERVABLES,
                "averages": list(AVERAGES),
                "measures": MEASURES,
                "method": METHOD,
            },
            "provenance": self.provenance,
        }


def compare(
    reference: Sequence[Ensemble],
    samples: Sequence[Ensemble],
    *,
    exact_kl: KLMap | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Comparison:
    """Every observable, distance and verdict of samples against a reference, at the reference's temperatures.

    reference: one ensemble a temperature; samples: any number of named ensembles; exact_kl: sample name -> temperature
    -> KL(p || q) in nats, or the reason why there is none. Raises ValueError where nothing can be compared.
    """
    if len({e.name for e in reference}) != 1:
        raise ValueError(f"give one reference, with one name, got {sorted({e.name for e in reference})}")
    groups = [
        (ours, [s for s in samples if same_temperature(s.temperature, ours.temperature)])
        for ours in sorted(reference, key=lambda e: e.temperature)
    ]
    used = sum(len(found) for _, found in groups)
    notes = [f"{len(samples) - used} ensembles at temperatures that the reference lacks were left out"]
    return assemble(groups, exact_kl or {}, provenance or {}, notes if used < len(samples) else [])


def assemble(
    groups: Iterable[tuple[Ensemble, Sequence[Ensemble]]],
    exact_kl: KLMap,
    provenance: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> Comparison:
    """The comparison from groups (reference, samples) of one temperature each, one group in memory at a time."""
    parts = [Part.of(ours, found) for ours, found in groups]
    names = list(dict.fromkeys(name for part in parts for name in part.samples))
    if not names:
        raise ValueError("no sample has a temperature in common with the reference")
    if parts[0].reference in names:
        raise ValueError(f"a sample has the name of the reference, {parts[0].reference!r}")
    rows = [row for part in parts for row in part.rows]
    dists = [d for part in parts for d in part.distances]
    kls = [_kl(exact_kl, name, part.temperature) for part in parts for name in part.samples] if exact_kl else []
    verdicts = [v for part in parts for v in part.verdicts]
    criterion, places = ranking(rows, dists, kls, names)
    side = parts[0].exact
    temperatures = tuple(part.temperature for part in parts)
    return Comparison(
        reference=parts[0].reference,
        samples=tuple(names),
        temperatures=temperatures,
        rows=rows,
        distances=dists,
        correlations=[c for part in parts for c in part.correlations],
        exact_kl=kls,
        verdicts=verdicts,
        criterion=criterion,
        ranking=places,
        headline=headline(places, criterion, verdicts),
        exact=side.summary(temperatures),
        notes=list(notes),
        provenance=dict(provenance),
        histograms=[h for part in parts for h in part.histograms],
        snapshots={part.temperature: part.snapshots for part in parts if part.snapshots},
    )


def _kl(exact_kl: KLMap, name: str, temperature: float) -> ExactKL:
    for known, value in exact_kl.get(name, {}).items():
        if same_temperature(known, temperature):
            if isinstance(value, HeldBack):
                return ExactKL(name, temperature, None, value.reason, value.value, value.bound)
            known_as = (None, value) if isinstance(value, str) else (value, "")
            return ExactKL(name, temperature, *known_as)
    return ExactKL(name, temperature, None, "no model given")
