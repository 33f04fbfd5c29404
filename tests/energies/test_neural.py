"""Neural energies: what they are to first order and exactly, their symmetries, and what they refuse."""

import json

import pytest
import torch

from ebmphys.energies import NeuralEnergy
from ebmphys.energies.networks import build_network
from ebmphys.exact.enumeration import log_weights, states
from ebmphys.rng import generator
from ebmphys.units import Bit, Gaussian, Potts, Spin
from tests.machines import with_random_parameters

MLP = {"kind": "mlp", "hidden": [7, 5]}
CPU = torch.device("cpu")


def waves(*shape, kernel=3, channels=(4, 3)):
    return {"kind": "convolutional", "shape": list(shape), "channels": list(channels), "kernel": kernel}


def rng(*path):
    return generator(23, *path, device="cpu")


def test_an_mlp_by_hand():
    model = with_random_parameters(NeuralEnergy(4, {"kind": "mlp", "hidden": [3]}, device="cpu"), "hand")
    first, last = model.network[0], model.network[2]
    x = torch.randn(6, 4, generator=rng("x"))
    inner = x @ first.weight.T + first.bias
    expected = (inner / (1 + (-inner).exp())) @ last.weight[0] + last.bias
    torch.testing.assert_close(model.energy(x), expected)
    torch.testing.assert_close(model.free_energy(x, 0.3), model.energy(x))
    real = NeuralEnergy(4, {"kind": "mlp", "hidden": [3]}, Gaussian(0.5), device="cpu")
    real.load_state_dict(model.state_dict())
    torch.testing.assert_close(real.energy(x), expected + 2 * (x**2).sum(-1))


@pytest.mark.parametrize("shape", [(6,), (3, 4), (2, 3, 3), (4, 1)])
def test_a_periodic_network_is_invariant_under_translations_and_one_weight_at_a_site_is_noticed(shape):
    n = torch.Size(shape).numel()
    model = with_random_parameters(NeuralEnergy(n, waves(*shape), device="cpu"), "waves", 1.0)
    x = torch.randn(8, n, generator=rng("x")).sign()
    grid = x.reshape(8, *shape)
    energy = model.energy(x)
    for axis in range(len(shape)):
        moved = grid.roll(1, 1 + axis).reshape(8, n)
        torch.testing.assert_close(model.energy(moved), energy, atol=1e-4, rtol=1e-5)
    bias = torch.zeros(n)
    bias[0] = 0.1
    moved = grid.roll(1, 1).reshape(8, n)
    assert ((model.energy(moved) + moved @ bias) - (energy + x @ bias)).abs().max() > 0.05
    assert energy.std() > 0.1


def test_energies_of_periodic_networks_are_extensive():
    """Twice the pattern costs twice the energy: the network sums over sites."""
    small = with_random_parameters(NeuralEnergy(12, waves(3, 4), device="cpu"), "extensive")
    large = NeuralEnergy(24, waves(6, 4), device="cpu")
    large.load_state_dict(small.state_dict())
    x = torch.randn(5, 3, 4, generator=rng("x")).sign()
    twice = torch.cat([x, x], 1).flatten(1)
    torch.testing.assert_close(large.energy(twice), 2 * small.energy(x.flatten(1)), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("unit", [Spin(), Bit(), Gaussian()])
def test_symmetric_energies_are_even_and_others_are_not(unit):
    x = torch.randn(9, 5, generator=rng("x"))
    if unit.values:
        x = torch.where(x > 0, unit.values[1], unit.values[0])
    turned = sum(unit.values) - x
    for symmetric in (True, False):
        model = with_random_parameters(NeuralEnergy(5, MLP, unit, symmetric=symmetric, device="cpu"), "even", 1.5)
        same = (model.energy(turned) - model.energy(x)).abs().max() < 1e-5
        assert bool(same) is symmetric
    law = log_weights(NeuralEnergy(5, MLP, symmetric=True, rng=rng("w"), device="cpu"))
    torch.testing.assert_close(law, law.flip(0), atol=1e-6, rtol=0)


@pytest.mark.parametrize("unit", [Spin(), Bit()])
def test_energy_differences_are_those_of_single_flips(unit):
    model = with_random_parameters(NeuralEnergy(5, MLP, unit, device="cpu"), "flips", 1.0)
    x = states(unit.values, 5).reshape(4, 8, 5)
    differences = model.energy_differences(x)
    assert differences.shape == (4, 8, 5)
    for site in range(5):
        other = x.clone()
        other[..., site] = sum(unit.values) - other[..., site]
        torch.testing.assert_close(differences[..., site], model.energy(other) - model.energy(x))


@pytest.mark.parametrize("config", [MLP, waves(2, 3, channels=[5])], ids=["mlp", "waves"])
def test_configuration_and_parameters_give_the_model_back(config):
    model = NeuralEnergy(6, config, Gaussian(0.7), symmetric=True, rng=rng("w"), device="cpu")
    copy = NeuralEnergy.from_config(json.loads(json.dumps(model.config))).cpu()
    assert copy.config == model.config
    copy.load_state_dict(model.state_dict())
    x = torch.randn(3, 6, generator=rng("x"))
    assert torch.equal(copy.energy(x), model.energy(x))


def test_weights_come_from_the_generator_alone_and_have_their_scale():
    before = torch.get_rng_state()
    one, two, other = (NeuralEnergy(400, waves(20, 20, channels=[60, 60]), rng=rng(k), device="cpu") for k in "aab")
    assert torch.equal(torch.get_rng_state(), before)
    weight = one.network.layers[2].weight
    assert torch.equal(weight, two.network.layers[2].weight)
    assert not torch.equal(weight, other.network.layers[2].weight)
    assert abs(float(weight.detach().std()) / (2 / (9 * 120)) ** 0.5 - 1) < 0.03


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="two-valued or Gaussian units, got potts"):
        NeuralEnergy(4, MLP, Potts(3), device="cpu")
    for wrong in ({"kind": "transformer"}, {"kind": "mlp", "hidden": []}, {"kind": "mlp", "hidden": [0]}):
        with pytest.raises(ValueError, match="of kind mlp with hidden sizes"):
            build_network(wrong, 4, rng(), CPU)
    with pytest.raises(ValueError, match="has not 4 sites"):
        build_network(waves(2, 3), 4, rng(), CPU)
    with pytest.raises(ValueError, match="an odd side that fits"):
        build_network(waves(2, 2, kernel=2), 4, rng(), CPU)
    with pytest.raises(ValueError, match="an odd side that fits"):
        build_network(waves(2, 2, kernel=7), 4, rng(), CPU)
    with pytest.raises(ValueError, match="1, 2 or 3 sides"):
        build_network(waves(2, 2, 2, 2), 16, rng(), CPU)
    real = NeuralEnergy(3, MLP, Gaussian(), device="cpu")
    for ask in (lambda x: real.conditional(x, "0"), real.energy_differences):
        with pytest.raises(ValueError, match="use HMC or Langevin"):
            ask(torch.zeros(3))
