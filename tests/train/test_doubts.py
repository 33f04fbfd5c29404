"""What a history says in words, shows live and draws."""

import io
import json

import numpy as np
import pytest
import torch

from ebmphys import figures
from ebmphys.energies import RBM, ferromagnet
from ebmphys.exact.enumeration import log_weights, visible_states
from ebmphys.objectives import ContrastiveDivergence
from ebmphys.rng import generator
from ebmphys.train import History, Progress, Training, doubts, fit, suited

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
def test_a_missing_sign_is_said_and_no_other(chains, data, doubted):
    found = doubts(record(chain_positive=chains, data_positive=data))
    assert (f"m {doubted} 0" in found.get("sign", "")) if doubted else found == {}


def test_slow_chains_and_open_brackets_are_said():
    assert doubts(record(chain_tau=19.0, kl_estimate_low=0.1, kl_estimate_high=1.0)) == {}
    found = doubts(record(chain_tau=45.0, log_likelihood_low=-9.0, log_likelihood_high=-7.0))
    assert "45 steps" in found["tau"] and "between -9 and -7" in found["bracket"]
    assert "changed places" in doubts(record(kl_estimate_low=3.0, kl_estimate_high=1.0))["bracket"]
    history = History([record(chain_tau=45.0), record()])
    assert list(history.doubts) == ["tau"]  # measured last, though not in the last epoch
    assert History([record(chain_tau=45.0), record(chain_tau=1.0)]).doubts == {}


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


def test_ends_of_a_bracket_alone_are_drawn_on_their_own():
    lonely = [{"epoch": 1, "kl_estimate_low": 0.1}, {"epoch": 2, "kl_estimate_low": 0.2}]
    (axes,) = (axes for axes in figures.training(lonely).axes if axes.get_visible())
    assert axes.get_ylabel() == "kl estimate low"
