"""Deep Boltzmann machines against sums over all their states, their exact visible law, and their pretraining."""

import math
from itertools import pairwise

import pytest
import torch

from ebmphys.energies import RBM, DeepBoltzmannMachine, pretraining_machine, stacked
from ebmphys.exact.enumeration import log_weights, states
from ebmphys.likelihood.products import mixture_of_products, visible_law
from ebmphys.rng import generator
from ebmphys.samplers import BlockGibbs, Chains, mean_field
from ebmphys.units import Bit, Gaussian, Potts, Spin
from tests.machines import more_machines, with_random_parameters
from tests.samplers.laws import all_states, exact_draws, p_value

DEEP = {name: model for name, model in more_machines().items() if not model.sums_out_hidden}
DRAWS = 50_000


def rng(*path):
    return generator(22, *path, device="cpu")


def summed_law(model, beta):
    """log p(v) by summing exp(-beta E) over the states of all other sites."""
    log_p = (-beta * model.energy(all_states(model)).detach().double()).reshape(2**model.n_visible, -1).logsumexp(-1)
    return log_p.log_softmax(0)


def test_one_hidden_layer_is_an_rbm():
    deep = with_random_parameters(DeepBoltzmannMachine(5, (4,), (Spin(), Bit()), device="cpu"), "rbm")
    rbm = RBM(5, 4, Spin(), Bit(), device="cpu")
    with torch.no_grad():
        rbm.weights.copy_(deep.weights[0])
        rbm.visible_bias.copy_(deep.bias[0])
        rbm.hidden_bias.copy_(deep.bias[1])
    x = all_states(rbm)
    torch.testing.assert_close(deep.energy(x), rbm.energy(x))
    torch.testing.assert_close(deep.conditional(x, "visible"), rbm.conditional(x, "visible"))
    torch.testing.assert_close(deep.conditional(x, "hidden 1"), rbm.conditional(x, "hidden"))
    torch.testing.assert_close(deep.free_energy(x[:, :5], 0.7), rbm.free_energy(x[:, :5], 0.7))
    assert deep.sums_out_hidden


def test_a_sweep_takes_odd_layers_and_then_even_ones():
    deep = DeepBoltzmannMachine(3, (4, 5, 6), device="cpu")
    assert list(deep.blocks) == ["hidden 1", "hidden 3", "visible", "hidden 2"]
    assert [deep.blocks[name].stop - deep.blocks[name].start for name in deep.blocks] == [4, 6, 3, 5]
    assert deep.hidden_blocks == ("hidden 1", "hidden 3", "hidden 2") and not deep.sums_out_hidden


@pytest.mark.parametrize("beta", [0.5, 1.0, 1.6])
@pytest.mark.parametrize("name", DEEP)
def test_the_visible_law_is_the_sum_over_all_hidden_states(name, beta):
    model = DEEP[name]
    law = visible_law(model, beta)
    torch.testing.assert_close(law, summed_law(model, beta), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(law.logsumexp(0), law.new_zeros(()))
    torch.testing.assert_close(law, log_weights(model, beta).log_softmax(0), atol=1e-9, rtol=1e-9)
    assert (visible_law(model, 1.02 * beta) - law).abs().max() > 1e-3


def test_sixteen_sites_and_two_layers_of_sixteen_take_seconds():
    """Against Monte Carlo with the hidden layer next to the visible one drawn exactly from its own enumerated law."""
    model = with_random_parameters(DeepBoltzmannMachine(16, (16, 16), device="cpu"), "16-16", 0.3)
    law = visible_law(model)
    assert law.shape == (2**16,) and abs(float(law.logsumexp(0))) < 1e-9
    chains = BlockGibbs(model).init(4000, rng=rng("16"))
    for _ in range(60):
        BlockGibbs(model).step(chains)
    x = states((-1.0, 1.0), 16)
    exact, drawn = law.exp() @ x.double(), chains.x[:, :16].double().mean(0)
    assert ((drawn - exact).abs() < 4.5 / 4000**0.5).all()
    pairs = (law.exp()[:, None] * x.double()).T @ x.double()
    assert ((chains.x[:, :16].T @ chains.x[:, :16] / 4000 - pairs).abs() < 5 / 4000**0.5).all()
    assert exact.abs().max() > 0.2
    with pytest.raises(ValueError, match=r"layers 2, 4, .* have 17"):
        DeepBoltzmannMachine(4, (4, 17), device="cpu").free_energy(torch.ones(4))


def test_a_mixture_of_products_is_its_sum():
    eta, log_w = torch.randn(3, 5, generator=rng("eta")).double(), torch.tensor([0.3, -700.0, 1.2]).double()
    v = states((0.0, 1.0), 5, dtype=torch.float64)
    each = (v[:, None] * eta - torch.nn.functional.softplus(eta)).sum(-1) + log_w
    torch.testing.assert_close(mixture_of_products(lambda z: z, eta, log_w), each.logsumexp(-1))


def test_layers_of_other_units_act_through_their_statistics():
    """Potts layers by their indicators, real ones by their values: conditionals are energy differences."""
    model = DeepBoltzmannMachine(3, (2, 2), (Potts(3), Bit(), Potts(4)), device="cpu")
    with_random_parameters(model, "potts")
    x = torch.tensor([[0.0, 2, 1, 1, 0, 3, 1], [2, 2, 0, 0, 1, 0, 2]])
    for name, sites in model.blocks.items():
        eta, unit = model.conditional(x, name), model.units[name]
        for k, site in enumerate(range(sites.start, sites.stop)):
            moved = x.expand(len(unit.values), -1, -1).clone()
            moved[:, :, site] = torch.tensor(unit.values)[:, None]
            gain = (model.energy(moved)[:1] - model.energy(moved)[1:]).T
            found = eta[:, k, None] if unit.n_parameters == 1 else eta[:, k, 1:] - eta[:, k, :1]
            torch.testing.assert_close(found, gain, atol=1e-5, rtol=1e-5)
    real = with_random_parameters(DeepBoltzmannMachine(2, (3, 2), (Gaussian(0.8), Bit(), Bit()), device="cpu"), "real")
    v = torch.randn(6, 2, generator=rng("v"))
    hidden = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 5)
    x = torch.cat([v[:, None].expand(-1, 32, -1), hidden.expand(6, -1, -1)], -1)
    torch.testing.assert_close(real.free_energy(v, 0.8), -(-0.8 * real.energy(x)).logsumexp(-1) / 0.8)
    with pytest.raises(ValueError, match="two-valued units"):
        model.free_energy(torch.ones(3))


@pytest.mark.parametrize("name", DEEP)
def test_gibbs_sweeps_leave_exact_draws_exact(name):
    model, beta = DEEP[name], 0.8
    chains = Chains(exact_draws(model, beta, DRAWS, seed=1), torch.tensor(beta), rng(name))
    for _ in range(3):
        BlockGibbs(model).step(chains)
    assert p_value(model, beta, chains.x) > 1e-4
    chains.beta = torch.tensor(1.1 * beta)
    for _ in range(5):
        BlockGibbs(model).step(chains)
    assert p_value(model, beta, chains.x) < 1e-4


@pytest.mark.parametrize("name", DEEP)
def test_clamped_sweeps_draw_hidden_units_given_the_data(name):
    """From exact draws one clamped sweep leaves the joint law, and the data where they are."""
    model, beta = DEEP[name], 1.0
    chains = Chains(exact_draws(model, beta, DRAWS, seed=2), torch.tensor(beta), rng(name))
    before = chains.x.clone()
    BlockGibbs(model, clamp=model.visible_blocks).step(chains)
    assert torch.equal(chains.x[:, : model.n_visible], before[:, : model.n_visible])
    assert not torch.equal(chains.x, before) and p_value(model, beta, chains.x) > 1e-4


def bound(model, x, beta):
    """beta <E>_q less the entropy of q, the factorised law with these means: above beta F(v)."""
    entropy = 0.0
    for name in model.hidden_blocks:
        lower, upper = model.units[name].values
        p = ((x[:, model.blocks[name]] - lower) / (upper - lower)).double()
        entropy = entropy - (torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p)).sum(-1)
    return beta * model.energy(x).double() - entropy


@pytest.mark.parametrize("beta", [0.6, 1.0])
@pytest.mark.parametrize("name", DEEP)
def test_mean_field_is_a_fixed_point_that_bounds_the_free_energy(name, beta):
    model = DEEP[name]
    v = states(model.visible_unit.values, model.n_visible)
    path = [mean_field(model, v, steps, beta) for steps in (1, 2, 5, 20, 300)]
    assert torch.equal(path[0][:, : model.n_visible], v)
    bounds = [bound(model, x, beta).detach() for x in path]
    for earlier, later in pairwise(bounds):
        assert (later <= earlier + 1e-5).all()
    exact = beta * model.free_energy(v, beta).detach().double()
    assert (bounds[-1] >= exact - 1e-5).all() and (bounds[-1] - exact).max() > 1e-4
    # Damped it may end at another fixed point, as there can be several.
    for x in (path[-1], mean_field(model, v, 600, beta, damping=0.5)):
        for block in model.hidden_blocks:
            mean = model.units[block].mean(beta * model.conditional(x, block))
            torch.testing.assert_close(mean, x[:, model.blocks[block]], atol=1e-5, rtol=1e-5)


def test_mean_field_is_exact_where_hidden_units_are_independent():
    rbm = with_random_parameters(RBM(4, 3, Spin(), Bit(), device="cpu"), "independent")
    v = states((-1.0, 1.0), 4)
    x = mean_field(rbm, v, 1, torch.full((16,), 0.7))
    torch.testing.assert_close(x[:, 4:], torch.sigmoid(0.7 * rbm.conditional(x, "hidden")))
    torch.testing.assert_close(bound(rbm, x, 0.7), 0.7 * rbm.free_energy(v, 0.7).double(), atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="steps >= 1"):
        mean_field(rbm, v, 0)
    with pytest.raises(ValueError, match="not for Potts"):
        mean_field(RBM(4, 3, Spin(), Potts(3), device="cpu"), v)


@pytest.mark.parametrize("unit", [Spin(), Bit()])
def test_pretraining_pairs_are_rbms_with_what_arrives_at_the_ends_doubled(unit):
    sizes = (4, 3, 5, 2)
    pairs = [with_random_parameters(pretraining_machine(sizes, k, unit, device="cpu"), str(k)) for k in range(3)]
    assert [(m.n_visible, m.n_sites - m.n_visible) for m in pairs] == [(8, 3), (6, 10), (5, 4)]
    for k, (machine, factor_up, factor_down) in enumerate(zip(pairs, (2, 2, 1), (1, 2, 2), strict=True)):
        below, above = sizes[k], sizes[k + 1]
        w = machine.weights.reshape(below, above)
        low = unit.draw(torch.zeros(20, below), torch.rand(20, below, generator=rng(k)))
        high = unit.draw(torch.zeros(20, above), torch.rand(20, above, generator=rng(k, "up")))
        x = torch.cat([low.repeat(1, machine.n_visible // below), high.repeat(1, factor_down)], -1)
        up = machine.conditional(x, "hidden 0")[:, :above]
        torch.testing.assert_close(up, unit.natural(factor_up * low @ w + machine.bias[below:]))
        down = machine.conditional(x, "visible 0")[:, :below]
        torch.testing.assert_close(down, unit.natural(factor_down * high @ w.T + machine.bias[:below]))


def test_stacking_averages_what_a_layer_received_in_its_two_pairs():
    sizes, unit = (4, 3, 5, 2), Spin()
    pairs = [with_random_parameters(pretraining_machine(sizes, k, unit, device="cpu"), str(k)) for k in range(3)]
    deep = stacked(sizes, pairs)
    x = deep.units["visible"].draw(torch.zeros(10, 14), torch.rand(10, 14, generator=rng("x")))
    layers = x.split(sizes, -1)
    for k in (1, 2):
        below, here, above = layers[k - 1], layers[k], layers[k + 1]
        lower = torch.cat([below.repeat(1, 2), here.repeat(1, 1 if k == 1 else 2)], -1)
        upper = torch.cat([here.repeat(1, 2 if k == 1 else 1), above.repeat(1, 2)], -1)
        seen = pairs[k - 1].conditional(lower, "hidden 0")[:, : sizes[k]]
        seen = seen + pairs[k].conditional(upper, "visible 0")[:, : sizes[k]]
        torch.testing.assert_close(deep.conditional(x, f"hidden {k}"), seen / 2)
    with pytest.raises(ValueError, match="one pretraining_machine for each pair"):
        stacked(sizes, pairs[:2])
    with pytest.raises(ValueError, match="with one above it"):
        pretraining_machine(sizes, 3)


def test_without_biases_spins_have_the_z2_symmetry():
    deep = DeepBoltzmannMachine(4, (3, 2), biases=False, rng=rng("w"), scale=3.0, device="cpu")
    law = visible_law(deep)
    torch.testing.assert_close(law, law.flip(0))
    assert all(p.requires_grad == name.startswith("weights") for name, p in deep.named_parameters())
    assert deep.weights[0].std() > 0.5 and abs(float(law.exp().max()) - 1 / 16) > 1e-2
    assert math.isclose(float(law.exp().sum()), 1)


def test_bad_input_is_refused():
    for layers in ((), (3, 0)):
        with pytest.raises(ValueError, match="layers of 1 or more sites"):
            DeepBoltzmannMachine(4, layers, device="cpu")
    with pytest.raises(ValueError, match=r"one a layer \(3\), got 2"):
        DeepBoltzmannMachine(4, (3, 2), (Spin(), Bit()), device="cpu")
