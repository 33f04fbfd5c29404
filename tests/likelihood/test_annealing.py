"""Annealed importance sampling against exact values."""

import math

import numpy as np
import pytest
import torch

from ebmphys.energies import RBM, ferromagnet
from ebmphys.exact.enumeration import states
from ebmphys.likelihood import ais, clamped_ais, log_partition
from ebmphys.likelihood.annealing import forward_weights
from ebmphys.likelihood.estimate import log_mean_weight
from ebmphys.likelihood.path import Path
from ebmphys.units import Bit, Gaussian, Potts, Spin
from tests.likelihood.builders import brute_force, rbm, rng
from tests.machines import more_machines
from tests.models import continuous_models, multivalued_models, small_models

AIS_CASES = {
    "bits": (lambda: rbm(12, 6, Bit(), Bit(), scale=6.0), 1.0),
    "spins": (lambda: rbm(10, 6, Spin(), Spin(), scale=1.5), 0.8),
    "gaussian": (lambda: rbm(8, 6, Gaussian(0.9), Bit(), scale=1.0), 1.0),
    "lattice": (lambda: ferromagnet((4, 4), device="cpu"), 0.3),
}

EVERY_MODEL = small_models() | more_machines() | multivalued_models() | continuous_models()


@pytest.mark.parametrize("based", [False, True])
@pytest.mark.parametrize("case", AIS_CASES)
def test_ais_is_within_its_error_of_log_z(case, based):
    """Over 24 seeds z should scatter by 1 about 0, and a log Z off by 1 % of beta must be seen."""
    build, beta = AIS_CASES[case]
    model = build()
    exact = log_partition(model, beta)
    base = 0.4 * torch.randn(model.n_visible, generator=rng("base")) if based else None
    options = {"steps": 60, "chains": 100, "base": base}
    runs = [ais(model, beta, rng=rng("ais", seed), **options) for seed in range(24)]
    error = np.array([run.error for run in runs])
    value = np.array([run.value for run in runs])
    z = (value - exact) / error
    assert abs(z.mean()) < 4 / math.sqrt(24)
    assert 0.6 < z.std(ddof=1) < 1.5
    wrong = (value - log_partition(model, 1.03 * beta)) / error
    assert abs(wrong.mean()) > 4 / math.sqrt(24)
    assert all(run.warning == "" and 10 < run.effective_sample_size <= 100 for run in runs)


def test_ais_says_when_it_cannot_be_trusted():
    model = rbm(40, 16, scale=12.0)
    hasty = ais(model, rng=rng("hasty"), steps=3, chains=200)
    assert "more steps" in hasty.warning and hasty.effective_sample_size < 20
    assert hasty.value < log_partition(model)
    patient = ais(rbm(40, 16, scale=3.0), rng=rng("patient"), steps=400, chains=200)
    assert patient.warning == ""
    assert abs(patient.value - log_partition(rbm(40, 16, scale=3.0))) < 4 * patient.error < 0.5


def test_ais_of_independent_units_is_exact():
    """From the model's own base the path never moves, so every weight is Z."""
    model = rbm(7, 4, scale=0.0)
    with torch.no_grad():
        model.hidden_bias.zero_()
    run = ais(model, rng=rng("own"), steps=5, chains=10, base=model.visible_bias.detach())
    assert run.value == pytest.approx(log_partition(model), abs=1e-9)
    assert run.error == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", EVERY_MODEL)
def test_ais_of_every_model_is_within_its_error_of_the_sum_over_states(name):
    """Over 25 groups of 100 chains z scatters by 1 about 0; a log Z at twice the beta must be seen."""
    model, beta = EVERY_MODEL[name].requires_grad_(False), 0.4
    discrete = all(unit.values for unit in model.units.values())
    exact = brute_force if discrete else log_partition
    path = Path(model, beta, None, rng(name))
    log_weights = forward_weights(path, 25 * 100, 20).reshape(25, 100)
    value, error, _ = (column.numpy() for column in log_mean_weight(log_weights))
    z = (value + path.log_base - exact(model, beta)) / error
    assert abs(z.mean()) < 4 / 5 and 0.5 < z.std(ddof=1) < 1.6
    wrong = (value + path.log_base - exact(model, 2 * beta)) / error
    assert abs(wrong.mean()) > 8 / 5


@pytest.mark.parametrize("name", ["rbm potts-spin", "rbm gaussian-spin", "rbm relu-spin", "bm complete", "dbm"])
def test_any_normalisable_base_gives_the_same_log_z(name):
    model, beta = EVERY_MODEL[name].requires_grad_(False), 0.9
    shape = (model.n_visible,) if model.visible_unit.n_statistics == 1 else (model.n_visible, 3)
    base = torch.randn(shape, generator=rng("base"))
    run = ais(model, beta, rng=rng(name), steps=150, chains=400, base=base)
    exact = log_partition(model, beta) if name != "bm complete" else brute_force(model, beta)
    assert abs(run.value - exact) < 4 * run.error < 0.3
    with pytest.raises(ValueError, match="base needs"):
        ais(model, beta, rng=rng(), base=torch.zeros(model.n_visible, 5))


def test_the_base_of_potts_units_counts_each_state():
    """Without couplings the path is the model's own law wherever the base is: log Z to rounding."""
    model = RBM(2, 2, Potts(3), Potts(4), device="cpu")
    run = ais(model, rng=rng("potts"), steps=3, chains=4, base=None)
    assert run.value == pytest.approx(2 * math.log(3) + 2 * math.log(4), abs=1e-9)


@pytest.mark.parametrize("name", ["dbm", "dbm mixed", "bm coupled hidden", "bm coupled hidden bits", "rbm spin-bit"])
def test_the_sum_over_hidden_units_of_given_data(name):
    """z of every visible configuration; data that belong to another one must be seen."""
    model, beta = EVERY_MODEL[name].requires_grad_(False), 0.8
    v = states(model.visible_unit.values, model.n_visible)[::2]
    value, error = clamped_ais(model, v.reshape(-1, 2, model.n_visible), beta, rng=rng(name), steps=20, chains=200)
    exact = -beta * model.free_energy(v, beta).double().reshape(-1, 2)
    z = (value - exact) / error
    assert z.shape == (len(v) // 2, 2) and z.abs().max() < 4.5 and 0.4 < z.std() < 1.7
    assert ((value - exact.flip(1)) / error).abs().max() > 10


def test_a_mean_weight_has_the_error_of_a_mean():
    weights = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    value, error, effective = map(float, log_mean_weight(weights.log()))
    assert value == pytest.approx(math.log(7 / 3)) and effective == pytest.approx(49 / 21)
    assert error == pytest.approx(float(weights.std()) / math.sqrt(3) / (7 / 3))


def test_bad_input_is_refused():
    ising = ferromagnet((3, 3), device="cpu")
    with pytest.raises(ValueError, match="steps"):
        ais(ising, 0.4, rng=rng(), steps=0)
    with pytest.raises(ValueError, match="one field a visible site"):
        ais(ising, 0.4, rng=rng(), base=torch.zeros(4))
    with pytest.raises(ValueError, match="beta must be finite"):
        ais(ising, -0.4, rng=rng())
    with pytest.raises(ValueError, match="9 visible sites, got configurations of 4"):
        clamped_ais(ising, torch.ones(2, 4), rng=rng())
    broken = rbm(4, 3)
    broken.weights[0, 0] = math.nan
    with pytest.raises(ValueError, match="not a number"):
        ais(broken, rng=rng(), steps=2)
