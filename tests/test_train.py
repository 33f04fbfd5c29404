"""The training loop: what it learns, that it resumes bit for bit, and that it ends as it should."""

import io
import json
import math
import time

import numpy as np
import pytest
import torch
from torch import nn

from ebmphys.checkpoint import Checkpoint, load, load_model, save
from ebmphys.energies import RBM, Ising, ferromagnet, plus_minus_couplings
from ebmphys.exact.enumeration import log_weights, visible_states
from ebmphys.generators import VAE
from ebmphys.lattice import Lattice
from ebmphys.likelihood import kl_to_exact, log_likelihood
from ebmphys.objectives import ELBO, ContrastiveDivergence
from ebmphys.rng import generator
from ebmphys.train import (
    SCHEDULES,
    GlobalFlip,
    History,
    LatticeMoves,
    Progress,
    Training,
    chain_mean,
    exact_kl,
    fit,
    free_energy_gap,
    kl_on_data,
    mean_elbo,
    mean_log_likelihood,
    split,
    split_chains,
    suited,
)
from ebmphys.train.state import Run
from ebmphys.units import Bit, Gaussian, Spin

BETA_C = 0.44068679


def rng(*path):
    return generator(5, "train", *path, device="cpu")


def exact_draws(target, beta, n, *path):
    law = torch.softmax(log_weights(target, beta), 0)
    return visible_states(target)[torch.multinomial(law, n, replacement=True, generator=rng("data", *path))]


def rbm(n_visible=9, n_hidden=9, **options):
    return RBM(n_visible, n_hidden, rng=rng("init"), device="cpu", **options)


def pcd(k=2, n_chains=200, **options):
    return ContrastiveDivergence(k, rng("chains"), n_chains=n_chains, **options)


TARGET = ferromagnet((3, 3), device="cpu")


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


class Interrupt:
    """Ctrl-C after an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def __call__(self, record):
        if record["epoch"] == self.epoch:
            raise KeyboardInterrupt


def rbm_case():
    model, objective = rbm(), pcd(n_chains=50)
    monitors = {"kl": exact_kl(TARGET, BETA_C)}
    settings = Training(epochs=6, batch_size=70, monitor_every=2, stop_on="kl")
    return model, exact_draws(TARGET, BETA_C, 500), objective, settings, monitors, [GlobalFlip(Spin())]


def vae_case():
    model = VAE(9, (8,), 2, rng=rng("vae"), device="cpu")
    data = exact_draws(TARGET, BETA_C, 500)
    settings = Training(epochs=6, batch_size=70, schedule="cosine", averaging=0.0, monitor_every=2)
    return model, data, ELBO(rng("noise")), settings, {"elbo": mean_elbo(data)}, [LatticeMoves(Lattice((3, 3)))]


def sgd_case():
    model, data, objective, _, monitors, moves = rbm_case()
    settings = Training(epochs=6, batch_size=70, optimizer="sgd", learning_rate=0.1)
    return model, data, objective, settings, monitors, moves


def run(case, path, on_epoch=None, resume=False, wrap=lambda objective: objective):
    model, data, objective, settings, monitors, moves = case()
    options = {"augment": moves, "monitors": monitors, "checkpoint": path, "resume": resume, "on_epoch": on_epoch}
    history = fit(model, data, wrap(objective), settings, rng=rng("fit"), **options)
    return model, history


def timeless(records):
    return [{name: value for name, value in record.items() if name != "seconds"} for record in records]


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one if key != "seconds")
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize("case", [rbm_case, vae_case, sgd_case])
def test_a_resumed_training_equals_the_uninterrupted_one_bit_for_bit(tmp_path, case):
    whole, history = run(case, tmp_path / "whole.pt")
    _, part = run(case, tmp_path / "part.pt", Interrupt(3))
    assert part.stopped == "interrupted" and len(part) == 3 and history.stopped == "finished"
    assert load(tmp_path / "part.pt").epoch == 3
    resumed, again = run(case, tmp_path / "part.pt", resume=True)
    assert timeless(again) == timeless(history)
    one, other = load(tmp_path / "whole.pt"), load(tmp_path / "part.pt")
    for name in Checkpoint.__dataclass_fields__:
        assert same(getattr(one, name), getattr(other, name)), name
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())
    loaded = load_model(tmp_path / "part.pt", "cpu").state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in whole.state_dict().items())


@pytest.mark.parametrize("lost", ["chains", "rng", "moments", "shuffle"])
def test_resuming_without_any_one_part_is_seen(tmp_path, lost):
    """The control of the test above: each part of the state matters to the bits."""
    whole, _ = run(rbm_case, None)
    run(rbm_case, tmp_path / "part.pt", Interrupt(3))
    part = load(tmp_path / "part.pt")
    if lost == "chains":
        part.objective["chains"] = {}
    elif lost == "rng":
        part.objective["rng"] = rng("other").get_state()
    elif lost == "shuffle":
        part.rng["fit"] = rng("other").get_state()
    else:
        part.optimizer["state"] = {}
    save(tmp_path / "part.pt", part)
    resumed, _ = run(rbm_case, tmp_path / "part.pt", resume=True)
    assert not torch.equal(whole.weights, resumed.weights)


def test_ctrl_c_inside_an_epoch_rolls_back_to_the_last_whole_one(tmp_path):
    calls = 0

    class Interrupted:
        def __init__(self, objective):
            self.objective, self.state_dict = objective, objective.state_dict
            self.load_state_dict = objective.load_state_dict

        def __call__(self, model, v):
            nonlocal calls
            calls += 1
            loss = self.objective(model, v)
            if calls == 20:  # batch 4 of the third epoch of 8, after the chains have moved
                raise KeyboardInterrupt
            return loss

    _, part = run(rbm_case, tmp_path / "part.pt", wrap=Interrupted)
    assert len(part) == 2 and part.stopped == "interrupted"
    run(rbm_case, tmp_path / "two.pt", Interrupt(2))
    one, other = load(tmp_path / "part.pt"), load(tmp_path / "two.pt")
    assert all(same(getattr(one, name), getattr(other, name)) for name in Checkpoint.__dataclass_fields__)
    resumed, _ = run(rbm_case, tmp_path / "part.pt", resume=True)
    whole, _ = run(rbm_case, None)
    assert torch.equal(resumed.weights, whole.weights)


def test_checkpoints_are_written_on_the_way(tmp_path):
    path, seen = tmp_path / "a.pt", []
    model, data, objective, _, _, _ = rbm_case()
    settings = Training(epochs=3, checkpoint_seconds=0.0)
    look = lambda record: seen.append(load(path).epoch if path.exists() else 0)  # noqa: E731
    options = {"checkpoint": path, "on_epoch": look, "provenance": {"temperature": 2.3}}
    fit(model, data, objective, settings, rng=rng("fit"), **options)
    assert seen == [0, 1, 2] and load(path).epoch == 3
    assert load(path).provenance["temperature"] == 2.3 and "torch" in load(path).provenance


def test_another_training_is_not_resumed(tmp_path):
    path = tmp_path / "a.pt"
    run(rbm_case, path, Interrupt(2))
    model, data, objective, settings, monitors, _ = rbm_case()
    options = {"rng": rng("fit"), "checkpoint": path, "resume": True, "monitors": monitors}
    with pytest.raises(ValueError, match=r"learning_rate was 0\.003 and is now 0\.1"):
        fit(model, data, objective, Training(batch_size=70, stop_on="kl", learning_rate=0.1), **options)
    with pytest.raises(ValueError, match="trained on other data"):
        fit(model, data[1:], objective, settings, **options)
    with pytest.raises(ValueError, match="of another model"):
        fit(rbm(n_hidden=3), data, objective, settings, **options)
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        fit(model, data, objective, settings, **options | {"checkpoint": tmp_path / "none.pt"})
    with pytest.raises(ValueError, match="resume needs the checkpoint"):
        fit(model, data, objective, settings, **options | {"checkpoint": None})
    save(path, Checkpoint(model.config, dict(model.state_dict()), settings=load(path).settings))
    with pytest.raises(ValueError, match="cannot resume"):
        fit(model, data, objective, settings, **options)


class Watched:
    """An objective that keeps what it is given and pulls one weight to zero."""

    def __init__(self):
        self.batches = []

    def __call__(self, model, v):
        self.batches.append(v)
        return (model.visible_bias - 1).square().sum()


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


LATTICES = [
    Lattice((4, 4)),
    Lattice((3, 5)),
    Lattice((4, 3), periodic=False),
    Lattice((3, 3), periodic=(True, False)),
    Lattice((3, 3), "triangular"),
    Lattice((2, 3), "honeycomb"),
    Lattice((2, 3, 3)),
    Lattice((7,)),
]


@pytest.mark.parametrize("lattice", LATTICES, ids=lambda lattice: f"{lattice.geometry}{lattice.shape}")
def test_lattice_moves_are_symmetries(lattice):
    x = torch.randint(0, 2, (50, lattice.n_sites), generator=rng("x")).float() * 2 - 1
    model, moves, dice = Ising(lattice, device="cpu"), LatticeMoves(lattice), rng("moves")
    glass = Ising(lattice, plus_minus_couplings(lattice, rng("J")), device="cpu")
    moved = [moves(x, dice) for _ in range(30)]
    assert all(torch.equal(model.energy(y), model.energy(x)) for y in moved)
    assert any(not torch.equal(glass.energy(y), glass.energy(x)) for y in moved)  # control: they do move


@pytest.mark.parametrize("shape, size", [((4, 4), 128), ((3, 5), 60), ((2, 3, 3), 2 * 9 * 8 // 1), ((7,), 14)])
def test_lattice_moves_are_all_translations_and_the_point_group(shape, size):
    moves, dice = LatticeMoves(Lattice(shape)), rng("group")
    found = {tuple(moves.sites(dice).tolist()) for _ in range(40 * size)}
    assert len(found) == size


def test_global_flip_turns_half_of_the_configurations():
    for unit, start in ((Spin(), 1.0), (Bit(), 1.0), (Gaussian(), 1.0)):
        v = torch.full((4000, 3), start)
        flipped = GlobalFlip(unit)(v, rng("flip"))
        assert set(flipped.unique().tolist()) == {sum(unit.values) - start, start}
        assert torch.equal(flipped.amin(1), flipped.amax(1))
        assert abs(float((flipped[:, 0] == start).double().mean()) - 0.5) < 0.04


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
    assert list(watched) == ["kl_bound"]
    exact = float((log_likelihood(target, held, BETA_C) - log_likelihood(vae, held)).mean())
    assert exact - 1e-3 < watched["kl_bound"](vae, None) < exact + 2


def test_vae_learns_and_is_watched():
    model, data = VAE(9, (16,), 2, rng=rng("vae"), device="cpu"), exact_draws(TARGET, BETA_C, 3000)
    train, held = split(data, 0.2, rng("split"))
    objective = ELBO(rng("noise"))
    monitors = suited(model, objective, held, TARGET, BETA_C)
    assert list(monitors) == ["kl", "elbo"]
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


def test_split_keeps_every_row():
    data = torch.arange(100.0)[:, None] // 2
    train, held = split(data, 0.3, rng("split"))
    assert len(held) == 30 and torch.equal(torch.cat([train, held]).sort(0).values, data)
    with pytest.raises(ValueError, match="leaves nothing"):
        split(data, 0.001, rng("split"))


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


@pytest.mark.parametrize("chains", [1, 4, 12])
def test_what_is_held_back_is_no_neighbour_in_time(chains):
    rows = torch.arange(40 * chains)[:, None].float()  # row = draw * chains + chain
    train, held = split_chains(rows, chains, 0.25, rng("split"))
    assert sorted(torch.cat([train, held]).flatten().tolist()) == rows.flatten().tolist()
    assert len(held) == 10 * chains
    if chains >= 10:
        assert not set((train % chains).flatten().tolist()) & set((held % chains).flatten().tolist())
    else:
        assert train.max() < held.min()
    with pytest.raises(ValueError, match="leaves nothing"):
        split_chains(rows, chains, 0.001, rng("split"))


def test_a_monitor_that_raises_costs_no_more_than_the_epoch_and_is_resumed_from(tmp_path):
    def broken(model, objective):
        raise ValueError("not today")

    def trained(path, monitor, resume=False):
        model, settings = rbm(), Training(epochs=7, monitor_every=3)
        history = fit(
            model,
            visible_states(TARGET),
            ContrastiveDivergence(1, rng("chains"), n_chains=20),
            settings,
            rng=rng("fit"),
            monitors={"x": monitor},
            checkpoint=path,
            resume=resume,
        )
        return model, history

    for number, (monitor, saved) in enumerate(((broken, 2), (at_epoch(7, broken), 7))):
        path = tmp_path / f"{number}.pt"
        with pytest.raises(ValueError, match="not today"):
            trained(path, monitor)
        assert len(load(path).history) == saved
        resumed, history = trained(path, lambda model, objective: 1.0, resume=True)
        whole, expected = trained(tmp_path / f"whole{number}.pt", lambda model, objective: 1.0)
        assert [record.get("x") for record in history] == [record.get("x") for record in expected]
        assert all(torch.equal(a, b) for a, b in zip(resumed.parameters(), whole.parameters(), strict=True))


def at_epoch(epoch, monitor, every=3):
    """A monitor that is fine until an epoch."""
    looks = iter([*range(every, epoch, every), epoch])
    return lambda model, objective: monitor(model, objective) if next(looks) == epoch else 1.0


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
