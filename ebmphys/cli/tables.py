"""Results as tables that a person reads, on stdout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ebmphys.experiment.usage import used_settings
from ebmphys.report import format_estimate

_COLUMNS = {
    "energy_per_site": "u",
    "abs_magnetization": "<|m|>",
    "specific_heat": "c",
    "susceptibility": "chi",
    "binder_cumulant": "U4",
}
_EXACT = (
    "energy_per_site",
    "specific_heat",
    "abs_magnetization",
    "susceptibility",
    "binder_cumulant",
    "free_energy_per_site",
    "spontaneous_magnetization",
    "log_partition",
)


def say(line: str) -> None:
    """A line about how far things are, on stderr."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(line, markup=False)


def show(verb: str, result: Mapping[str, Any]) -> None:
    """The result of a verb."""
    kind = result.get("kind", "dataset" if verb in ("generate", "import", "sample") else verb)
    tables = {"dataset": _dataset, "exact": _exact, "fit": _fits, "run": _run, "model": _model, "bench": _bench}
    tables.get(kind, _comparison)(result)


def _dataset(result: Mapping[str, Any]) -> None:
    size = "x".join(map(str, result["shape"])) if result["shape"] else f"{result['n_sites']} sites"
    drawn = f"{result['draws']}" if result["complete"] else f"{result['draws']} of {result['draws_planned']}"
    _print(
        f"{result['path']}: {size}, {len(result['temperatures'])} temperature(s), {drawn} draws x {result['chains']} "
        f"chains, {result['bytes'] / 1e6:.3g} MB ({result['bytes_per_site']:.3g} bytes a site)"
    )
    for note in result.get("notes", ()):
        _print(note)
    if not result["rows"]:
        return
    rows = [
        [f"{row['temperature']:.6g}"]
        + [_estimate(row[name]) for name in _COLUMNS]
        + [_short(row["tau_int"]), _short(row["n_effective"])]
        for row in result["rows"]
    ]
    _table(["T", *_COLUMNS.values(), "tau/draws", "N_eff"], rows)
    if any(row[name]["exact"] is not None for row in result["rows"] for name in _COLUMNS):
        _print("in brackets the error of the last digits, after it the distance from the exact value in errors (z)")
    doubts: dict[str, list[str]] = {}
    for row in result["rows"]:
        for doubt in row["warnings"]:
            doubts.setdefault(doubt, []).append(f"{row['temperature']:.6g}")
    for doubt, temperatures in doubts.items():
        _print(f"! T = {', '.join(temperatures)}: {doubt}")


def _estimate(entry: Mapping[str, Any]) -> str:
    text = format_estimate(entry["value"], entry["error"])
    return text if entry["z"] is None else f"{text} {entry['z']:+.1f}"


def _exact(result: Mapping[str, Any]) -> None:
    settings = result["settings"]
    _print(f"{settings['size']} {settings['geometry']}, {settings['boundary']}: {result['source']}")
    _exact_rows(result["rows"])
    if "infinite" in result:
        critical = result["critical_temperature"]
        _print(f"infinite square lattice, Onsager (1944) and Yang (1952), T_c = {critical:.12g}")
        _exact_rows(result["infinite"])


def _exact_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    names = [name for name in _EXACT if name in rows[0]]
    lines = [
        [f"{row['temperature']:.6g}", *("inf" if row[name] is None else f"{row[name]:.12g}" for name in names)]
        for row in rows
    ]
    _table(["T", *(name.replace("_", " ") for name in names)], lines)


def _fits(result: Mapping[str, Any]) -> None:
    models = result["models"]
    usual = (
        "out",
        "temperature",
        "temperatures",
        "stopped",
        "epoch",
        "updates",
        "seconds",
        "learning_rate",
        "parameters",
        "warnings",
    )
    names = list(dict.fromkeys(name for model in models for name in model if name not in usual))
    rows = [
        ["epochs", *(str(model.get("epoch", 0)) for model in models)],
        ["CPU s", *(_short(model.get("seconds")) for model in models)],
        ["ended", *(model["stopped"] for model in models)],
        ["parameters", *(str(model["parameters"]) for model in models)],
        *([name.replace("_", " "), *(_short(model.get(name)) for model in models)] for name in names),
    ]
    # Down and not across: a model is watched in more ways than a line has room for.
    _table(["", *(f"{model['out']} (T = {_temperatures(model)})" for model in models)], rows)
    for model in models:
        for warning in model.get("warnings", ()):
            _print(f"! T = {_temperatures(model)}: {warning}")


def _temperatures(model: Mapping[str, Any]) -> str:
    """The temperature of a model, or the range of those that it is told."""
    told = model.get("temperatures")
    return f"{model['temperature']:.6g}" if told is None else f"{min(told):.6g} to {max(told):.6g}"


def _model(result: Mapping[str, Any]) -> None:
    _print(f"{result['path']}: {result['config']['model']} with {result['parameters']} parameters")
    details = {**result["config"], "epoch": result["epoch"], "ended": result["stopped"], **result["last"]}
    origin = result["provenance"]
    details |= used_settings(origin.get("settings", {}), details)
    known = ("temperature", "temperatures", "ebmphys", "commit", "created", "inputs")
    details |= {name: origin[name] for name in known if name in origin}
    for name, value in details.items():
        _print(f"  {name}: {value}")
    for warning in result["warnings"]:
        _print(f"! {warning}")


def _comparison(result: Mapping[str, Any]) -> None:
    _print(result["headline"])
    for verdict in result["verdicts"]:
        _print(f"  {verdict['sentence']}")
    for note in result.get("notes", ()):
        _print(f"! {note}")
    _print(f"ranked by: {result['criterion']}")


def _bench(result: Mapping[str, Any]) -> None:
    machine, settings = result["machine"], result["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    _print(
        f"{machine['device']}, {machine['cpu']}, vectors {machine['vector']}, {machine['threads']} thread(s), "
        f"Python {machine['python']}, {versions}"
    )
    _print(
        f"{settings['chains']} chain(s) of {settings['size']} at T = {settings['temperature']:.6g}, "
        f"median of {settings['repeats']} turns (smallest and largest)"
    )
    header = ["", "flips/ns", "ms/step", "tau E", "tau |m|", "N_eff/s chain", "N_eff/s", "flips/peer", "N_eff/peer"]
    _table(header, [_bench_row(row) for row in result["rows"]])
    _print("tau in steps, N_eff by the slower of the two; the last two columns are over the best peer (*)")
    for row in result["rows"]:
        if row["note"]:
            _print(f"! {row['name']}: {row['note']}")


def _bench_row(row: Mapping[str, Any]) -> list[str]:
    flips, step = row["flips_per_ns"], row["seconds_per_step"]
    name = row["name"] + (" *" if row["peer"] else "")
    if flips is None:
        return [name, "none", *["-"] * 7]
    found = ("effective_per_second_per_chain", "effective_per_second", "over_peer", "effective_over_peer")
    return [
        name,
        f"{flips['median']:.4g} ({flips['min']:.4g} {flips['max']:.4g})",
        _short(1e3 * step),
        _short(row["tau_energy"]),
        _short(row["tau_abs_m"]),
        *(_short(row[name]) for name in found),
    ]


def _run(result: Mapping[str, Any]) -> None:
    for step in result["steps"]:
        _print(f"{'done      ' if step['done'] else 'up to date'} {step['step']}")
    last = result["steps"][-1]
    if "headline" in last.get("result", {}):
        _comparison(last["result"])


def _table(header: Iterable[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in header:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    # Not cut at the terminal's edge: a digit that is not shown is worse than a line that wraps.
    Console(highlight=False, markup=False, width=max(200, Console().width)).print(table)


def _print(text: str) -> None:
    Console(highlight=False, markup=False, soft_wrap=True).print(text)


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
