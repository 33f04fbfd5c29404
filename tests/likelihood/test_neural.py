"""Neural importance sampling on systems that are summed exactly: no bias, error bars that cover, warnings that come."""

import math

import numpy as np
import pytest
import torch

from ebmphys.energies import Ising, ferromagnet
from ebmphys.exact import Strip, expectation, joint_law, log_partition
from ebmphys.exact.enumeration import log_weights
from ebmphys.generators import VAE, BernoulliMixture, TractableModel
from ebmphys.lattice import Lattice
from ebmphys.likelihood import NeuralEstimate, neural_importance_sampling, visible_law
from ebmphys.observables import binder_cumulant, energy_per_site, magnetization, specific_heat, susceptibility
from ebmphys.units import Bit, Gaussian
from tests.likelihood.builders import BETA_C, rbm, rng

TARGET = Ising(Lattice((3, 3)), 1.0, 0.1, device="cpu")
BETA = 0.25


def mixture(n=9, unit=None):
    """An ordered, a disordered and a random component: near enough to the law for a share of about a half."""
    model = BernoulliMixture(n, 3, unit, even=True, device="cpu")
    with torch.no_grad():
        model.log_weights.copy_(torch.tensor([0.5, 0.3, 0.2]).log())
        model.log_odds.copy_(torch.tensor([1.8, 0.5, 0.0])[:, None] + 0.2 * torch.randn(3, n, generator=rng("odds")))
    return model


class Misjudged(TractableModel):
    """A model that states log q wrongly: all of it, or the part that depends on v, too large by a share."""

    def __init__(self, model, share):
        super().__init__()
        self.model, self.share, self.n_visible = model, share, model.n_visible

    @property
    def visible_unit(self):
        return self.model.visible_unit

    @property
    def config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        raise NotImplementedError

    def draw(self, n, rng):
        return self.model.draw(n, rng)

    def log_prob(self, v):
        return (1 + self.share) * self.model.log_prob(v)


def exact_values(target, beta):
    def average(f):
        return float(expectation(target, beta, lambda v: f(v.double())))

    n, m = target.n_sites, magnetization
    energy = Ising(target.graph, target.couplings, target.fields, device="cpu").double()
    e, e2 = (average(lambda v, power=power: energy_per_site(v, energy) ** power) for power in (1, 2))
    abs_m, m2, m4 = average(lambda v: m(v).abs()), average(lambda v: m(v) ** 2), average(lambda v: m(v) ** 4)
    return {
        "energy_per_site": e,
        "abs_magnetization": abs_m,
        "magnetization_squared": m2,
        "magnetization_fourth": m4,
        "specific_heat": specific_heat(e, e2, beta, n),
        "susceptibility": susceptibility(abs_m, m2, beta, n),
        "binder_cumulant": 1 - m4 / (3 * m2**2),
    }


ESTIMATES = {
    "energy_per_site": lambda run: run.mean("energy_per_site"),
    "specific_heat": lambda run: run.of(
        lambda e, e2: specific_heat(e, e2, BETA, 9), "energy_per_site", run.series["energy_per_site"] ** 2
    ),
    "binder_cumulant": lambda run: run.of(
        binder_cumulant, run.series["magnetization"] ** 2, run.series["magnetization"] ** 4
    ),
}


def pulls(model, repeats=200, draws=400):
    """(estimate - exact) / error of log Z and of some averages; name -> (repeats,)."""
    log_z, exact = log_partition(TARGET, BETA), exact_values(TARGET, BETA)
    found = {name: [] for name in ("log_z", *ESTIMATES)}
    for number in range(repeats):
        run = neural_importance_sampling(model, TARGET, BETA, draws, rng("repeat", number))
        found["log_z"].append((run.log_partition.value - log_z) / run.log_partition.error)
        for name, of in ESTIMATES.items():
            estimate = of(run)
            found[name].append((estimate.value - exact[name]) / estimate.error)
    return {name: np.array(values) for name, values in found.items()}


def test_error_bars_cover_what_they_should():
    for name, z in pulls(mixture()).items():
        assert abs(z.mean()) < 4 / math.sqrt(200), name
        assert 0.6 < (np.abs(z) < 1).mean() < 0.8 and 0.85 < z.std() < 1.2, name


@pytest.mark.parametrize("share", [0.05, -0.05])
def test_weights_that_are_wrong_are_caught(share):
    """The control of the test above."""
    wrong = pulls(Misjudged(mixture(), share), 40)
    assert abs(wrong["log_z"].mean()) > 1
    assert abs(wrong["energy_per_site"].mean()) > 0.7


def test_the_mean_weight_is_z_without_bias_and_the_share_is_what_the_law_says():
    model = mixture()
    run = neural_importance_sampling(model, TARGET, BETA, 200_000, rng("many"))
    log_q, log_w = visible_law(model), log_weights(TARGET, BETA) - visible_law(model)
    log_z = log_partition(TARGET, BETA)
    variance = float((log_q + 2 * log_w).logsumexp(0).exp()) / math.exp(2 * log_z) - 1
    assert run.share == pytest.approx(1 / (1 + variance), rel=0.02)
    assert run.log_partition.error == pytest.approx(math.sqrt(variance / 200_000), rel=0.03)
    assert abs(run.log_partition.value - log_z) < 4 * run.log_partition.error and run.warning == ""


def test_a_model_that_is_the_law_has_no_error():
    target = Ising(Lattice((3, 3)), 0.0, 0.7, device="cpu")
    model = BernoulliMixture(9, 1, device="cpu").double()
    with torch.no_grad():
        model.log_odds.fill_(2 * 0.5 * 0.7)
    run = neural_importance_sampling(model, target, 0.5, 500, rng())
    assert run.log_partition.value == pytest.approx(log_partition(target, 0.5), abs=1e-6)
    assert run.log_partition.error < 1e-6 and run.share == pytest.approx(1)
    plain = run.mean("magnetization")
    assert plain.value == pytest.approx(run.series["magnetization"].mean())
    assert plain.error == pytest.approx(run.series["magnetization"].std(ddof=1) / math.sqrt(500), rel=1e-3)


def test_the_4x4_lattice_at_tc():
    target = ferromagnet((4, 4), device="cpu")
    model = mixture(16)
    run = neural_importance_sampling(model, target, BETA_C, 200_000, rng("4x4"))
    exact = joint_law(Strip.uniform((4, 4))).averages(BETA_C)
    assert abs(run.log_partition.value - exact["log_partition"]) < 4 * run.log_partition.error < 0.1
    for name, estimate in run.summary().items():
        if name in exact:
            assert abs(estimate.value - exact[name]) < 4 * estimate.error, name


def test_draws_in_parts_give_the_same(monkeypatch):
    whole = neural_importance_sampling(mixture(), TARGET, BETA, 1000, rng("parts"), {"x": lambda v: v})
    assert whole.series["x"].shape == (1000, 9)
    model, rows = mixture(), iter(torch.from_numpy(whole.series["x"]).float())
    monkeypatch.setattr(model, "draw", lambda n, rng: torch.stack([next(rows) for _ in range(n)]))
    monkeypatch.setattr("ebmphys.likelihood.neural._ROWS", 300)
    parts = neural_importance_sampling(model, TARGET, BETA, 1000, rng(), {"x": lambda v: v})
    np.testing.assert_allclose(parts.log_weights, whole.log_weights, atol=1e-6)
    np.testing.assert_array_equal(parts.series["x"], whole.series["x"])
    means = parts.mean("x")
    assert means.value.shape == means.error.shape == (9,)


def test_bits_may_stand_for_spins_and_hidden_sites_are_summed_out():
    spins, bits = mixture(), mixture(unit=Bit())
    one, other = (neural_importance_sampling(model, TARGET, BETA, 500, rng("bits")) for model in (spins, bits))
    np.testing.assert_allclose(one.log_weights, other.log_weights, atol=1e-5)
    machine = rbm(9, 4, Bit(), scale=1.0)
    run = neural_importance_sampling(bits, machine, 0.8, 20_000, rng("rbm"))
    assert abs(run.log_partition.value - log_partition(machine, 0.8)) < 4 * run.log_partition.error < 0.1
    assert run.series == {}


def test_few_draws_that_carry_the_weight_are_told_of():
    cold = neural_importance_sampling(mixture(), TARGET, 2.0, 10_000, rng("cold"))
    assert cold.share < 0.1 and "draws carry the weight" in cold.warning
    assert cold.warning in cold.mean("magnetization").warning
    few = neural_importance_sampling(mixture(), TARGET, 0.1, 50, rng("few"))
    assert few.share > 0.5 and "of 50 draws" in few.warning
    assert isinstance(few, NeuralEstimate)
    assert neural_importance_sampling(mixture(), TARGET, 0.1, 500, rng("few")).warning == ""


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="2 or more draws"):
        neural_importance_sampling(mixture(), TARGET, BETA, 1, rng())
    with pytest.raises(ValueError, match="9 visible sites and the model 8"):
        neural_importance_sampling(mixture(8), TARGET, BETA, 100, rng())
    with pytest.raises(ValueError, match="target has a gaussian"):
        neural_importance_sampling(mixture(5), rbm(5, 3, Gaussian()), BETA, 100, rng())
    with pytest.raises(ValueError, match="not negative"):
        neural_importance_sampling(mixture(), TARGET, -1.0, 100, rng())
    broken = mixture()
    with torch.no_grad():
        broken.log_weights[0] = math.nan
    with pytest.raises((ValueError, RuntimeError)):
        neural_importance_sampling(broken, TARGET, BETA, 100, rng())


def test_a_model_without_an_exact_law_is_refused():
    with pytest.raises(ValueError, match="need log q of each draw, which is not known of a VAE"):
        neural_importance_sampling(VAE(4, (3,), 1, device="cpu"), ferromagnet((2, 2), device="cpu"), 0.4, 10, rng("x"))
