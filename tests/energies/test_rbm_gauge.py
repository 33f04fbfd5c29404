"""Changes of gauge and of variables leave every probability as it was, and do change the parameters."""

import pytest
import torch

from ebmphys.energies import RBM, as_bits, as_spins, zero_sum_gauge
from ebmphys.rng import generator
from ebmphys.units import Bit, Gaussian, Potts, Spin
from tests.models import random_rbm
from tests.samplers.laws import all_states, law


def machine(visible, hidden, **options) -> RBM:
    return random_rbm(3, 3, visible, hidden, generator(21, visible.name, hidden.name, device="cpu"), **options)


def assert_same_law(one, other):
    # all_states lists the values in ascending order, so that bits and spins correspond
    torch.testing.assert_close(torch.from_numpy(law(one, 1.0)), torch.from_numpy(law(other, 1.0)), atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize(
    ("visible", "hidden"), [(Potts(3), Spin()), (Bit(), Potts(3)), (Potts(3), Potts(3)), (Spin(), Bit())]
)
def test_the_zero_sum_gauge_keeps_the_law(visible, hidden):
    rbm = machine(visible, hidden)
    gauged = zero_sum_gauge(rbm)
    assert_same_law(rbm, gauged)
    m, other = visible.n_statistics, hidden.n_statistics
    weights = gauged.weights.detach().reshape(3, m, 3, other)
    if m > 1:
        assert weights.sum(1).abs().max() < 1e-5
        assert gauged.visible_bias.detach().reshape(3, m).sum(1).abs().max() < 1e-5
    if other > 1:
        assert weights.sum(3).abs().max() < 1e-5
        assert gauged.hidden_bias.detach().reshape(3, other).sum(1).abs().max() < 1e-5
    if m == other == 1:
        assert torch.equal(gauged.weights, rbm.weights) and torch.equal(gauged.visible_bias, rbm.visible_bias)
    again = zero_sum_gauge(gauged)
    torch.testing.assert_close(again.weights, gauged.weights, atol=1e-6, rtol=0)
    torch.testing.assert_close(again.visible_bias, gauged.visible_bias, atol=1e-6, rtol=0)


def test_any_gauge_leads_to_the_same_zero_sum_gauge():
    """A random gauge transformation, law intact, is undone."""
    rbm = machine(Potts(3), Spin())
    other = machine(Potts(3), Spin())
    shift = torch.randn(3, 1, 3, generator=generator(1, device="cpu"))
    with torch.no_grad():
        other.weights += shift.expand(3, 3, 3).reshape(9, 3)
        other.hidden_bias -= shift.sum((0, 1))
    assert_same_law(rbm, other)
    torch.testing.assert_close(zero_sum_gauge(other).weights, zero_sum_gauge(rbm).weights, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(zero_sum_gauge(other).hidden_bias, zero_sum_gauge(rbm).hidden_bias, atol=1e-5, rtol=1e-5)


def test_centring_the_weights_alone_would_change_the_law():
    rbm, broken = machine(Potts(3), Spin()), machine(Potts(3), Spin())
    with torch.no_grad():
        weights = broken.weights.view(3, 3, 3)
        weights -= weights.mean(1, keepdim=True)
    with pytest.raises(AssertionError):
        assert_same_law(rbm, broken)


@pytest.mark.parametrize(
    ("visible", "hidden"), [(Bit(), Bit()), (Bit(), Spin()), (Spin(), Bit()), (Bit(), Potts(3)), (Potts(3), Bit())]
)
def test_bits_as_spins_keep_the_law(visible, hidden):
    rbm = machine(visible, hidden)
    spins = as_spins(rbm)
    expected = [Spin() if unit == Bit() else unit for unit in (visible, hidden)]
    assert [spins.visible, spins.hidden] == expected
    assert spins.config["visible"] == ({"unit": "spin"} if visible == Bit() else rbm.config["visible"])
    assert_same_law(rbm, spins)


@pytest.mark.parametrize(("visible", "hidden"), [(Spin(), Spin()), (Bit(), Spin()), (Spin(), Potts(3))])
def test_spins_as_bits_keep_the_law(visible, hidden):
    rbm = machine(visible, hidden)
    bits = as_bits(rbm)
    assert Spin() not in (bits.visible, bits.hidden)
    assert_same_law(rbm, bits)


def test_there_and_back_gives_the_parameters_back():
    rbm = machine(Bit(), Bit())
    back = as_bits(as_spins(rbm))
    for name, own in rbm.state_dict().items():
        torch.testing.assert_close(back.state_dict()[name], own)


def test_real_units_beside_bits_stay_as_they_are():
    rbm = machine(Gaussian(), Bit(), learn_sigma=True)
    spins = as_spins(rbm)
    v = torch.randn(40, 3, generator=generator(2, device="cpu"))
    shift = spins.free_energy(v) - rbm.free_energy(v)
    torch.testing.assert_close(shift, shift[:1].expand(40), atol=1e-5, rtol=0)
    assert torch.equal(spins.visible_log_precision, rbm.visible_log_precision)


def test_a_machine_without_biases_gets_the_ones_it_needs():
    rbm = RBM(3, 3, Bit(), Spin(), biases=False, rng=generator(1, device="cpu"), scale=2.0, device="cpu")
    spins = as_spins(rbm)
    assert spins.biases and spins.hidden_bias.requires_grad
    assert_same_law(rbm, spins)
    assert len(all_states(rbm)) == 64
