"""log Z from below, from above and from both, on machines of growing strength."""

import math

import numpy as np
import pytest
import torch

from ebmphys.likelihood import bracket, bridge, log_partition, reverse_ais
from ebmphys.likelihood.annealing import complete, forward_weights, reverse_weights
from ebmphys.likelihood.estimate import log_mean_weight
from ebmphys.likelihood.path import Path
from ebmphys.units import Spin
from tests.likelihood.builders import brute_force, random_machine, rng
from tests.machines import more_machines
from tests.models import continuous_models, multivalued_models, small_models
from tests.samplers.laws import exact_draws

REPEATS, CHAINS = 100, 100


def repeated(model, steps, beta=1.0, visible_only=True):
    """Weights of both directions from exact draws, (repeats, chains) each, and log Z / Z_0."""
    path = Path(model, beta, None, rng("repeated"))
    x = exact_draws(model, beta, REPEATS * CHAINS, 5)
    x = x[:, : model.n_visible] if visible_only else x
    up = forward_weights(path, REPEATS * CHAINS, steps)
    down = reverse_weights(path, complete(path, x), steps)
    exact = log_partition(model, beta) - path.log_base
    return up.reshape(REPEATS, CHAINS), down.reshape(REPEATS, CHAINS), exact


@pytest.mark.parametrize(("std", "steps"), [(0.1, 10), (0.5, 10), (1.0, 30), (2.0, 60), (4.0, 60)])
def test_the_combination_covers_log_z_wherever_it_does_not_warn(std, steps):
    """100 repeats: z scatters by 1 about 0, up to strengths where each direction by itself is lost."""
    up, down, exact = repeated(random_machine(10, 8, std), steps)
    runs = [bridge(f[None], r[None]) for f, r in zip(up, down, strict=True)]
    z = np.array([(run.value - exact) / run.error for run in runs])
    assert abs(z.mean()) < 0.4 and 0.75 < z.std() < 1.3
    assert not any(run.warning for run in runs)
    wrong = np.array([(run.value - exact - run.error) / run.error for run in runs])
    assert abs(wrong.mean()) > 0.4


def test_below_and_above_err_on_opposite_sides():
    up, down, exact = repeated(random_machine(10, 8, 2.0), 4)
    lower, upper = (log_mean_weight(up)[0] - exact).numpy(), (-log_mean_weight(down)[0] - exact).numpy()
    for bias in (-lower, upper):
        assert bias.mean() > 4 * bias.std() / math.sqrt(REPEATS)


@pytest.mark.parametrize("name", ["bm complete", "ising 3x4 field", "rbm spin-bit", "dbm", "rbm potts-spin"])
def test_both_directions_undo_each_other(name):
    """P(w up) exp(w) Z_0 = P(-w down) Z: averages of k(w) s(w - D) up and k(-w) s(D + w) down agree for any k."""
    model = (small_models() | more_machines() | multivalued_models())[name].requires_grad_(False)
    path = Path(model, 1.0, None, rng("crooks", name))
    x = exact_draws(model, 1.0, 40_000, 6)
    up, down = forward_weights(path, 40_000, 3), reverse_weights(path, complete(path, x), 3)
    difference = brute_force(model, 1.0) - path.log_base
    for k in (torch.tanh, torch.cos, lambda w: (w > 1).double()):
        left = k(up - difference) * torch.sigmoid(up - difference)
        right = k(-down - difference) * torch.sigmoid(down + difference)
        error = math.hypot(float(left.std()), float(right.std())) / 200
        assert abs(float(left.mean() - right.mean())) < 4 * error


def test_an_upper_bound_that_missed_its_tail_warns():
    """At strength 4 reverse annealing alone is off by more than 3 errors in half of the runs, and its weights
    look well; what the other direction knows tells every time."""
    model = random_machine(10, 8, 4.0)
    exact, x = log_partition(model), exact_draws(model, 1.0, 3000, 7)[:, :10]
    runs = [reverse_ais(model, rows, rng=rng(k), steps=100) for k, rows in enumerate(x.reshape(15, 200, 10))]
    off = [abs(run.value - exact) > max(3 * run.error, 0.1) for run in runs]
    assert sum(off) > 3
    assert all(run.warning for run, bad in zip(runs, off, strict=True) if bad)
    gentle = random_machine(10, 8, 0.5)
    calm = reverse_ais(gentle, exact_draws(gentle, 1.0, 200, 8)[:, :10], rng=rng("calm"), steps=100)
    assert calm.warning == "" and abs(calm.value - log_partition(gentle)) < 4 * calm.error


@pytest.mark.parametrize("std", [1.0, 2.0, 4.0])
def test_a_start_that_is_not_the_models_law_is_noticed(std):
    model = random_machine(10, 8, std)
    good = bracket(model, exact_draws(model, 1.0, 300, 9), rng=rng("good"), steps=200)
    assert good.certain and abs(good.between.value - log_partition(model)) < 4 * good.between.error
    noise = bracket(model, Path(model, 1.0, None, rng("noise")).start(300), rng=rng("bad"), steps=200)
    assert not noise.certain and "not draws of the model" in noise.verdict


def test_steps_too_few_for_any_overlap_are_said():
    model = random_machine(30, 20, 4.0)
    x = Path(model, 1.0, None, rng("start")).start(50)
    hasty = bracket(model, x, rng=rng("hasty"), steps=1)
    assert not hasty.certain and hasty.lower.warning and hasty.upper.warning


@pytest.mark.parametrize("name", ["rbm gaussian-spin", "rbm spin-gaussian", "rbm relu-spin", "rbm potts-potts"])
def test_a_bracket_of_other_units(name):
    """Chains from a long run of Gibbs sampling; of Gaussian hidden units the visible ones are start enough."""
    model = (continuous_models() | multivalued_models())[name].requires_grad_(False)
    path = Path(model, 1.0, None, rng("start", name))
    x = path.start(600)
    for _ in range(100):
        path.sweep(x, 1.0)
    start = x[:, : model.n_visible] if name != "rbm relu-spin" else x
    found = bracket(model, start, rng=rng(name), steps=60)
    exact = brute_force(model, 1.0) if name == "rbm potts-potts" else log_partition(model)
    assert found.certain
    for side in (found.lower, found.upper, found.between):
        assert abs(side.value - exact) < 4 * side.error < 0.5


def test_bad_input_is_refused():
    model, deep = random_machine(5, 4, 1.0, Spin()), more_machines()["dbm"]
    with pytest.raises(ValueError, match="of 9 or 5 sites, got 4"):
        bracket(model, torch.ones(3, 4), rng=rng())
    with pytest.raises(ValueError, match="of 9 sites, got 4"):
        bracket(deep, torch.ones(3, 4), rng=rng())
    with pytest.raises(ValueError, match="2 or more configurations"):
        bracket(model, torch.ones(1, 9), rng=rng())
    with pytest.raises(ValueError, match="1 or more steps"):
        bracket(model, torch.ones(3, 9), rng=rng(), steps=0)
