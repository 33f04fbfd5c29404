"""What a history says in words, shows live and draws."""

import io
import json
import math

import numpy as np
import pytest
import torch

from ebmphys import figures
from ebmphys.energies import RBM, BoltzmannMachine, Ising, ferromagnet
from ebmphys.exact.enumeration import log_weights, visible_states
from ebmphys.lattice import Lattice
from ebmphys.likelihood import kl_to_exact, log_likelihood
from ebmphys.objectives import ContrastiveDivergence, Penalised
from ebmphys.rng import generator
from ebmphys.samplers import advance
from ebmphys.samplers.cluster import SwendsenWang
from ebmphys.train import History, Progress, Training, doubts, fit, suited
from ebmphys.train.monitors.independent import independent_sites

COLD = 0.8  # beta at which a 3 x 3 ferromagnet has two phases


def record(**numbers):
    return {"epoch": 1, "updates": 5, "seconds": 0.1, "learning_rate": 1e-3, "loss": 0.0, **numbers}


@pytest.mark.parametrize(
    ("chains", "data", "doubted"),
    [
        (0.5, 0.5, ""),
        (0.0, 0.5, ">"),
        (1.0, 0.5, "<"),
        (0.9, 0.5, "<"),
        (0.8, 0.5, ""),
        (1.0, 0.97, ""),
        (0.97, 0.9, ""),
        (0.02, 0.3, ">"),
    ],
)
@pytest.mark.parametrize("own", ["chain", "draw"])
def test_a_missing_sign_is_said_and_no_other(chains, data, doubted, own):
    found = doubts(record(**{f"{own}_positive": chains, "data_positive": data}))
    said = f"m {doubted} 0" in found.get("sign", "") and f"of the {own}s but" in found["sign"]
    assert said if doubted else found == {}


def test_slow_chains_and_open_brackets_are_said():
    assert doubts(record(chain_tau=19.0, kl_estimate_low=0.1, kl_estimate_high=1.0)) == {}
    found = doubts(record(chain_tau=45.0, log_likelihood_low=-9.0, log_likelihood_high=-7.0))
    assert "45 steps" in found["tau"] and "between -9 and -7" in found["bracket"]
    assert "changed places" in doubts(record(kl_estimate_low=3.0, kl_estimate_high=1.0))["bracket"]
    noisy = {"kl_estimate_low": 3.0, "kl_estimate_high": 1.0, "kl_estimate_low_error": 0.3}
    assert doubts(record(**noisy, kl_estimate_high_error=0.5)) == {}  # 3.4 standard errors
    assert "changed places" in doubts(record(**noisy, kl_estimate_high_error=0.3))["bracket"]
    history = History([record(chain_tau=45.0), record()])
    assert list(history.doubts) == ["tau"]  # measured last, though not in the last epoch
    assert History([record(chain_tau=45.0), record(chain_tau=1.0)]).doubts == {}


def test_a_training_that_learned_nothing_is_said():
    for name, sign, least in (
        ("kl", -1, 0.2),
        ("kl_estimate", -1, 0.2),
        ("log_likelihood", 1, 4e-3),
        ("elbo", 1, 4e-3),
    ):
        for gain, doubted in ((-1e9, True), (0.0, True), (0.9 * least, True), (1.1 * least, False), (3.0, False)):
            found = doubts(record(**{f"{name}_independent": -sign * 4.0, name: -sign * 4.0 + sign * gain}))
            assert ("nothing" in found) is doubted
            how = "worse" if gain < 0 else "no better" if gain == 0 else "hardly better"
            assert not doubted or f"{how} than the {-sign * 4.0:.4g}" in found["nothing"]
    assert "worse" in doubts(record(kl=float("nan"), kl_independent=1.0))["nothing"]
    assert "too few updates" in doubts(record(kl=7.676, kl_independent=1.089))["nothing"]
    assert doubts(record(kl=9.0)) == {}


@pytest.mark.parametrize(
    ("options", "n"), [({"l1": 1e30}, 9), ({"rate": 1e6}, 9), ({"rate": 1e6}, 25), ({"l1": 1e30}, 25)]
)
def test_a_rate_or_a_prior_beyond_reason_is_doubted(options, n):
    side = round(n**0.5)
    target, rng = ferromagnet((side, side), device="cpu"), generator(3, device="cpu")
    sampler = SwendsenWang(target)
    chains = sampler.init(500, beta=0.44, rng=rng)
    advance(sampler, chains, 20)
    found = {}
    for name, given in (("plain", {}), ("beyond", options)):
        model = RBM(n, 20, rng=rng, device="cpu", biases=name == "plain")
        objective = Penalised(ContrastiveDivergence(1, rng, n_chains=100), given.get("l1", 0.0), n_data=400)
        settings = Training(epochs=40, learning_rate=given.get("rate", 0.02), monitor_every=40)
        monitors = {
            name: monitor
            for name, monitor in suited(model, objective, chains.x[400:], target, 0.44).items()
            if name.startswith("kl")
        }
        found[name] = fit(model, chains.x[:400], objective, settings, rng=rng, monitors=monitors).doubts
    assert "nothing" in found["beyond"] and "nothing" not in found["plain"]


@pytest.mark.parametrize("field", [0.0, 0.4])
def test_independent_sites_are_the_best_product_law(field):
    target = Ising(Lattice((3, 3)), 1.0, field, device="cpu")
    law = torch.softmax(log_weights(target, 0.3), 0)
    x = visible_states(target)
    data = x[torch.multinomial(law, 100_000, True, generator=generator(5, device="cpu"))]
    found = {
        names: independent_sites(dict.fromkeys(names), data, target, 0.3)
        for names in (("kl", "log_likelihood"), ("kl_estimate",), ("kl_bound",), ("log_likelihood",), ("elbo",))
    }
    value = {name: monitor(None, None) for each in found.values() for name, monitor in each.items()}
    assert set(value) == {f"{name}_independent" for name in ("kl", "kl_estimate", "kl_bound", "log_likelihood", "elbo")}
    # A machine without couplings, with the best field on each site, is that law.
    m = law @ x.double()
    model = BoltzmannMachine(Lattice((3, 3)), device="cpu")
    with torch.no_grad():
        model.bias.copy_(torch.atanh(m))
    assert value["kl_independent"] == pytest.approx(kl_to_exact(target, 0.3, model), abs=1e-6)
    assert value["kl_estimate_independent"] == value["kl_bound_independent"]
    assert value["kl_estimate_independent"] == pytest.approx(value["kl_independent"], abs=0.03)
    reached = float(log_likelihood(model, data).mean())
    assert 0 <= value["log_likelihood_independent"] - reached < 1e-3
    assert value["elbo_independent"] == value["log_likelihood_independent"]
    with torch.no_grad():
        model.bias.mul_(1.2).add_(0.05)
    assert value["log_likelihood_independent"] - float(log_likelihood(model, data).mean()) > 1e-3  # control


def test_a_model_with_one_sign_is_doubted_and_one_with_both_is_not():
    """The fault that observables do not show: chains that never cross, on data with both signs."""
    target = ferromagnet((3, 3), device="cpu")
    law = torch.softmax(log_weights(target, COLD), 0)
    data = visible_states(target)[torch.multinomial(law, 2000, True, generator=generator(1, device="cpu"))]
    found = {}
    for name, rows in (("one", data[data.sum(-1) > 0]), ("both", data)):
        rng = generator(2, name, device="cpu")
        model = RBM(9, 4, rng=rng, device="cpu")
        objective = ContrastiveDivergence(2, rng, n_chains=200)
        monitors = suited(model, objective, data, target, COLD)
        settings = Training(epochs=60, monitor_every=60, learning_rate=0.03)
        found[name] = fit(model, rows, objective, settings, rng=rng, monitors=monitors)
    assert "m < 0" in found["one"].doubts["sign"]
    assert "sign" not in found["both"].doubts
    assert found["one"][-1]["kl"] > 0.5 > 0.2 > found["both"][-1]["kl"]
    # |m| alone would not have told.
    assert abs(found["one"][-1]["chain_abs_magnetization"] - found["one"][-1]["data_abs_magnetization"]) < 0.03
    assert json.loads(json.dumps(found["one"])) == list(found["one"])


def test_progress_shows_what_matters_and_says_each_doubt_once():
    screen = io.StringIO()
    with Progress(Training(epochs=3), file=screen) as bar:
        for epoch in (1, 2, 3):
            numbers = record(kl=0.25, chain_tau=40.0 + epoch, energy_per_site_deviation=-1.5, log_likelihood=-5.0)
            bar(numbers | {"epoch": epoch})
    text = screen.getvalue()
    assert "kl=0.25, u off by=-1.5 sigma, tau=43" in text and "log_likelihood" not in text
    assert text.count("need 41 steps") == 1 and "need 42" not in text
    early = io.StringIO()
    with Progress(Training(epochs=3), file=early) as bar:
        bar(record(kl=2.0, kl_independent=1.0))  # as at the first look of any training
    assert "nothing" not in early.getvalue()
    ladder = io.StringIO()
    with Progress(Training(epochs=3), file=ladder) as bar:
        bar(record(kl=0.25, swap_rate=0.0312))
    assert "least trades=0.031" in ladder.getvalue() and "trade 3.1% of the time" in ladder.getvalue()
    silent = io.StringIO()
    with Progress(Training(epochs=3), show=False, file=silent) as bar:
        bar(record(chain_tau=99.0))
    assert silent.getvalue() == ""


def history():
    rows = []
    for epoch in range(1, 7):
        row = record() | {"epoch": epoch}
        if epoch % 2 == 0:
            row |= {"kl_estimate": 1 / epoch, "kl_estimate_low": 0.9 / epoch, "kl_estimate_high": 1.2 / epoch}
            row |= {"chain_energy_per_site": -1 - epoch / 10, "data_energy_per_site": -1.5}
            row |= {"energy_per_site_deviation": 9 - epoch, "singular_value_1": 2.0, "singular_value_2": 1.0}
            row |= {"chain_positive": 0.4, "data_positive": 0.5, "chain_tau": 3.0}
        rows.append(row)
    return rows


def test_chains_and_data_share_a_panel_and_brackets_are_bands():
    figure = figures.training(history())
    panels = {axes.get_ylabel(): axes for axes in figure.axes if axes.get_visible()}
    assert len(panels) == 8
    energy = panels["energy per site u"]
    assert [line.get_label() for line in energy.lines] == ["chains", "data"]
    assert np.allclose(energy.lines[0].get_ydata(), [-1.2, -1.4, -1.6])
    assert np.allclose(energy.lines[1].get_ydata(), -1.5)
    estimate = panels["KL estimate [nats]"]
    assert estimate.get_yscale() == "log" and len(estimate.lines) == 1
    corners = estimate.collections[0].get_paths()[0].vertices
    assert corners[:, 1].min() == pytest.approx(0.9 / 6) and corners[:, 1].max() == pytest.approx(0.6)
    assert len(panels["singular values of W"].lines) == 2
    assert panels["share with m > 0"].get_ylim()[1] > 1


def band(rows):
    (axes,) = (axes for axes in figures.training(rows).axes if axes.get_visible())
    (path,) = axes.collections[0].get_paths()
    low = [path.vertices[path.vertices[:, 0] == place, 1].min() for place in range(1, len(rows) + 1)]
    high = [path.vertices[path.vertices[:, 0] == place, 1].max() for place in range(1, len(rows) + 1)]
    return axes, np.array(low), np.array(high)


def test_the_band_is_what_the_error_bars_of_both_ends_span_and_cannot_cross_itself():
    ends = [(0.9, 1.2, 0.02, 0.3), (1.1, 0.8, 0.5, 0.1), (1.0, 1.0, 0.0, 0.0)]  # low, high and their errors
    names = ("kl_estimate_low", "kl_estimate_high", "kl_estimate_low_error", "kl_estimate_high_error")
    rows = [{"epoch": k + 1, "kl_estimate": 1.0} | dict(zip(names, end, strict=True)) for k, end in enumerate(ends)]
    axes, low, high = band(rows)
    assert len(axes.lines) == 1 and low == pytest.approx([0.88, 0.6, 1.0]) and high == pytest.approx([1.5, 1.6, 1.0])
    assert axes.get_yscale() == "log" and axes.get_ylim()[0] >= 1 / 3
    # Without errors, as in older histories, the ends themselves; and in order where they have changed places.
    _, low, high = band([{name: value for name, value in row.items() if "error" not in name} for row in rows])
    assert low == pytest.approx([0.9, 0.8, 1.0]) and high == pytest.approx([1.2, 1.1, 1.0])


def test_a_band_below_zero_leaves_the_logarithmic_axis_of_its_line():
    rows = [{"epoch": 1, "kl_estimate": 0.1, "kl_estimate_low": -0.05, "kl_estimate_high": 0.2}] * 1
    rows += [rows[0] | {"epoch": 2, "kl_estimate": 0.03}]
    axes, low, _ = band(rows)
    assert axes.get_yscale() == "log" and low.min() < 0 < 0.01 <= axes.get_ylim()[0] < 0.03


def test_the_least_share_of_trades_is_drawn_from_none_to_all():
    rows = [{"epoch": 1, "swap_rate": 0.3}, {"epoch": 2, "swap_rate": 0.4}]
    (axes,) = (axes for axes in figures.training(rows).axes if axes.get_visible())
    assert "share of trades" in axes.get_ylabel() and axes.get_ylim() == pytest.approx((-0.03, 1.03))


def test_ends_of_a_bracket_alone_are_drawn_on_their_own():
    lonely = [{"epoch": 1, "kl_estimate_low": 0.1}, {"epoch": 2, "kl_estimate_low": 0.2}]
    (axes,) = (axes for axes in figures.training(lonely).axes if axes.get_visible())
    assert axes.get_ylabel() == "kl estimate low"


@pytest.mark.parametrize("name", ["energy_per_site", "abs_magnetization"])
def test_averages_far_from_the_datas_are_said(name):
    for z, doubted in ((27.0, True), (-8.1, True), (5.0, False), (math.nan, False)):
        found = doubts({f"{name}_deviation": z, "abs_magnetization_deviation" if name[0] == "e" else "x": 1.0})
        assert (f"{z:+.1f} standard errors" in found.get("averages", "")) == doubted
