"""Figures hold the data that they were given, and nothing of them is global."""

from __future__ import annotations

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.patches import StepPatch

from ebmphys import figures
from ebmphys.compare import compare

TEMPERATURES = (2.0, 2.269185314213022, 3.0)


@pytest.fixture(scope="module")
def comparison(draw):
    reference = [draw("mc", k, temperature=t) for k, t in enumerate(TEMPERATURES)]
    rbm = [draw("rbm", 10 + k, temperature=t) for k, t in enumerate(TEMPERATURES)]
    vae = [draw("vae", 20 + k, temperature=t, factor=0.9) for k, t in enumerate(TEMPERATURES)]
    return compare(reference, rbm + vae)


@pytest.fixture(scope="module")
def table(comparison):
    return comparison.table()


def bars(axes) -> dict[str, ErrorbarContainer]:
    return {c.get_label(): c for c in axes.containers if isinstance(c, ErrorbarContainer)}


def test_curves_show_values_errors_exact_lines_and_the_critical_temperature(table):
    figure = figures.curves(table)
    upper, lower = figure.axes[0], figure.axes[1]
    assert upper.get_ylabel() == "⟨e⟩ [J]"
    own = [r for r in table["rows"] if (r["sample"], r["observable"]) == ("rbm", "energy_per_site")]
    line, _, (columns,) = bars(upper)["rbm"]
    assert np.allclose(line.get_ydata(), [r["value"] for r in own])
    assert np.allclose(line.get_xdata(), TEMPERATURES, atol=0.03)
    lengths = [np.ptp(segment[:, 1]) / 2 for segment in columns.get_segments()]
    assert np.allclose(lengths, [r["error"] for r in own])
    assert np.allclose(bars(lower)["rbm"][0].get_ydata(), [r["deviation"] for r in own])
    exact = next(line for line in upper.lines if line.get_label() == "exact")
    assert np.allclose(exact.get_ydata(), table["exact"]["curves"]["energy_per_site"]["value"])
    critical = next(line for line in upper.lines if "T_c" in str(line.get_label()))
    assert np.allclose(critical.get_xdata(), TEMPERATURES[1])
    assert len(figure.axes) == 12
    assert {t.get_text() for t in figure.legends[0].get_texts()} >= {"mc", "rbm", "vae", "exact"}


def test_exact_values_without_a_curve_are_marked(table):
    bare = table | {"exact": table["exact"] | {"curves": {}, "critical_temperature": None}}
    upper = figures.curves(bare, ["specific_heat"]).axes[0]
    exact = next(line for line in upper.lines if line.get_label() == "exact")
    assert np.allclose(exact.get_xdata(), TEMPERATURES)
    assert not any("T_c" in str(line.get_label()) for line in upper.lines)


def test_pulls_show_z(table):
    axes = figures.pulls(table, TEMPERATURES[2]).axes[0]
    for sample in ("rbm", "vae"):
        line = next(line for line in axes.lines if line.get_label() == sample)
        own = [r for r in table["rows"] if (r["sample"], r["temperature"]) == (sample, TEMPERATURES[2])]
        assert sorted(line.get_xdata()) == pytest.approx(sorted(r["z"] for r in own if r["counted"]))
    low, high = axes.get_xlim()
    assert low < -2 and high > max(abs(r["z"]) for r in table["rows"] if r["temperature"] == 3.0 and r["z"])


def test_histograms_hold_the_densities_with_error_bars(comparison):
    figure = figures.histograms(comparison.histograms, "mc", ["rbm", "vae"])
    assert len(figure.axes) == 6
    axes, panel = figure.axes[0], comparison.histograms[0]
    assert panel.quantity == "energy_per_site"
    steps = {p.get_label(): p.get_data().values for p in axes.patches if isinstance(p, StepPatch)}
    for name in ("mc", "rbm", "vae"):
        assert np.allclose(steps[name], panel.of[name].density)
        assert (panel.of[name].density * panel.of[name].width).sum() == pytest.approx(1)
    assert len(axes.containers) == 3
    assert {p.get_label() for p in axes.patches if p.get_fill()} == {"mc"}


def test_histograms_are_of_the_quantity_that_they_name(comparison, draw):
    mc = draw("mc", 0, temperature=2.0)
    for panel in comparison.histograms[:2]:
        one = panel.of["mc"]
        values = getattr(mc, panel.quantity)
        assert (one.centres * one.density).sum() * one.width == pytest.approx(values.mean())
        assert one.centres.max() >= values.max()


def test_correlations_hold_g_of_r(table):
    figure = figures.correlations(table, TEMPERATURES[:2])
    first = next(c for c in table["correlations"] if (c["sample"], c["temperature"]) == ("vae", 2.0))
    line = bars(figure.axes[0])["vae"][0]
    assert np.allclose(line.get_ydata(), first["value"])
    assert line.get_ydata()[0] == pytest.approx(1)
    assert figure.axes[1].get_title(loc="left") == "T = 2.269"


def test_snapshots_hold_the_configurations(comparison, draw):
    shots = comparison.snapshots[2.0]
    assert np.array_equal(shots["mc"][0].ravel(), np.asarray(draw("mc", 0, temperature=2.0).x)[0])
    figure = figures.snapshots(shots, 2.0)
    images = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(images) == 18
    assert np.array_equal(images[0], shots["mc"][0])
    assert np.array_equal(images[7], shots["rbm"][1])
    with pytest.raises(ValueError, match="no configurations"):
        figures.snapshots({}, 2.0)


def test_training_shows_every_column_and_leaves_out_what_was_not_measured():
    history = [{"epoch": k, "loss": 1 - k, "kl": 0.5**k if k % 2 else None, "learning_rate": 0.1} for k in range(6)]
    figure = figures.training(history)
    loss, kl, rate = (axes for axes in figure.axes if axes.get_visible())
    assert (loss.get_yscale(), kl.get_yscale(), rate.get_yscale()) == ("linear", "log", "log")
    assert kl.lines[0].get_xdata().tolist() == [1, 3, 5]
    assert np.allclose(kl.lines[0].get_ydata(), [0.5, 0.125, 0.03125])
    with pytest.raises(ValueError, match="'step'"):
        figures.training(history, x="step")


def test_colours_stay_with_their_ensembles():
    colour = figures.colours("mc", ["a", "b", "c"])
    assert len(set(colour.values())) == 4
    assert figures.colours("mc", ["a", "b"])["b"] == colour["b"]


def test_names_are_literal_and_figures_become_png(comparison, draw):
    odd = [draw("cost $5 & $x_1$", 3, temperature=2.0)]
    table = compare([draw("mc", 1, temperature=2.0)], odd).table()
    data = figures.png(figures.pulls(table, 2.0), dpi=40)
    assert data.startswith(b"\x89PNG")


def test_no_global_state_is_touched(table):
    before = dict(mpl.rcParams)
    figures.png(figures.curves(table), dpi=30)
    assert dict(mpl.rcParams) == before


def test_figures_import_neither_torch_nor_pyplot():
    code = "import sys, ebmphys.figures; assert not {'torch', 'matplotlib.pyplot', 'h5py'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("levels", [False, True])
def test_couplings_show_values_errors_deviations_and_where_they_should_be(levels):
    rng = np.random.default_rng(1)
    true = rng.choice([-0.5, 0.5], 40) if levels else rng.normal(size=40)
    value, error = true + 0.1 * rng.normal(size=40), np.full(40, 0.1)
    figure = figures.couplings(true, {"fit": (value, error), "mean field": (1.5 * true, None)})
    upper, lower = figure.axes
    fit, bare = (next(c for label, c in bars(upper).items() if label.startswith(n)) for n in ("fit", "mean field"))
    assert np.allclose(fit[0].get_ydata(), value) and np.allclose(bare[0].get_ydata(), 1.5 * true)
    assert np.allclose([np.ptp(s[:, 1]) / 2 for s in fit[2][0].get_segments()], error)
    assert not bare[2]
    assert np.allclose(lower.containers[0][0].get_ydata(), value - true)
    assert bare.get_label() == "mean field (0.5)"
    line = next(line for line in upper.lines if line.get_label() == "exact")
    if levels:
        assert np.abs(fit[0].get_xdata() - true).max() < 0.4 and len(set(fit[0].get_xdata())) == 40
        assert set(line.get_ydata()) == {-0.5} and list(upper.get_xticks()) == [-0.5, 0.5]
    else:
        assert np.allclose(fit[0].get_xdata(), true) and np.allclose(line.get_xdata(), line.get_ydata())
    with pytest.raises(ValueError, match="each of the 40"):
        figures.couplings(true, {"fit": (value[:3], None)})
