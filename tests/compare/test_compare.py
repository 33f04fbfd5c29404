"""Observables, z, verdicts and the ranking: no false alarms, and planted faults are seen."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from ebmphys.compare import Comparison, Ensemble, Measured, Row, compare, measure, rows_of, write_table
from ebmphys.compare.exact_side import ExactSide
from ebmphys.compare.verdict import CRITERION_JS, CRITERION_KL
from ebmphys.exact import exact_values
from ebmphys.lattice import Lattice
from ebmphys.stats import Estimate

T_C = 2.269185314213022
U4_EXACT = 0.617199318412  # 4 x 4 torus at beta_c, transfer matrix


def row(comparison: Comparison, sample: str, observable: str) -> Row:
    return next(r for r in comparison.rows if (r.sample, r.observable) == (sample, observable))


def estimate(value: float, error: float) -> Estimate:
    return Estimate(value, error, 0.5, 1000.0)


def test_rows_by_hand():
    ensemble = Ensemble("s", 2.0, 16, np.array([[-1.0, -1.5]]), np.array([[0.5, -0.5]]))
    sample = Measured({"energy_per_site": estimate(-1.41, 0.03), "binder_cumulant": estimate(0.55, 0.04)}, None, {})
    reference = Measured(
        {"energy_per_site": estimate(-1.5, 0.04), "binder_cumulant": estimate(0.5, 0.03)},
        None,
        {"energy_per_site": 0.2},
    )
    energy, binder = rows_of(sample=ensemble, measured=sample, reference=reference, exact={})
    assert energy.z == pytest.approx(0.09 / 0.05)
    assert energy.effect == pytest.approx(0.09 / 0.2)
    assert energy.against == "reference"
    assert binder.z == pytest.approx(0.05 / 0.05)
    assert binder.effect == pytest.approx(0.1)
    assert (energy.agrees, binder.agrees) == (True, True)
    (energy, _) = rows_of(ensemble, sample, reference, {"energy_per_site": -1.47})
    assert energy.against == "exact"
    assert energy.z == pytest.approx(0.06 / 0.03)  # the exact value has no error of its own
    assert (energy.reference, energy.reference_error, energy.exact) == (-1.5, 0.04, -1.47)


def test_measured_values_of_one_known_configuration_set(enumerated):
    """Most configurations, each about as often as its weight: every average against plain numpy."""
    law = enumerated.law(T_C)
    times = np.rint(law * 400_000).astype(int)
    index = np.repeat(np.arange(2**16), times)
    index = index[: len(index) // 40 * 40].reshape(-1, 40)
    found = measure(enumerated.ensemble("all", T_C, index)).estimates
    assert found["energy_per_site"].value == pytest.approx(enumerated.energy[index].mean() / 16)
    m = enumerated.magnetization[index]
    assert found["magnetization_squared"].value == pytest.approx((m**2).mean())
    spins = enumerated.spins[index.ravel()].reshape(-1, 4, 4).astype(float)
    far = ((spins * np.roll(spins, 2, 1)).mean() + (spins * np.roll(spins, 2, 2)).mean()) / 2
    assert found["longest_correlation"].value == pytest.approx(far)
    modes = np.abs(np.fft.fft2(spins)) ** 2 / 16
    zero, small = modes[:, 0, 0].mean(), (modes[:, 1, 0].mean() + modes[:, 0, 1].mean()) / 2
    length = math.sqrt(zero / small - 1) / (2 * math.sin(math.pi / 4))
    assert found["correlation_length"].value == pytest.approx(length, rel=1e-3)
    assert found["domain_walls"].value == pytest.approx((1 + enumerated.energy[index].mean() / 32) / 2)


def z_over_repeats(draw, repeats: int, **options) -> dict[str, np.ndarray]:
    found: dict[str, list[float]] = {}
    for seed in range(repeats):
        reference, sample = draw("r", seed, **options), draw("s", 10_000 + seed, **options)
        side = ExactSide.of(reference)
        for r in rows_of(sample, measure(sample), measure(reference), side.values(reference.beta)):
            found.setdefault(r.observable, []).append(r.z)
    return {name: np.array(z) for name, z in found.items()}


def test_equal_ensembles_give_standard_normal_z(draw):
    repeats = 60
    found = z_over_repeats(draw, repeats, shape=(40, 40))
    assert {"energy_per_site", "specific_heat", "binder_cumulant", "correlation_length"} <= set(found)
    for name, z in found.items():
        assert abs(z.mean()) < 4 / math.sqrt(repeats), name
        assert 0.7 < z.std() < 1.35, name
        assert kstest(z, "norm").pvalue > 1e-4, name


def test_one_per_cent_in_beta_is_seen(draw):
    reference = draw("r", 1, shape=(600, 40), keep=False)
    wrong = [draw(f"wrong-{k}", 20 + k, shape=(600, 40), keep=False, factor=1.01) for k in range(5)]
    right = [draw(f"right-{k}", 40 + k, shape=(600, 40), keep=False) for k in range(5)]
    table = compare([reference], wrong + right)
    assert [p.sample.split("-")[0] for p in table.ranking[:4]].count("right") >= 3
    z = {s.name: row(table, s.name, "energy_per_site").z for s in wrong + right}
    assert sum(abs(z[s.name]) > 3 for s in wrong) >= 4
    assert all(abs(z[s.name]) < 3.5 for s in right)
    sizes = [row(table, s.name, "energy_per_site").effect for s in wrong]
    assert np.mean(sizes) == pytest.approx(-0.035, abs=0.01)  # d<e>/d beta = -c/beta^2, over the spread of e


def test_effect_does_not_grow_with_the_number_of_draws_but_z_does(draw):
    few, many = (
        row(
            compare([draw("r", 1, shape=(n, 40), keep=False)], [draw("s", 2, shape=(n, 40), keep=False, factor=1.1)]),
            "s",
            "energy_per_site",
        )
        for n in (50, 800)
    )
    assert abs(many.z) > 3 * abs(few.z)
    assert many.effect == pytest.approx(few.effect, rel=0.4)


def altered(draw, enumerated, name: str, seed: int, change) -> Ensemble:
    """Draws whose configurations (n, 4, 4) went through ``change``."""
    base = draw(name, seed)
    x = change(np.asarray(base.x).reshape(-1, 4, 4)).reshape(-1, 16)
    index = ((x > 0) @ (1 << np.arange(16))).reshape(base.energy_per_site.shape)
    return enumerated.ensemble(name, T_C, index)


def smoothed(x: np.ndarray) -> np.ndarray:
    """Every spin to the majority of itself and its neighbours: what thresholding a decoder's means looks like."""
    around = x.astype(int) + sum(np.roll(x, shift, axis) for shift in (1, -1) for axis in (1, 2))
    return np.where(around > 0, 1, -1)


def one_sign(x: np.ndarray) -> np.ndarray:
    m = x.sum(axis=(1, 2))
    return np.where((m == 0) & (x[:, 0, 0] < 0) | (m < 0), -1, 1)[:, None, None] * x


def test_thresholded_configurations_are_seen(draw, enumerated):
    table = compare([draw("r", 1)], [altered(draw, enumerated, "thresholded", 2, smoothed), draw("fair", 3)])
    assert row(table, "thresholded", "energy_per_site").z < -10
    assert table.ranking[0].sample == "fair"
    assert table.headline.startswith("fair learned the physics best")
    assert table.verdicts[0].agree < 3
    assert table.verdicts[1].agree >= 7


def test_one_sign_of_the_magnetization_is_seen_where_energies_are_right(draw, enumerated):
    single = altered(draw, enumerated, "single", 2, lambda x: one_sign(x))
    single = replace(single, magnetization=np.maximum(single.magnetization, 1 / 16))  # not even a zero
    table = compare([draw("r", 1)], [single, draw("warm", 3, factor=0.9)])
    assert abs(row(table, "single", "energy_per_site").z) < 4
    assert abs(row(table, "single", "abs_magnetization").z) < 4
    assert row(table, "single", "magnetization").z > 50
    assert "only one sign" in row(table, "single", "magnetization").warning
    assert "only one sign" in next(v for v in table.verdicts if v.sample == "single").sentence
    assert not row(table, "warm", "magnetization").warning
    assert [p.sample for p in table.ranking] == ["warm", "single"]  # by energies alone the other way round
    js = next(d for d in table.distances if (d.sample, d.quantity, d.measure) == ("single", "magnetization", "js"))
    assert js.excess > 0.15


@pytest.mark.parametrize("state", [0, 0b0000111100001111], ids=["ordered", "stripes"])
def test_a_stuck_ensemble_is_judged_without_dividing_by_zero(draw, enumerated, tmp_path, state):
    stuck = enumerated.ensemble("stuck", T_C, np.full((50, 40), state))
    table = compare([draw("r", 1)], [stuck, draw("fair", 2)])
    energy = row(table, "stuck", "energy_per_site")
    assert energy.error is None
    assert "no error bar" in energy.warning
    assert energy.agrees is False
    assert energy.against == "reference"  # the only error bar there is
    assert table.ranking[-1].sample == "stuck"
    assert next(v for v in table.verdicts if v.sample == "stuck").agree <= 1
    write_table(table, tmp_path)
    json.loads((tmp_path / "table.json").read_text(), parse_constant=pytest.fail)


def test_a_stuck_reference_has_no_error_bars_either(draw, enumerated):
    stuck = enumerated.ensemble("r", T_C, np.zeros((50, 40), dtype=int))
    table = compare([stuck], [draw("s", 1), enumerated.ensemble("same", T_C, np.zeros((20, 10), dtype=int))])
    assert row(table, "same", "longest_correlation").z is None
    assert row(table, "same", "longest_correlation").agrees is True
    assert row(table, "same", "energy_per_site").agrees is False  # stuck, and not at the exact value


def test_short_runs_are_said_to_be_short(draw):
    table = compare([draw("r", 1)], [draw("s", 2, shape=(20, 2))])
    assert "run too short" in row(table, "s", "energy_per_site").warning
    assert not row(table, "r", "energy_per_site").warning


def test_single_chains_and_single_draws_a_chain_can_be_compared(draw):
    table = compare([draw("r", 1, shape=(3000, 1))], [draw("s", 2, shape=(1, 3000)), draw("tiny", 3, shape=(2, 1))])
    assert abs(row(table, "s", "energy_per_site").z) < 4
    assert row(table, "tiny", "energy_per_site").value is not None


def test_the_reference_is_held_against_exact_values_too(draw):
    table = compare([draw("r", 1)], [draw("s", 2)])
    energy = row(table, "r", "binder_cumulant")
    assert energy.exact == pytest.approx(U4_EXACT)
    assert energy.reference is None
    assert abs(energy.z) < 4
    assert row(table, "r", "longest_correlation").z is None


def test_exact_kl_ranks_where_every_sample_has_one(draw):
    groups = [draw("r", 1)], [draw("a", 2), draw("b", 3)]
    kl = {"a": {T_C: 0.19}, "b": {T_C: 0.0098}}
    table = compare(*groups, exact_kl=kl)
    assert table.criterion == CRITERION_KL
    assert [(p.sample, p.score) for p in table.ranking] == [("b", 0.0098), ("a", 0.19)]
    assert "KL(p‖q) = 0.0098 nats, against 0.19 for a" in table.headline
    assert "about 100 configurations" in table.headline
    partly = compare(*groups, exact_kl={"a": {T_C: 0.19}, "b": {T_C: "64 sites are too many to enumerate"}})
    assert partly.criterion == CRITERION_JS
    assert [k.reason for k in partly.exact_kl] == ["", "64 sites are too many to enumerate"]


def test_temperatures_are_matched_and_what_is_left_out_is_said(draw):
    cold = [draw("r", 1, temperature=2.0), draw("s", 2, temperature=2.0 * (1 + 1e-8))]
    warm = [draw("r", 3, temperature=3.0), draw("s", 4, temperature=4.0)]
    table = compare([warm[0], cold[0]], [cold[1], warm[1]])
    assert table.temperatures == (2.0, 3.0)
    assert [v.temperature for v in table.verdicts] == [2.0]
    assert "1 ensembles at temperatures that the reference lacks" in table.notes[0]


def test_exact_curves_pass_through_the_exact_values(draw):
    table = compare([draw("r", k, temperature=t) for k, t in enumerate((2.0, 3.0))], [draw("s", 9, temperature=2.0)])
    curves = table.exact["curves"]
    assert table.exact["critical_temperature"] == pytest.approx(T_C)
    for name in ("energy_per_site", "specific_heat", "abs_magnetization"):
        assert curves[name]["temperature"][0] == 2.0
        assert curves[name]["value"][0] == pytest.approx(row(table, "r", name).exact)


def test_exact_side_adds_what_symmetry_and_definition_say():
    model = {"model": "ising", "graph": Lattice((4, 4)).config, "coupling": 1.0}
    e = np.array([[-1.0, -1.5]])
    symmetric, tilted = (
        ExactSide.of(Ensemble("r", 2.0, 16, e, e, model=model | {"field": field})) for field in (0.0, 0.3)
    )
    known = symmetric.values(0.5)
    assert known["magnetization"] == 0
    assert known["domain_walls"] == pytest.approx((1 + exact_values(symmetric.model, 0.5)["energy_per_site"] / 2) / 2)
    assert "magnetization" not in tilted.values(0.5) or tilted.values(0.5)["magnetization"] > 0
    assert "domain_walls" not in tilted.values(0.5)
    assert tilted.critical_temperature is None
    assert ExactSide.of(Ensemble("r", 2.0, 16, e, e)).values(0.5) == {}


def test_one_sign_is_no_fault_in_a_field(enumerated):
    rng = np.random.default_rng(0)
    e = rng.normal(size=(50, 40))
    model = {"model": "ising", "graph": Lattice((4, 4)).config, "coupling": 1.0, "field": 0.5}
    a, b = (Ensemble(n, 2.0, 16, e, 0.5 + 0.1 * rng.random((50, 40)), model=model) for n in "ab")
    table = compare([a], [b])
    assert "only one sign" not in row(table, "b", "magnetization").warning


def test_files_are_free_of_nan_and_keep_their_schema(draw, enumerated, tmp_path):
    stuck = enumerated.ensemble("stuck", T_C, np.zeros((50, 40), dtype=int))
    table = compare([draw("r", 1)], [stuck, draw("s", 2)], provenance={"odd": float("nan")})
    paths = write_table(table, tmp_path / "new")
    assert [p.name for p in paths] == ["table.json", "table.csv"]
    data = json.loads(paths[0].read_text(), parse_constant=pytest.fail)
    assert (data["schema"], data["schema_version"]) == ("ebmphys-comparison", 1)
    assert set(data) == {
        *("schema", "schema_version", "headline", "criterion", "reference", "samples", "temperatures", "rows"),
        *(
            "distances",
            "exact_kl",
            "verdicts",
            "ranking",
            "correlations",
            "exact",
            "notes",
            "definitions",
            "provenance",
        ),
    }
    names = [f.name for f in fields(Row)]
    assert all(list(r) == names for r in data["rows"])
    assert data["provenance"]["odd"] is None
    assert {r["observable"] for r in data["rows"]} <= set(data["definitions"]["observables"])
    with paths[1].open() as file:
        sheet = list(csv.DictReader(file))
    assert len(sheet) == len(data["rows"])
    assert list(sheet[0]) == names
    assert float(sheet[0]["value"]) == data["rows"][0]["value"]


def test_bad_input_is_refused_in_a_line(draw):
    one = draw("r", 1)
    with pytest.raises(ValueError, match="no sample has a temperature in common"):
        compare([one], [draw("s", 2, temperature=3.0)])
    with pytest.raises(ValueError, match="two samples have one name"):
        compare([one], [draw("s", 2), draw("s", 3)])
    with pytest.raises(ValueError, match="name of the reference"):
        compare([one], [draw("r", 2)])
    with pytest.raises(ValueError, match="one reference"):
        compare([one, draw("q", 2)], [draw("s", 2)])
    with pytest.raises(ValueError, match="sites"):
        compare([one], [Ensemble("s", T_C, 9, one.energy_per_site, one.magnetization)])
    e = one.energy_per_site
    for bad, words in [
        (lambda: Ensemble("s", -1.0, 16, e, e), "temperature"),
        (lambda: Ensemble("s", 2.0, 16, e[0], e[0]), "draw, chain"),
        (lambda: Ensemble("s", 2.0, 16, e, e[:3]), "magnetization"),
        (lambda: Ensemble("s", 2.0, 16, e * np.nan, e), "nan or inf"),
        (lambda: Ensemble("s", 2.0, 16, e, e, torch.ones(7, 16)), "configurations"),
    ]:
        with pytest.raises(ValueError, match=words):
            bad()
