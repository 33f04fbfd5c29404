"""What every energy model promises, checked on all states of small ones."""

import json
from itertools import product

import pytest
import torch

from ebmphys.energies import ENERGIES, RBM
from ebmphys.rng import generator
from ebmphys.units import Gaussian, Spin
from tests.models import continuous_models, small_models

MODELS = small_models()
CONTINUOUS = continuous_models()


def all_states(model) -> torch.Tensor:
    values = torch.empty(model.n_sites, 2)
    for name, sites in model.blocks.items():
        values[sites] = torch.tensor(model.units[name].values)
    bits = torch.tensor(list(product((0, 1), repeat=model.n_sites)))
    return values[torch.arange(model.n_sites), bits]


@pytest.mark.parametrize("name", MODELS | CONTINUOUS)
def test_blocks_partition_the_sites(name):
    model = (MODELS | CONTINUOUS)[name]
    every = torch.arange(model.n_sites)
    sites = torch.cat([every[block] for block in model.blocks.values()])
    assert sorted(sites.tolist()) == every.tolist()
    assert model.blocks.keys() == model.units.keys()


@pytest.mark.parametrize("name", MODELS)
def test_conditionals_are_energy_differences_on_every_state(name):
    model = MODELS[name]
    x = all_states(model)
    for block, where in model.blocks.items():
        sites = torch.arange(model.n_sites)[where]
        eta = model.conditional(x, block)
        assert eta.shape == (*x.shape[:-1], len(sites))
        low, high = model.units[block].values
        for k, site in enumerate(sites):
            up, down = x.clone(), x.clone()
            up[:, site], down[:, site] = high, low
            torch.testing.assert_close(eta[:, k], model.energy(down) - model.energy(up), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_blocks_do_not_see_themselves(name):
    model = MODELS[name]
    x = all_states(model)[::7]
    for block, sites in model.blocks.items():
        changed = x.clone()
        low, high = model.units[block].values
        changed[:, sites] = low + high - changed[:, sites]
        assert torch.equal(model.conditional(x, block), model.conditional(changed, block))


@pytest.mark.parametrize("beta", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("name", MODELS)
def test_free_energy_sums_the_hidden_sites_out(name, beta):
    model = MODELS[name]
    x = all_states(model)
    weights = (-beta * model.energy(x).double()).reshape(2**model.n_visible, -1)
    v = x[:: 2 ** (model.n_sites - model.n_visible), : model.n_visible]
    summed = -weights.logsumexp(-1) / beta
    torch.testing.assert_close(model.free_energy(v, beta).double(), summed, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("beta", [0.6, 1.0])
def test_gaussian_hidden_units_integrate_out(beta):
    model = CONTINUOUS["rbm spin-gaussian"]
    v = torch.tensor(list(product((-1.0, 1.0), repeat=6)), dtype=torch.float64)
    # The integral factorises over hidden units, so do one at a time on a fine grid.
    grid = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    model.double()
    field = v @ model.weights + model.hidden_bias
    own = model.hidden.energy(grid)
    each = (-beta * (own - field[..., None] * grid)).logsumexp(-1) + (grid[1] - grid[0]).log()
    expected = -(v @ model.visible_bias) - each.sum(-1) / beta
    torch.testing.assert_close(model.free_energy(v, beta), expected, atol=1e-8, rtol=1e-8)
    model.float()


def test_a_beta_for_each_configuration_broadcasts():
    model = MODELS["rbm spin-bit"]
    v = all_states(model)[::16, :6]
    betas = torch.linspace(0.3, 2, len(v))
    one_by_one = torch.stack([model.free_energy(row, float(beta)) for row, beta in zip(v, betas, strict=True)])
    torch.testing.assert_close(model.free_energy(v, betas), one_by_one)


@pytest.mark.parametrize("name", MODELS | CONTINUOUS)
def test_a_model_is_rebuilt_from_its_configuration(name):
    model = (MODELS | CONTINUOUS)[name]
    config = json.loads(json.dumps(model.config))
    copy = ENERGIES[config["model"]].from_config(config)
    copy.load_state_dict(model.state_dict())
    assert copy.config == model.config
    x = torch.randn(5, 2, model.n_sites, generator=torch.Generator().manual_seed(1)).sign()
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
