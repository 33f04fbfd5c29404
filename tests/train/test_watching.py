"""What a training says of itself: likelihoods and divergences against exact ones, records, the bar."""

import io
import json
import math
import time

import numpy as np
import pytest
import torch

from ebmphys.energies import ferromagnet
from ebmphys.exact.enumeration import visible_states
from ebmphys.generators import VAE
from ebmphys.likelihood import kl_to_exact, log_likelihood
from ebmphys.objectives import ELBO, ContrastiveDivergence
from ebmphys.train import (
    History,
    Progress,
    Training,
    chain_mean,
    fit,
    free_energy_gap,
    kl_on_data,
    mean_log_likelihood,
    split,
    suited,
)
from ebmphys.units import Bit, Spin
from tests.train.cases import BETA_C, TARGET, Watched, exact_draws, pcd, rbm, rng


def test_watching_a_run_does_not_change_it():
    plain = rbm()
    watched, data = rbm(), exact_draws(TARGET, BETA_C, 300)
    settings = Training(epochs=4, monitor_every=1)
    fit(plain, data, pcd(), settings, rng=rng("fit"))
    objective = pcd()
    monitors = suited(watched, objective, data, TARGET, BETA_C)
    assert {"kl", "log_likelihood", "chain_abs_magnetization", "chain_positive"} <= set(monitors)
    history = fit(watched, data, objective, settings, rng=rng("fit"), monitors=monitors)
    assert torch.equal(plain.weights, watched.weights)
    last = history[-1]
    assert last["kl"] == kl_to_exact(TARGET, BETA_C, watched)
    assert last["log_likelihood"] == pytest.approx(float(log_likelihood(watched, data).mean()))
    assert last["chain_positive"] == pytest.approx(0.5, abs=0.2) and 0 < last["chain_abs_magnetization"] < 1


def test_the_likelihood_monitor_anneals_where_log_z_is_not_known():
    model = rbm(30, 26, scale=1.0)
    data = torch.ones(10, 30)
    estimate = mean_log_likelihood(data)(model, None)
    with torch.no_grad():  # weak couplings: independent units with a small correction
        v = torch.randint(0, 2, (200_000, 30), generator=rng("v")).float() * 2 - 1
        log_z = float((-model.free_energy(v)).double().logsumexp(0)) - math.log(200_000) + 30 * math.log(2)
        expected = -float(model.free_energy(data).mean()) - log_z
    assert estimate == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("unit", [Spin(), Bit()])
def test_kl_on_data_is_the_kl_that_enumeration_gives(unit):
    model = rbm(visible=unit, scale=1.0)
    spins = exact_draws(TARGET, BETA_C, 40_000)
    v = spins if unit == Spin() else (spins + 1) / 2
    estimate = kl_on_data(TARGET, BETA_C, v, mean_log_likelihood(v))(model, None)
    with torch.no_grad():
        differences = log_likelihood(TARGET, spins, BETA_C) - log_likelihood(model, v)
    error = float(differences.std()) / 200
    assert abs(estimate - kl_to_exact(TARGET, BETA_C, model)) < 4 * error < 0.1
    # A forgotten beta is far outside the error.
    assert abs(kl_on_data(TARGET, 1.0, v, mean_log_likelihood(v))(model, None) - estimate) > 20 * error


def test_larger_targets_are_judged_on_data_that_were_held_back():
    target = ferromagnet((6, 6), device="cpu")
    held = (torch.randint(0, 2, (50, 36), generator=rng("held")) * 2 - 1).float()
    model, objective = rbm(36, 8, scale=1.0), pcd()
    monitors = suited(model, objective, held, target, BETA_C)
    assert next(iter(monitors)) == "kl_estimate" and "kl" not in monitors
    expected = float((log_likelihood(target, held, BETA_C) - log_likelihood(model, held)).mean())
    assert monitors["kl_estimate"](model, objective) == pytest.approx(expected, rel=1e-6)
    vae = VAE(36, (16,), 2, rng=rng("vae"), device="cpu")
    watched = suited(vae, ELBO(rng("noise")), held, target, BETA_C)
    assert list(watched) == ["kl_bound", "kl_bound_independent"]
    exact = float((log_likelihood(target, held, BETA_C) - log_likelihood(vae, held)).mean())
    assert exact - 1e-3 < watched["kl_bound"](vae, None) < exact + 2


def test_vae_learns_and_is_watched():
    model, data = VAE(9, (16,), 2, rng=rng("vae"), device="cpu"), exact_draws(TARGET, BETA_C, 3000)
    train, held = split(data, 0.2, rng("split"))
    objective = ELBO(rng("noise"))
    monitors = suited(model, objective, held, TARGET, BETA_C)
    assert list(monitors) == ["kl", "elbo", "kl_independent"]
    before = {name: monitor(model.requires_grad_(False), objective) for name, monitor in monitors.items()}
    model.requires_grad_(True)
    settings = Training(epochs=15, batch_size=100, stop_on="elbo", maximise=True)
    history = fit(model, train, objective, settings, rng=rng("fit"), monitors=monitors)
    assert history[-1]["elbo"] > before["elbo"] + 1 and history[-1]["kl"] < before["kl"] / 2
    assert -history[-1]["elbo"] > kl_to_exact(TARGET, BETA_C, model)
    assert not model.training


def test_monitors_that_do_not_fit_say_so():
    model, objective = rbm(), ContrastiveDivergence(1, rng("cd"), persistent=False)
    assert "chain_positive" not in suited(model, objective, visible_states(TARGET))
    with pytest.raises(ValueError, match="keeps no chains"):
        chain_mean(torch.mean)(model, objective)
    with pytest.raises(ValueError, match="has no free energy"):
        free_energy_gap(torch.ones(1, 9), torch.ones(1, 9))(VAE(9, (4,), device="cpu"), objective)


def test_history_is_json_and_arrays():
    history = History([{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0, "kl": 0.5}])
    assert json.loads(json.dumps(history)) == list(history)
    np.testing.assert_array_equal(history.column("kl"), [np.nan, 0.5])
    assert list(history.columns) == ["epoch", "loss", "kl"]
    with pytest.raises(ValueError, match="no 'entropy'; it has epoch, kl, loss"):
        history.column("entropy")


@pytest.mark.parametrize("budget", [None, 1e-6])
def test_progress_shows_where_the_run_is(budget):
    screen, settings = io.StringIO(), Training(epochs=3, cpu_seconds=budget)
    with Progress(settings, file=screen) as bar:
        fit(rbm(), visible_states(TARGET), Watched(), settings, rng=rng("fit"), on_epoch=bar)
    assert ("3/3" if budget is None else "CPU s") in screen.getvalue() and "loss=" in screen.getvalue()
    silent = io.StringIO()
    with Progress(settings, show=False, file=silent) as bar:
        bar({"epoch": 1, "seconds": 0.1, "loss": 0.0})
    assert silent.getvalue() == ""


def test_the_seconds_of_monitors_are_not_those_of_the_training(monkeypatch):
    clock = [0.0]

    def tick():
        clock[0] += 1.0
        return clock[0]

    def slow(model, objective):
        clock[0] += 1000.0
        return 0.0

    monkeypatch.setattr(time, "process_time", tick)
    settings = Training(epochs=10**6, cpu_seconds=200.0, batch_size=100, monitor_every=1)
    history = fit(rbm(), visible_states(TARGET), Watched(), settings, rng=rng("fit"), monitors={"slow": slow})
    assert history.stopped == "budget" and 200 <= history[-1]["seconds"] < 215 and len(history) > 5
    rates = history.column("learning_rate")
    np.testing.assert_allclose(rates, 3e-3 * (1 - history.column("seconds").clip(max=200) / 200), atol=1e-4)
