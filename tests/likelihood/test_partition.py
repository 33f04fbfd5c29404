"""log Z and log p(v) by sums and closed forms, against brute force."""

import math

import pytest
import torch

from ebmphys.energies import DeepBoltzmannMachine, Ising, ferromagnet
from ebmphys.exact.enumeration import log_partition as visible_sum
from ebmphys.exact.enumeration import states
from ebmphys.generators import MADE
from ebmphys.lattice import Lattice
from ebmphys.likelihood import log_likelihood, log_partition
from ebmphys.units import Bit, Gaussian, Potts, Spin
from tests.likelihood.builders import BETA_C, brute_force, pairs_of, rbm
from tests.machines import with_random_parameters
from tests.models import multivalued_models, small_models
from tests.samplers.laws import all_states


@pytest.mark.parametrize(("visible", "hidden"), pairs_of((Spin(), Bit())))
@pytest.mark.parametrize(("n", "m"), [(6, 3), (3, 6)])
@pytest.mark.parametrize("beta", [0.7, 1.0])
def test_log_partition_is_the_sum_over_all_states_from_either_side(visible, hidden, n, m, beta):
    model = rbm(n, m, visible, hidden)
    expected = brute_force(model, beta)
    assert log_partition(model, beta) == pytest.approx(expected, abs=1e-5)
    assert visible_sum(model, beta) == pytest.approx(expected, abs=1e-5)
    assert abs(brute_force(model, 1.01 * beta) - expected) > 1e-3


def test_log_partition_takes_the_smaller_side_of_a_large_machine():
    wide, tall = rbm(200, 8), rbm(8, 200)
    with torch.no_grad():
        tall.weights.copy_(wide.weights.T)
        tall.visible_bias.copy_(wide.hidden_bias)
        tall.hidden_bias.copy_(wide.visible_bias)
    assert log_partition(wide) == pytest.approx(log_partition(tall), rel=1e-12)


@pytest.mark.parametrize("beta", [0.8, 1.0])
def test_log_partition_with_gaussian_visible_units_is_the_integral(beta):
    model = rbm(2, 4, Gaussian(0.8), Bit(), scale=1.0)
    axis = torch.arange(-12, 12.001, 0.05, dtype=torch.float64)
    v = torch.cartesian_prod(axis, axis)
    integral = float(torch.logsumexp(-beta * model.double().free_energy(v, beta), 0)) + 2 * math.log(0.05)
    assert log_partition(model.float(), beta) == pytest.approx(integral, abs=1e-6)


def test_log_partition_of_large_lattices_is_the_closed_form():
    assert log_partition(ferromagnet((32, 32), device="cpu"), 0.4) / 1024 == pytest.approx(0.879373347425, abs=1e-11)
    assert log_partition(ferromagnet((4, 4), device="cpu"), BETA_C) / 16 == pytest.approx(0.970119716172, abs=1e-11)
    with pytest.raises(ValueError, match="estimate it by ais"):
        log_partition(rbm(30, 30))
    with pytest.raises(ValueError, match="estimate it by ais"):
        log_partition(Ising(Lattice((6, 6, 6)), device="cpu"))


def test_log_likelihood_of_an_energy_is_normalised():
    for model, beta in ((rbm(6, 4, Bit(), Spin()), 1.0), (rbm(6, 4), 0.6), (ferromagnet((2, 3), device="cpu"), 0.4)):
        v = states(model.visible_unit.values, 6)
        assert float(torch.logsumexp(log_likelihood(model, v, beta), 0)) == pytest.approx(0, abs=1e-9)
        shifted = log_likelihood(model, v.reshape(8, 8, 6), beta, log_partition=log_partition(model, beta) + 1)
        torch.testing.assert_close(shifted.flatten(), log_likelihood(model, v, beta) - 1)


@pytest.mark.parametrize("units", [Spin(), Bit(), (Potts(3), Bit(), Spin()), (Gaussian(0.8), Spin(), Bit(), Spin())])
@pytest.mark.parametrize("beta", [0.7, 1.0])
def test_log_partition_of_deep_machines_is_summed_layer_by_layer(units, beta):
    layers = (3, 4) if not isinstance(units, tuple) else (3, 4, 3)[: len(units) - 1]
    machine = with_random_parameters(DeepBoltzmannMachine(2, layers, units, device="cpu"), "deep").requires_grad_(False)
    found = log_partition(machine, beta)
    if machine.visible_unit.values:
        assert found == pytest.approx(brute_force(machine, beta), abs=1e-5)
    else:
        axis = torch.arange(-12, 12.001, 0.1, dtype=torch.float64)
        v = torch.cartesian_prod(axis, axis)
        integral = float(torch.logsumexp(-beta * machine.double().free_energy(v, beta), 0)) + 2 * math.log(0.1)
        assert found == pytest.approx(integral, abs=1e-6)
    assert abs(found - log_partition(machine, 1.01 * beta)) > 1e-3


@pytest.mark.parametrize("name", small_models())
def test_log_likelihood_is_the_share_of_the_joint_states_that_show_v(name):
    model, beta = small_models()[name], 0.8
    v = states(model.visible_unit.values, model.n_visible)
    log_p = log_likelihood(model, v, beta)
    assert float(torch.logsumexp(log_p, 0)) == pytest.approx(0, abs=1e-9)
    weights = -beta * model.energy(all_states(model)).detach().double()
    joint = torch.log_softmax(weights, 0).reshape(len(v), -1).logsumexp(-1)
    torch.testing.assert_close(log_p, joint, atol=1e-5, rtol=0)


def test_log_likelihood_of_a_deep_machine_is_that_of_its_free_energy():
    machine = with_random_parameters(DeepBoltzmannMachine(5, (4, 3), (Bit(), Spin(), Spin()), device="cpu"), "deep")
    v = states((0.0, 1.0), 5)[torch.tensor([3, 0, 31, 3])]
    by_law, by_energy = log_likelihood(machine, v), log_likelihood(machine, v, log_partition=log_partition(machine))
    torch.testing.assert_close(by_law, by_energy, atol=1e-9, rtol=0)
    assert by_law[0] == by_law[3] != by_law[1]


def test_what_cannot_be_had_is_refused():
    ising, spins = ferromagnet((3, 3), device="cpu"), states((-1.0, 1.0), 9)[:5]
    with pytest.raises(ValueError, match="take the values"):
        log_likelihood(ising, (spins + 1) / 2)
    with pytest.raises(ValueError, match="has 9 visible sites"):
        log_likelihood(ising, spins[:, :8])
    with pytest.raises(ValueError, match="estimate it by ais"):
        log_partition(multivalued_models()["rbm potts-potts"])


def test_what_has_no_partition_function_is_refused():
    with pytest.raises(ValueError, match="log Z is that of an energy"):
        log_partition(MADE(4, (3,), device="cpu"))
