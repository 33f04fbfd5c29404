"""What every energy model promises, checked on all states of small ones."""

import json
import math
from copy import deepcopy
from itertools import product

import pytest
import torch

from ebmphys.energies import ENERGIES, RBM, BoltzmannMachine, DeepBoltzmannMachine, Ising, NeuralEnergy
from ebmphys.lattice import Lattice
from ebmphys.rng import generator
from ebmphys.samplers.base import random_chains
from ebmphys.units import Gaussian, Spin
from tests.machines import more_machines
from tests.models import continuous_models, multivalued_models, small_models
from tests.samplers.laws import all_states, site_values

DISCRETE = small_models() | more_machines() | multivalued_models()
CONTINUOUS = continuous_models()
EVERY = DISCRETE | CONTINUOUS


def log_odds(unit, eta):
    """log P(value) - log P(lowest value) of each higher value; (*shape[, n_parameters]) -> (*shape, values - 1)."""
    return eta[..., None] if unit.n_parameters == 1 else eta[..., 1:] - eta[..., :1]


@pytest.mark.parametrize("name", EVERY)
def test_blocks_partition_the_sites(name):
    model = EVERY[name]
    every = torch.arange(model.n_sites)
    sites = torch.cat([every[block] for block in model.blocks.values()])
    assert sorted(sites.tolist()) == every.tolist()
    assert model.blocks.keys() == model.units.keys()
    visible = torch.cat([every[model.blocks[name]] for name in model.visible_blocks])
    assert sorted(visible.tolist()) == list(range(model.n_visible))
    assert {*model.visible_blocks, *model.hidden_blocks} == {*model.blocks}


@pytest.mark.parametrize("name", DISCRETE)
def test_conditionals_are_energy_differences_on_every_state(name):
    model = DISCRETE[name]
    x = all_states(model)
    for block, where in model.blocks.items():
        sites, unit = torch.arange(model.n_sites)[where], model.units[block]
        eta = model.conditional(x, block)
        assert eta.shape == (*x.shape[:-1], len(sites), *[unit.n_parameters] * (unit.n_parameters > 1))
        for k, site in enumerate(sites):
            moved = x.expand(len(unit.values), *x.shape).clone()
            moved[:, :, site] = torch.tensor(unit.values)[:, None]
            energies = model.energy(moved)
            gained = (energies[0] - energies[1:]).T
            torch.testing.assert_close(log_odds(unit, eta)[:, k], gained, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_conditionals_of_real_units_are_energy_differences(name):
    model = CONTINUOUS[name]
    x = random_chains(model, (20,), 1.0, generator(3, device="cpu")).x
    for block, where in model.blocks.items():
        sites, unit = torch.arange(model.n_sites)[where], model.units[block]
        eta = model.conditional(x, block)
        for k, site in enumerate(sites):
            low, *others = unit.values or (0.0, 0.3, 1.0, 2.5)
            origin, moved = x.clone(), x.clone()
            origin[:, site] = low
            for value in others:
                moved[:, site] = value
                gained = eta[:, k] if unit.values else eta[:, k, 0] * value - eta[:, k, 1] * value**2 / 2
                torch.testing.assert_close(gained, model.energy(origin) - model.energy(moved), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", DISCRETE)
def test_blocks_do_not_see_themselves(name):
    model = DISCRETE[name]
    x = all_states(model)[::7]
    for block, sites in model.blocks.items():
        changed = x.clone()
        values = model.units[block].values
        changed[:, sites] = values[0] + values[-1] - changed[:, sites]
        # Not to the last bit: a matrix product may add up in another order where its input lies elsewhere in memory.
        torch.testing.assert_close(model.conditional(x, block), model.conditional(changed, block), atol=2e-6, rtol=0)


@pytest.mark.parametrize("beta", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("name", DISCRETE)
def test_free_energy_sums_the_hidden_sites_out(name, beta):
    model = DISCRETE[name]
    x = all_states(model)
    n_hidden_states = math.prod(map(len, site_values(model)[model.n_visible :]))
    weights = (-beta * model.energy(x).double()).reshape(-1, n_hidden_states)
    v = x[::n_hidden_states, : model.n_visible]
    summed = -weights.logsumexp(-1) / beta
    torch.testing.assert_close(model.free_energy(v, beta).double(), summed, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("beta", [0.6, 1.0])
@pytest.mark.parametrize("name", ["rbm spin-gaussian", "rbm spin-relu"])
def test_real_hidden_units_integrate_out(name, beta):
    model = deepcopy(CONTINUOUS[name]).double()
    v = torch.tensor(list(product((-1.0, 1.0), repeat=6)), dtype=torch.float64)
    # The integral factorises over hidden units, so do one at a time on a fine grid.
    grid = torch.linspace(0 if "relu" in name else -12, 12, 24_001, dtype=torch.float64)
    share = torch.ones_like(grid)
    share[[0, -1]] = 0.5  # the trapezoidal rule
    field = v @ model.weights + model.hidden_bias
    own = model.hidden.energy(grid)
    each = (-beta * (own - field[..., None] * grid) + share.log()).logsumexp(-1) + (grid[1] - grid[0]).log()
    expected = -(v @ model.visible_bias) - each.sum(-1) / beta
    torch.testing.assert_close(model.free_energy(v, beta), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("beta", [0.6, 1.0])
@pytest.mark.parametrize("name", ["rbm gaussian-spin", "rbm relu-spin", "rbm gaussian-spin, widths learned"])
def test_hidden_units_are_summed_out_given_real_visible_ones(name, beta):
    model = CONTINUOUS[name]
    v = random_chains(model, (30,), 1.0, generator(4, device="cpu")).x[:, None, : model.n_visible]
    hidden = torch.cartesian_prod(*[torch.tensor(model.hidden.values)] * model.n_hidden)
    x = torch.cat([v.expand(-1, len(hidden), -1), hidden.expand(len(v), -1, -1)], -1)
    summed = -(-beta * model.energy(x)).logsumexp(-1) / beta
    torch.testing.assert_close(model.free_energy(v[:, 0], beta), summed, atol=2e-5, rtol=1e-5)


def test_a_beta_for_each_configuration_broadcasts():
    model = DISCRETE["rbm spin-bit"]
    v = all_states(model)[::16, :6]
    betas = torch.linspace(0.3, 2, len(v))
    one_by_one = torch.stack([model.free_energy(row, float(beta)) for row, beta in zip(v, betas, strict=True)])
    torch.testing.assert_close(model.free_energy(v, betas), one_by_one)


@pytest.mark.parametrize("name", EVERY)
def test_a_model_is_rebuilt_from_its_configuration(name):
    model = EVERY[name]
    config = json.loads(json.dumps(model.config))
    copy = ENERGIES[config["model"]].from_config(config)
    copy.load_state_dict(model.state_dict())
    assert copy.config == model.config
    x = random_chains(model, (5, 2), 1.0, generator(1, device="cpu")).x
    assert torch.equal(copy.energy(x), model.energy(x))
    assert model.energy(x).shape == (5, 2)
    assert model.free_energy(x[..., : model.n_visible]).shape == (5, 2)


@pytest.mark.parametrize(("visible", "hidden"), [(Spin(), Spin()), (Spin(), Gaussian(0.6)), (Gaussian(0.8), Spin())])
def test_without_biases_a_machine_of_spins_has_the_z2_symmetry(visible, hidden):
    rbm = RBM(5, 4, visible, hidden, biases=False, rng=generator(1, device="cpu"), scale=2.0, device="cpu")
    v = torch.randn(50, 5, generator=generator(2, device="cpu"))
    v = v.sign() if visible == Spin() else v
    torch.testing.assert_close(rbm.free_energy(v), rbm.free_energy(-v))
    assert {name for name, p in rbm.named_parameters() if p.requires_grad} == {"weights"}
    assert not ENERGIES["rbm"].from_config(rbm.config).visible_bias.requires_grad


EVEN = {
    "even rbm": RBM(5, 4, biases=False, rng=generator(1, device="cpu"), scale=2.0, device="cpu"),
    "even rbm spin-gaussian": RBM(
        5, 4, Spin(), Gaussian(0.6), biases=False, rng=generator(1, device="cpu"), device="cpu"
    ),
    "even boltzmann": BoltzmannMachine(7, 2, biases=False, rng=generator(2, device="cpu"), scale=2.0, device="cpu"),
    "even dbm": DeepBoltzmannMachine(4, (3, 2), biases=False, rng=generator(3, device="cpu"), scale=2.0, device="cpu"),
    "even neural": NeuralEnergy(6, {"kind": "mlp", "hidden": [5]}, symmetric=True, device="cpu"),
    "even ising": Ising(Lattice((3, 4)), device="cpu"),
}


@pytest.mark.parametrize("name", EVEN | EVERY)
def test_even_machines_say_so(name):
    model = (EVEN | EVERY)[name]
    x = torch.randn(200, model.n_sites, generator=generator(4, device="cpu"))
    assert model.even or name not in EVEN
    if model.even:
        torch.testing.assert_close(model.energy(x), model.energy(-x), atol=1e-5, rtol=1e-5)
    elif "potts" not in name and not isinstance(model, NeuralEnergy):  # none is even by accident
        assert float((model.energy(x) - model.energy(-x)).detach().abs().max()) > 1e-3
