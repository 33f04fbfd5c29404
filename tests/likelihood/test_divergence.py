"""KL(p || q) from an exact law against closed forms and sums."""

import math

import pytest
import torch

from ebmphys.energies import RBM, DeepBoltzmannMachine, Ising, ferromagnet
from ebmphys.exact.enumeration import log_weights, states
from ebmphys.generators import VAE
from ebmphys.lattice import Lattice
from ebmphys.likelihood import kl_decomposition, kl_to_exact, log_likelihood, log_partition, marginal
from ebmphys.likelihood.estimate import LogPartition
from ebmphys.units import Bit, Gaussian
from tests.likelihood.builders import BETA_C, rbm, rng, vae
from tests.machines import with_random_parameters
from tests.samplers.laws import exact_draws


def test_divergence_of_a_uniform_model_is_the_missing_entropy():
    """KL(p || uniform) = N log 2 - S, S = 4.482720 on the critical 4 x 4 lattice."""
    ising = ferromagnet((4, 4), device="cpu")
    expected = 16 * math.log(2) - 4.482720
    uniform = VAE(16, (4,), 2, Bit(), rng=rng(), device="cpu")
    with torch.no_grad():
        for parameter in uniform.decoder.parameters():
            parameter.zero_()
    for model in (RBM(16, 16, device="cpu"), RBM(16, 3, Bit(), device="cpu"), uniform):
        assert kl_to_exact(ising, BETA_C, model) == pytest.approx(expected, abs=1e-6)
    assert abs(expected - kl_to_exact(ising, 1.01 * BETA_C, uniform)) > 0.01


def test_an_rbm_with_one_hidden_spin_a_bond_is_the_ising_model():
    """cosh(2w) = exp(2 beta J) makes sum_h exp(w h (s + s')) proportional to exp(beta J s s')."""
    ising, beta = ferromagnet((3, 4), device="cpu"), 0.42
    model = RBM(12, ising.graph.n_bonds, device="cpu")
    with torch.no_grad():
        for bond, sites in enumerate(ising.graph.bonds):
            model.weights[sites, bond] = 0.5 * math.acosh(math.exp(2 * beta))
    assert kl_to_exact(ising, beta, model) == pytest.approx(0, abs=1e-6)
    weights = log_weights(ising, 0.43)
    energy = float((torch.softmax(weights, 0) * weights).sum()) / -0.43
    known = (beta - 0.43) * energy + log_partition(ising, beta) - log_partition(ising, 0.43)
    assert known > 1e-4
    assert kl_to_exact(ising, 0.43, model) == pytest.approx(known, rel=1e-3)


def test_divergence_from_a_vae_is_the_sum_over_states_and_never_negative():
    ising, model = ferromagnet((3, 3), device="cpu"), vae()
    log_p = log_likelihood(ising, states((-1.0, 1.0), 9), 0.4)
    expected = float((log_p.exp() * (log_p - marginal(model, states((-1.0, 1.0), 9)))).sum())
    assert kl_to_exact(ising, 0.4, model) == pytest.approx(expected, abs=1e-4)


def test_divergence_of_a_deep_machine_is_the_sum_over_states():
    ising = ferromagnet((2, 3), device="cpu")
    machine = with_random_parameters(DeepBoltzmannMachine(6, (3, 3), Bit(), device="cpu"), "deep")
    log_q = -machine.double().free_energy(states((0.0, 1.0), 6, dtype=torch.float64)).detach()
    log_q = log_q - torch.logsumexp(log_q, 0)
    log_p = log_likelihood(ising, states((-1.0, 1.0), 6), 0.4)
    assert kl_to_exact(ising, 0.4, machine) == pytest.approx(float((log_p.exp() * (log_p - log_q)).sum()), abs=1e-9)


def test_the_decomposition_covers_the_divergence_and_its_terms():
    """Over 100 sets of data the total, the entropy and the cross-entropy scatter about the exact values by their error;
    a log Z off by one error of itself shifts the total, and must be seen."""
    ising, model, beta = Ising(Lattice((3, 3)), 1.0, 0.3, device="cpu"), rbm(9, 4, Bit(), scale=1.0), 0.3
    kl, log_p = kl_to_exact(ising, beta, model), log_likelihood(ising, states((-1.0, 1.0), 9), beta)
    entropy = -float((log_p.exp() * log_p).sum())
    data = exact_draws(ising, beta, 100 * 400, 3).reshape(100, 400, 9)
    runs = [kl_decomposition(ising, beta, model, v) for v in data]
    for name, exact in (("total", kl), ("entropy", entropy), ("cross_entropy", kl + entropy)):
        found = [getattr(run, name) for run in runs]
        z = torch.tensor([(one.value - exact) / one.error for one in found])
        assert abs(z.mean()) < 4 / 10 and 0.75 < z.std() < 1.3
    wrong = torch.tensor([(run.total.value + 3 * run.total.error - kl) / run.total.error for run in runs])
    assert wrong.mean() > 4 / 10


def test_the_terms_add_up_and_errors_of_log_z_are_passed_on():
    ising, model = ferromagnet((3, 3), device="cpu"), Ising(Lattice((3, 3)), 0.25, device="cpu")
    v = exact_draws(ising, 0.3, 1200, 4)
    own = LogPartition(log_partition(model) + 0.5, 0.4, 3.0, 100, "few chains")
    exact, given = kl_decomposition(ising, 0.3, model, v), kl_decomposition(ising, 0.3, model, v, own)
    for run in (exact, given):
        parts = -run.log_z_target.value - run.energy.value + run.free_energy.value + run.log_z_model.value
        assert run.total.value == pytest.approx(parts, abs=1e-9)
        assert run.total.value == pytest.approx(run.cross_entropy.value - run.entropy.value, abs=1e-9)
    assert given.total.value == pytest.approx(exact.total.value + 0.5, abs=1e-9)
    assert given.total.error == pytest.approx(math.hypot(exact.total.error, 0.4))
    assert "few chains" in given.total.warning and "few chains" not in given.entropy.warning
    # Energy and free energy rise together: the error of their difference is the smaller for it.
    assert exact.total.error == pytest.approx(abs(exact.energy.error - exact.free_energy.error), rel=1e-4)
    chains = kl_decomposition(ising, 0.3, model, v.reshape(30, 40, 9))
    assert chains.total.value == pytest.approx(exact.total.value)
    assert "chain means" in chains.total.method and "independent" in exact.total.method


def test_bad_input_is_refused():
    ising = ferromagnet((3, 3), device="cpu")
    with pytest.raises(ValueError, match="the model 8"):
        kl_to_exact(ising, 0.4, rbm(8, 2))
    with pytest.raises(ValueError, match="two-valued"):
        kl_to_exact(ising, 0.4, vae(unit=Gaussian()))
    with pytest.raises(ValueError, match="data are"):
        kl_decomposition(ising, 0.4, rbm(9, 2), torch.ones(9))
    broken = vae()
    with torch.no_grad():
        broken.decoder[0].bias[0] = math.nan
    with pytest.raises(ValueError, match="not a number"):
        kl_to_exact(ising, 0.4, broken)
