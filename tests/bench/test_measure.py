"""Rates and autocorrelation times of entrants whose speed and dynamics are known."""

import time

import numpy as np
import pytest
import torch

from ebmphys.bench import Budget, Entrant, Task, autocorrelation_times, compete, observed
from ebmphys.bench.machine import vector_width
from ebmphys.energies import ferromagnet

TASK = Task((4, 4), 3, 0.4, torch.device("cpu"))
BUDGET = Budget(repeats=3, seconds=0.05, tau_seconds=0.1)


class Sleeper:
    """A sampler that does nothing, for a time that is known."""

    def __init__(self, task, seconds=0.005, m=1.0):
        self.chains, self.seconds, self.m = task.chains, seconds, m
        self.steps = 0

    def advance(self, steps):
        time.sleep(self.seconds * steps)
        self.steps += steps

    def observe(self):
        return np.full(self.chains, -1.0), np.full(self.chains, self.m)


class Autoregressive:
    """Energies and magnetizations x <- rho x + sqrt(1 - rho^2) noise, whose tau is (1 + rho) / (2 (1 - rho))."""

    def __init__(self, rho_energy, rho_m, chains=64):
        self.rho = np.array([[rho_energy], [rho_m]])
        self.rng = np.random.default_rng(7)
        self.x = self.rng.normal(size=(2, chains))

    def advance(self, steps):
        for _ in range(steps):
            self.x = self.rho * self.x + np.sqrt(1 - self.rho**2) * self.rng.normal(size=self.x.shape)

    def observe(self):
        # Far from zero, so that |m| has the tau of m.
        return self.x[0].copy(), 10 + self.x[1]


def refuse(task):
    raise ValueError("cannot")


def missing(task):
    raise ImportError("no module")


def test_the_rate_of_a_known_sleep():
    slow = Entrant("slow", lambda task: Sleeper(task, 0.01), peer=True)
    fast = Entrant("fast", lambda task: Sleeper(task, 0.005))
    rows = {row.name: row for row in compete([slow, fast], TASK, BUDGET)}
    # A sleep is never short; on a machine that is busy it may be long.
    for name, seconds in (("slow", 0.01), ("fast", 0.005)):
        row, ideal = rows[name], TASK.spins / seconds / 1e9
        assert 0.3 * ideal < row.flips_per_ns.max <= ideal
        assert row.flips_per_ns.min <= row.flips_per_ns.median <= row.flips_per_ns.max
        assert row.seconds_per_step == pytest.approx(TASK.spins / row.flips_per_ns.median / 1e9)
        assert row.effective_per_second is None and row.note == "too short for tau"
    assert rows["slow"].over_peer == 1
    assert rows["fast"].over_peer == rows["fast"].flips_per_ns.median / rows["slow"].flips_per_ns.median


def test_one_cluster_a_step_counts_the_spins_it_flips():
    row = compete([Entrant("one", lambda task: Sleeper(task, m=0.5), one_cluster=True)], TASK, BUDGET)[0]
    assert row.flips_per_ns.median == pytest.approx(0.25 * TASK.spins / row.seconds_per_step / 1e9)


def test_repeats_take_turns():
    order = []

    class Noted(Sleeper):
        def __init__(self, task, name):
            super().__init__(task)
            self.name = name

        def advance(self, steps):
            super().advance(steps)
            order.append(self.name)

    compete([Entrant(name, lambda task, name=name: Noted(task, name)) for name in "ab"], TASK, BUDGET)
    assert order[-6:] == list("ababab")


def test_who_cannot_or_is_not_there_has_a_row_that_says_so():
    rows = compete([Entrant("no", refuse), Entrant("absent", missing, peer=True)], TASK, BUDGET)
    assert [(row.name, row.note, row.flips_per_ns) for row in rows] == [
        ("no", "cannot", None),
        ("absent", "not installed", None),
    ]


def test_tau_is_in_steps_whatever_the_steps_between_draws():
    # Draws are said to take long, so that many steps lie between them until tau asks for fewer.
    found = autocorrelation_times(Autoregressive(0.8, 0.98), 2e-5, 0.4)
    assert found["energy"] == pytest.approx(1.8 / 0.4, rel=0.2)
    assert found["abs_m"] == pytest.approx(1.98 / 0.04, rel=0.25)


@pytest.mark.parametrize(("rho_energy", "rho_m", "slow"), [(0.5, 0.8, "tau_abs_m"), (0.8, 0.5, "tau_energy")])
def test_effective_samples_follow_from_the_slower_tau(rho_energy, rho_m, slow):
    known = Entrant("ar", lambda task: Autoregressive(rho_energy, rho_m, 3), peer=True)
    row = compete([known], TASK, BUDGET)[0]
    slower = max(row.tau_energy, row.tau_abs_m)
    assert slower == getattr(row, slow)
    assert row.effective_per_second_per_chain == pytest.approx(1 / (2 * slower * row.seconds_per_step))
    assert row.effective_per_second == pytest.approx(3 * row.effective_per_second_per_chain)
    assert row.effective_over_peer == 1


def test_ratios_are_to_the_best_peer():
    def entrant(name, rho, **options):
        return Entrant(name, lambda task: Autoregressive(rho, 0.1, 3), **options)

    entrants = [entrant("ours", 0.3), entrant("peer", 0.6, peer=True), entrant("slower peer", 0.9, peer=True)]
    ours, peer, slower = compete(entrants, TASK, BUDGET)
    best = max(row.flips_per_ns.median for row in (peer, slower))
    for row in (ours, peer, slower):
        assert row.over_peer == pytest.approx(row.flips_per_ns.median / best)
        assert row.effective_over_peer == pytest.approx(row.effective_per_second / peer.effective_per_second)
    # As their tau: 0.93, 2 and 9.5 steps; they take as long, as far as a busy machine lets them.
    assert slower.effective_over_peer < 1 < ours.effective_over_peer


def test_a_series_that_is_too_short_gives_no_tau():
    found = autocorrelation_times(Autoregressive(0.3, 0.9999), 1e-5, 0.1)
    assert found["abs_m"] is None and found["energy"] is not None


def test_observed_is_the_model_s_energy():
    for shape in ((4, 6), (2, 3), (2, 2, 4)):
        task = Task(shape, 5, 0.4, torch.device("cpu"))
        spins = np.random.default_rng(1).choice(np.array([-1, 1], np.int8), (5, task.n_sites))
        energy, m = observed(task, spins)
        known = ferromagnet(shape, device="cpu").energy(torch.from_numpy(spins).float()).numpy()
        np.testing.assert_allclose(energy * task.n_sites, known)
        np.testing.assert_allclose(m, spins.mean(-1))


def test_the_widest_vectors_are_named():
    assert vector_width({"avx2": True, "avx512f": True}) == "avx512"
    assert vector_width({"avx2": True, "avx512f": False}) == "avx2"
    assert vector_width({}) == "none"


@pytest.mark.parametrize("wrong", [{"repeats": 0}, {"seconds": 0}, {"tau_seconds": -1}])
def test_a_budget_is_checked(wrong):
    with pytest.raises(ValueError, match="budget"):
        Budget(**wrong)


@pytest.mark.parametrize(("chains", "beta"), [(0, 0.4), (1, 0.0), (1, float("nan"))])
def test_a_task_is_checked(chains, beta):
    with pytest.raises(ValueError, match="must be"):
        Task((4, 4), chains, beta, torch.device("cpu"))
