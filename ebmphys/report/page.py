"""The page: a comparison's table arranged for the template."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ebmphys import figures
from ebmphys.compare import Comparison
from ebmphys.report.drawing import Pictures, shown_temperatures
from ebmphys.report.notation import FILTERS


def page(comparison: Comparison, pictures: Pictures) -> str:
    """The HTML of a comparison with its pictures inside."""
    environment = Environment(
        loader=PackageLoader("ebmphys", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    images = {name: {"data": base64.b64encode(data).decode(), "text": text} for name, (data, text) in pictures.items()}
    table = comparison.table()
    context: dict[str, Any] = {
        "table": table,
        "images": images,
        "colours": figures.colours(comparison.reference, comparison.samples),
        "blocks": [_block(table, temperature) for temperature in comparison.temperatures],
        "standing": [_standing(table, place) for place in table["ranking"]],
        "open": shown_temperatures(comparison.temperatures, comparison.exact["critical_temperature"]),
        "warnings": _warnings(table),
        "details": json.dumps(table["provenance"], indent=1, ensure_ascii=False),
    }
    return environment.get_template("report.html").render(**context)


def _block(table: Mapping[str, Any], temperature: float) -> dict[str, Any]:
    """One temperature of the table, arranged as lines of a page: observables and distances by sample."""
    names = ("rows", "distances", "exact_kl", "verdicts")
    at = {name: [e for e in table[name] if e["temperature"] == temperature] for name in names}
    by = {(r["observable"], r["sample"]): r for r in at["rows"]}
    lines = [
        {
            "name": name,
            "about": about,
            "exact": next((r["exact"] for r in at["rows"] if r["observable"] == name), None),
            "reference": by.get((name, table["reference"])),
            "samples": {sample: by.get((name, sample)) for sample in table["samples"]},
        }
        for name, about in table["definitions"]["observables"].items()
        if any(r["observable"] == name for r in at["rows"])
    ]
    kinds = list(dict.fromkeys((d["quantity"], d["measure"]) for d in at["distances"]))
    apart = [
        {
            "quantity": quantity,
            "about": table["definitions"]["measures"][measure],
            "samples": {
                d["sample"]: d for d in at["distances"] if (d["quantity"], d["measure"]) == (quantity, measure)
            },
        }
        for quantity, measure in kinds
    ]
    return {
        "temperature": temperature,
        "lines": lines,
        "apart": apart,
        "kl": at["exact_kl"],
        "verdicts": at["verdicts"],
    }


def _standing(table: Mapping[str, Any], place: Mapping[str, Any]) -> dict[str, Any]:
    """A sample's line in the ranking: its score and its record over all temperatures."""
    names = ("verdicts", "distances", "exact_kl")
    own = {name: [e for e in table[name] if e["sample"] == place["sample"]] for name in names}
    js = {
        quantity: _mean([d["excess"] for d in own["distances"] if (d["measure"], d["quantity"]) == ("js", quantity)])
        for quantity in ("energy_per_site", "magnetization")
    }
    known = [e["value"] for e in own["exact_kl"]]
    held_back = [e["held_back"] for e in own["exact_kl"]]
    return {
        **place,
        "agree": sum(v["agree"] for v in own["verdicts"]),
        "counted": sum(v["counted"] for v in own["verdicts"]),
        "js": js,
        "kl": _mean(known) if known and None not in known else None,
        "held_back": _mean(held_back) if held_back and None not in held_back else None,
        "bound": any(e["bound"] for e in own["exact_kl"]),
        "kl_reason": next((e["reason"] for e in own["exact_kl"] if e["reason"]), ""),
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _warnings(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every warning once, with the ensembles, temperatures and observables that it is about."""
    found: dict[tuple[str, float, str], list[str]] = {}
    for row in table["rows"]:
        for words in filter(None, row["warning"].split("; ")):
            found.setdefault((row["sample"], row["temperature"], words), []).append(row["observable"])
    return [
        {"sample": sample, "temperature": t, "words": words, "observables": names}
        for (sample, t, words), names in found.items()
    ]
