"""What a dataset amounts to at each temperature: averages with errors, tau, exact values, and doubts in words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ebmphys.checkpoint import Model, build
from ebmphys.dataset import Dataset
from ebmphys.energies import Ising
from ebmphys.exact import exact_values
from ebmphys.experiment.order import order_parameter
from ebmphys.observables import summarize
from ebmphys.report import format_estimate
from ebmphys.stats import split_rhat, tau_int

QUANTITIES = ("energy_per_site", "abs_magnetization", "specific_heat", "susceptibility", "binder_cumulant")
_BURN_IN_TAUS = 10
_WORST_RHAT = 1.05
_LONG_ENOUGH = 1 / 20  # tau over draws: beyond it a large tau is itself a sign of chains that disagree


def summary(data: Dataset) -> dict[str, Any]:
    """JSON values: the file's description and a row a temperature, each quantity as value, error, exact, z."""
    model = None if data.model is None else build(data.model)
    enough = data.draws * data.chains > 1  # of a single configuration there is no error
    rows = [_row(data, float(t), model) for t in data.temperatures] if enough else []
    plan = data.provenance.get("plan")
    notes = [f"the pilot run chose {plan['reason']}; {_counts(data)}"] if plan else []
    unseen = data.provenance.get("unseen", [])
    if unseen:
        notes.append(f"not among the temperatures of the training: {', '.join(f'{t:g}' for t in unseen)}")
    weighed = data.provenance.get("importance", [])
    notes += [_weighed(row) for row in weighed]
    return data.describe() | {"rows": rows, "notes": notes} | ({"importance": weighed} if weighed else {})


def _weighed(row: dict[str, Any]) -> str:
    log_z = row["log_partition"]
    return (
        f"T = {row['temperature']:g}: {row['acceptance']:.1%} of the model's draws are accepted; by the weights of "
        f"{row['draws']} of them, worth {row['effective_share']:.1%} as many, "
        f"log Z = {format_estimate(log_z['value'], log_z['error'])}"
    )


def _counts(data: Dataset) -> str:
    steps = _steps(data)
    return f"{steps['thin']} steps between draws, {steps['burn_in']} before the first"


def _steps(data: Dataset) -> dict[str, Any]:
    """thin and burn_in as they were: given, by default, or by the pilot run; empty where there are none."""
    plan = data.provenance.get("plan", {})
    chosen = data.provenance.get("steps", plan)
    given = {name: data.settings.get(name) for name in ("thin", "burn_in")}
    known = {name: chosen.get(name) if value is None else value for name, value in given.items()}
    return {} if None in known.values() else known


def _row(data: Dataset, temperature: float, model: Model | None) -> dict[str, Any]:
    energy = data.energy(temperature) / data.n_sites
    magnetization = data.magnetization(temperature)
    found = summarize(energy, magnetization, 1 / temperature, data.n_sites)
    sampled = data.settings.get("verb") == "generate"
    exact = exact_values(model, 1 / temperature) if isinstance(model, Ising) and sampled else {}
    row: dict[str, Any] = {"temperature": temperature}
    for name in QUANTITIES:
        estimate = found[name]
        known = exact.get(name)
        z = None if known is None or not estimate.error > 0 else (estimate.value - known) / estimate.error
        row[name] = {
            "value": _number(estimate.value),
            "error": _number(estimate.error),
            "exact": known,
            "z": _number(z),
        }
    watched = [energy, np.abs(magnetization)]
    if isinstance(model, Ising) and (order := order_parameter(model)):
        watched.append(order(data.packed(temperature)))
    moving = [series for series in watched if series.var() > 0]
    tau = max((tau_int(series).value for series in moving), default=None)
    row |= {"tau_int": _number(tau), "n_effective": None if tau is None else _number(energy.size / (2 * tau))}
    doubts = _of_the_model(data, temperature) + [found[name].warning for name in QUANTITIES]
    doubts += [] if tau is None else _doubts(data, moving, tau)
    return row | {"warnings": list(dict.fromkeys(filter(None, doubts)))}


def _of_the_model(data: Dataset, temperature: float) -> list[str]:
    """What speaks against the model that was drawn from, however its draws look."""
    doubts = [doubt for t, doubt in data.provenance.get("doubts", []) if t == temperature]
    doubts += [row["warning"] for row in data.provenance.get("importance", []) if row["temperature"] == temperature]
    if temperature in data.provenance.get("unfinished", []):
        doubts.append("the training of this model was interrupted: fit it with --resume and sample it again")
    return doubts


def _doubts(data: Dataset, moving: list[np.ndarray], tau: float) -> list[str]:
    doubts: list[str] = []
    if not data.provenance.get("plan", {}).get("resolved", True):
        doubts.append("the pilot run gives only a lower bound of tau: draws may depend on each other and on the start")
    settings = data.settings
    independent = settings.get("sampler") == "enumerated" or data.provenance.get("independent", False)
    steps = _steps(data)
    if steps and not independent:
        plan = data.provenance.get("plan", {})
        # A pilot that resolved tau knows it better than draws so far apart that 1/2 is all they show.
        known = max(plan["tau"]) if plan.get("resolved") else math.inf
        needed = _BURN_IN_TAUS * min(tau * steps["thin"], known)
        if steps["burn_in"] < needed:
            doubts.append(
                f"the burn-in of {steps['burn_in']} steps is short of {_BURN_IN_TAUS} autocorrelation times"
                f" ({needed:.0f} steps): take a longer one"
            )
    draws, chains = moving[0].shape
    if draws >= 8 and chains > 1:
        rhat = max(split_rhat(series) for series in moving)
        # Half chains of n independent draws scatter by R-hat^2 = 1 + 1/n even at equilibrium.
        if rhat > max(_WORST_RHAT, np.sqrt(1 + 12 * min(tau / draws, _LONG_ENOUGH))):
            doubts.append(f"the chains disagree (split R-hat {rhat:.2f}): they have not forgotten their starts")
    return doubts


def _number(value: Any) -> float | None:
    """A number that JSON can hold; None for what is not finite."""
    return float(value) if value is not None and np.isfinite(value) else None
