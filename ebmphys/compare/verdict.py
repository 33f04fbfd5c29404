"""Words for the numbers: what agrees, what is worst, and which sample learned the physics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ebmphys.compare.definitions import OBSERVABLES
from ebmphys.compare.divergence import Distance
from ebmphys.compare.rows import ONE_SIGN, SIGMAS, Row

CRITERION_KL = (
    "mean over temperatures of the exact KL(p‖q), in nats per lattice, of the model's law from the Boltzmann law"
)
CRITERION_JS = (
    "mean over temperatures of the Jensen-Shannon divergences of the energy and of the magnetization histograms, "
    "in nats, each less its sampling noise (0 where it is within the scatter of the floor); then the worst |z|"
)


@dataclass(frozen=True)
class ExactKL:
    """KL(p || q) of a sample's model at one temperature, or the reason why there is none.

    ``held_back`` is then what training measured on data that it did not learn from, if it did; too high where the
    model's likelihood is only known by a ``bound``.
    """

    sample: str
    temperature: float
    value: float | None
    reason: str = ""
    held_back: float | None = None
    bound: bool = False


class HeldBack(NamedTuple):
    """Why there is no exact KL(p || q), and what training measured on data that were held back instead."""

    reason: str
    value: float
    bound: bool


@dataclass(frozen=True)
class Verdict:
    """How one sample fares at one temperature, in numbers and in a sentence."""

    sample: str
    temperature: float
    agree: int
    counted: int
    worst_observable: str
    worst_z: float | None
    sentence: str


@dataclass(frozen=True)
class Ranked:
    """A sample's place: ``score`` by the criterion (less is better), ``worst_z`` over all its observables."""

    sample: str
    place: int
    score: float
    worst_z: float | None


def verdict(rows: Sequence[Row], distances: Sequence[Distance]) -> Verdict:
    """The verdict on one sample at one temperature from its rows and its distances there."""
    judged = [row for row in rows if row.counted and row.agrees is not None]
    agree = sum(bool(row.agrees) for row in judged)
    worst = max(judged, key=_surprise, default=None)
    name, temperature = rows[0].sample, rows[0].temperature
    words = [f"{name} at T = {temperature:.4g}: {agree} of {len(judged)} observables agree within {SIGMAS:g}σ"]
    if worst is not None:
        words.append(_worst(worst))
    apart = [d for d in distances if d.measure == "js" and not d.at_floor]
    if distances:
        words.append(_histograms(apart))
    if any(ONE_SIGN in row.warning for row in rows):
        words.append(ONE_SIGN)
    worst_z = None if worst is None else worst.z
    return Verdict(
        name, temperature, agree, len(judged), worst.observable if worst else "", worst_z, "; ".join(words) + "."
    )


def ranking(
    rows: Sequence[Row], distances: Sequence[Distance], exact_kl: Sequence[ExactKL], samples: Sequence[str]
) -> tuple[str, list[Ranked]]:
    """The criterion and the samples in its order, best first.

    Exact KL where every sample has one at every temperature it was compared at; histograms otherwise, because energies
    alone do not see a sample that knows one sign of the magnetization only.
    """
    known = bool(exact_kl) and all(entry.value is not None for entry in exact_kl)
    scores = {name: _kl_score(exact_kl, name) if known else _js_score(distances, name) for name in samples}
    worst = {name: max((_surprise(r) for r in rows if r.sample == name and r.counted), default=0.0) for name in samples}
    ordered = sorted(samples, key=lambda name: (scores[name], worst[name]))
    places = [
        Ranked(name, place, scores[name], worst[name] if math.isfinite(worst[name]) else None)
        for place, name in enumerate(ordered, start=1)
    ]
    return (CRITERION_KL if known else CRITERION_JS), places


def headline(places: Sequence[Ranked], criterion: str, verdicts: Sequence[Verdict]) -> str:
    """Which one learned the physics, in a sentence or two."""
    best = places[0]
    by_kl = criterion == CRITERION_KL
    agree, counted = (sum(getattr(v, f) for v in verdicts if v.sample == best.sample) for f in ("agree", "counted"))
    tied = [place.sample for place in places if (place.score, place.worst_z) == (best.score, best.worst_z)]
    if len(tied) > 1:
        return f"{' and '.join(tied)} cannot be told apart: {_score(best.score, by_kl)}."
    learned = "learned the physics best" if 2 * agree >= counted else "comes closest to the physics"
    said = f"{best.sample} {learned}" if len(places) > 1 else best.sample
    said += f": {_score(best.score, by_kl)}"
    if len(places) > 1:
        said += ", against " + ", ".join(f"{other.score:.3g} for {other.sample}" for other in places[1:])
    said += f". {agree} of its {counted} observables agree within {SIGMAS:g}σ"
    if by_kl and 0 < best.score < 1:
        said += f"; it takes about {_round_number(1 / best.score)} configurations to tell it from the Boltzmann law"
    return said + "."


def _score(score: float, by_kl: bool) -> str:
    if by_kl:
        return f"KL(p‖q) = {score:.3g} nats"
    if score == 0:
        return "its energy and magnetization histograms are within sampling noise (JS = 0 nats above it)"
    return f"its energy and magnetization histograms are JS = {score:.2g} nats above sampling noise"


def _round_number(number: float) -> str:
    """Two figures, without an exponent."""
    digits = max(len(str(int(number))) - 2, 0)
    return f"{round(number, -digits):.0f}"


def _surprise(row: Row) -> float:
    """|z|, infinite for a deviation without any error bar."""
    if row.z is not None:
        return abs(row.z)
    return math.inf if row.agrees is False else 0.0


def _worst(row: Row) -> str:
    about = OBSERVABLES[row.observable]
    name = row.observable.replace("_", " ")
    what = "the exact value" if row.against == "exact" else "the reference"
    if row.z is None or row.deviation is None:
        return f"the worst is {name}, without an error bar, off by {row.deviation or 0:+.2g}"
    unit = f" {about['unit']}" if about["unit"] else ""
    return f"the worst is {name} {about['symbol']}, {_sigmas(abs(row.z))}σ or {row.deviation:+.2g}{unit} from {what}"


def _sigmas(z: float) -> str:
    return f"{z:.1f}" if z < 100 else f"{z:.0f}"


def _histograms(apart: Sequence[Distance]) -> str:
    if not apart:
        return "energy and magnetization histograms are within sampling noise"
    parts = [f"JS of {d.quantity.replace('_', ' ')} is {d.excess:.2g} nats above sampling noise" for d in apart]
    return ", ".join(parts)


def _kl_score(exact_kl: Sequence[ExactKL], name: str) -> float:
    values = [entry.value for entry in exact_kl if entry.sample == name and entry.value is not None]
    return sum(values) / len(values)


def _js_score(distances: Sequence[Distance], name: str) -> float:
    of_sample = [d for d in distances if d.sample == name and d.measure == "js"]
    temperatures = {d.temperature for d in of_sample}
    return sum(0.0 if d.at_floor else d.excess for d in of_sample) / len(temperatures)
