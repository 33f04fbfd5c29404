"""The training loop: what it learns, and that it ends as it should."""

import math
import time

import numpy as np
import pytest
import torch
from torch import nn

from ebmphys.energies import ferromagnet
from ebmphys.exact.enumeration import log_weights, visible_states
from ebmphys.likelihood import kl_to_exact
from ebmphys.train import (
    SCHEDULES,
    GlobalFlip,
    LatticeMoves,
    Training,
    fit,
    held_chains,
    split,
    split_chains,
)
from ebmphys.train.state import Run
from ebmphys.units import Bit, Spin
from tests.train.cases import BETA_C, TARGET, Watched, exact_draws, pcd, rbm, rng


def trained_kl(beta, objective=None, **settings):
    model = rbm()
    settings = Training(**{"epochs": 40, "batch_size": 500, "learning_rate": 2e-2} | settings)
    fit(model, exact_draws(TARGET, beta, 15_000), objective or pcd(), settings, rng=rng("fit"))
    return kl_to_exact(TARGET, BETA_C, model)


def test_pcd_learns_the_law_of_its_data():
    assert trained_kl(BETA_C) < 0.01
    assert trained_kl(BETA_C * 1.1) > 0.02  # control: data that are 10 % too cold are seen


def test_decay_and_averaging_are_what_brings_the_kl_down():
    assert trained_kl(BETA_C, schedule="constant", averaging=0.0) > 2 * trained_kl(BETA_C)


def cold_share(flips):
    """P(m > 0) of a model trained on an ordered lattice, and the share of its chains with m > 0."""
    target, beta = ferromagnet((4, 4), device="cpu"), 1 / 1.5
    model, objective = rbm(16, 16), pcd(k=5, n_chains=500, flips=flips)
    moves = [GlobalFlip(Spin()), LatticeMoves(target.graph)]
    data = exact_draws(target, beta, 5000, "cold")
    fit(model, data, objective, Training(epochs=60), rng=rng("fit"), augment=moves)
    up = visible_states(target).sum(1) > 0
    chains = objective.negative.chains.x[:, :16].sum(1) > 0
    return float(torch.softmax(log_weights(model), 0)[up].sum()), float(chains.float().mean())


def test_both_signs_of_the_magnetization_are_kept_in_the_ordered_phase():
    share, chains = cold_share(flips=True)
    assert 0.4 < share < 0.6 and 0.4 < chains < 0.6
    share, chains = cold_share(flips=False)  # control: chains that cannot cross look right and the model is not
    assert min(share, 1 - share) < 0.01 and 0.3 < chains < 0.7


def test_every_row_is_used_once_an_epoch_duplicates_too():
    distinct = visible_states(TARGET)[[3, 77, 200]]
    data = distinct.repeat_interleave(torch.tensor([700, 300, 3]), 0)  # three configurations, 1003 rows
    objective = Watched()
    fit(rbm(), data.to(torch.int8), objective, Training(epochs=2, batch_size=100), rng=rng("fit"))
    sizes = [len(v) for v in objective.batches]
    assert sizes[:11] == sizes[11:] and sum(sizes[:11]) == 1003 and max(sizes) - min(sizes) <= 1
    for epoch in (objective.batches[:11], objective.batches[11:]):
        rows, counts = torch.cat(epoch).unique(dim=0, return_counts=True)
        assert len(rows) == 3 and sorted(counts.tolist()) == [3, 300, 700]
    assert not torch.equal(torch.cat(objective.batches[:11]), torch.cat(objective.batches[11:]))


def test_early_stopping_keeps_the_best():
    scripted = iter([5.0, 3.0, 4.0, 3.5, 3.2, 1.0])
    seen = []

    def monitor(model, objective):
        seen.append(model.visible_bias.detach().clone())
        return next(scripted)

    model = rbm()
    settings = Training(epochs=100, monitor_every=2, stop_on="x", patience=3)
    history = fit(model, visible_states(TARGET), Watched(), settings, rng=rng("fit"), monitors={"x": monitor})
    assert history.stopped == "early" and len(history) == 10
    assert torch.equal(model.visible_bias, seen[1]) and not torch.equal(seen[1], seen[2])
    scripted = iter([5.0, 3.0, 4.0, 3.5, 3.2, 1.0])
    settings = Training(epochs=100, monitor_every=2, stop_on="x", patience=3, maximise=True)
    seen.clear()
    model = rbm()
    history = fit(model, visible_states(TARGET), Watched(), settings, rng=rng("fit"), monitors={"x": monitor})
    assert len(history) == 8 and torch.equal(model.visible_bias, seen[0])


def test_the_budget_of_cpu_seconds_ends_the_run_and_takes_the_rate_to_zero(monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(time, "process_time", lambda: float(next(clock)))
    settings = Training(epochs=10**6, cpu_seconds=200.0, batch_size=100)
    history = fit(rbm(), visible_states(TARGET), Watched(), settings, rng=rng("fit"))
    assert history.stopped == "budget" and 200 <= history[-1]["seconds"] < 210
    rates = history.column("learning_rate")
    np.testing.assert_allclose(rates, 3e-3 * (1 - history.column("seconds") / 200), atol=1e-4)


def test_schedules():
    assert [SCHEDULES["constant"](p) for p in (0.0, 0.5, 1.0)] == [1, 1, 1]
    assert [SCHEDULES["linear"](p) for p in (0.0, 0.25, 1.0, 1.5)] == [1, 0.75, 0, 0]
    assert [SCHEDULES["cosine"](p) for p in (0.0, 1 / 3, 0.5, 1.0, 2.0)] == pytest.approx([1, 0.75, 0.5, 0, 0])
    objective, rates = Watched(), []
    settings = Training(epochs=4, batch_size=256, optimizer="sgd", learning_rate=0.1)
    history = fit(rbm(), visible_states(TARGET), objective, settings, rng=rng("fit"))
    rates = history.column("learning_rate")  # two updates an epoch: the last is half an epoch before its end
    np.testing.assert_allclose(rates, 0.1 * (1 - np.array([1, 3, 5, 7]) / 8))


@pytest.mark.parametrize("gamma", [1, 3])
def test_averaging_weighs_updates_as_stated(gamma):
    """With (g + 1) / (g + t) the t-th parameters end with weights ~ t (t + 1) ... (t + g - 1)."""
    model = nn.Linear(1, 1)
    settings = Training(averaging=float(gamma))
    state = Run(model, Watched(), settings.make_optimizer(model), settings, rng("run"))
    for t in range(1, 21):
        nn.init.constant_(model.weight, float(t**2))
        state.after_update()
    weights = np.array([math.prod(range(t, t + gamma)) for t in range(1, 21)], dtype=float)
    expected = (weights * np.arange(1, 21) ** 2).sum() / weights.sum()
    assert float(state.candidate()["weight"]) == pytest.approx(expected, rel=1e-5)


def test_data_that_the_model_cannot_have_made_are_refused():
    settings, objective, good = Training(epochs=1), pcd(), visible_states(TARGET)
    for data, message in [
        ((good + 1) / 2, r"take the values \[-1.0, 1.0\], the data hold others"),
        (good[:, :8], r"rows of 9 visible sites, got shape \(512, 8\)"),
        (good[:0], "rows of 9 visible sites"),
        (good.reshape(-1, 3, 3), "rows of 9 visible sites"),
        (torch.where(torch.arange(9) == 3, float("nan"), good), "not finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            fit(rbm(), data, objective, settings, rng=rng("fit"))
    fit(rbm(visible=Bit()), (good + 1) / 2, objective, settings, rng=rng("fit"))
    with pytest.raises(ValueError, match="Ising has no parameters to learn"):
        fit(TARGET, good, objective, settings, rng=rng("fit"), optimizer=torch.optim.SGD(rbm().parameters()))
    with pytest.raises(ValueError, match="stop_on is 'kl', but what is measured is loss"):
        fit(rbm(), good, objective, Training(stop_on="kl"), rng=rng("fit"))


def test_a_training_that_diverges_says_so():
    settings = Training(epochs=5, optimizer="sgd", learning_rate=1e20, schedule="constant")
    with pytest.raises(ValueError, match=r"diverged in epoch .: a lower learning_rate"):
        fit(rbm(), visible_states(TARGET), Watched(), settings, rng=rng("fit"))


@pytest.mark.parametrize(
    "bad", [{"epochs": 0}, {"optimizer": "lbfgs"}, {"schedule": "step"}, {"learning_rate": -1.0}, {"cpu_seconds": 0.0}]
)
def test_settings_that_make_no_training_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Training(**bad)


def test_split_keeps_every_row():
    data = torch.arange(100.0)[:, None] // 2
    train, held = split(data, 0.3, rng("split"))
    assert len(held) == 30 and torch.equal(torch.cat([train, held]).sort(0).values, data)
    with pytest.raises(ValueError, match="leaves nothing"):
        split(data, 0.001, rng("split"))


@pytest.mark.parametrize("chains", [1, 4, 12])
def test_what_is_held_back_is_no_neighbour_in_time(chains):
    rows = torch.arange(40 * chains)[:, None].float()  # row = draw * chains + chain
    train, held = split_chains(rows, chains, 0.25, rng("split"))
    assert sorted(torch.cat([train, held]).flatten().tolist()) == rows.flatten().tolist()
    assert len(held) == 10 * chains
    # Column by column one chain each, its draws in the order of time.
    series = (held % chains).reshape(-1, held_chains(chains, 0.25))
    assert (series == series[0]).all() and len(set(series[0].tolist())) == series.shape[1]
    assert (held.reshape(series.shape).diff(dim=0) > 0).all()
    if chains >= 10:
        assert not set((train % chains).flatten().tolist()) & set((held % chains).flatten().tolist())
    else:
        assert train.max() < held.min()
    with pytest.raises(ValueError, match="leaves nothing"):
        split_chains(rows, chains, 0.001, rng("split"))
