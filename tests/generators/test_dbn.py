"""Deep belief nets against sums over all layers, the RBM hidden in a tied net, and wake-sleep's exact gradients."""

import json
from itertools import product

import pytest
import torch
from scipy import stats

from ebmphys.energies import RBM
from ebmphys.exact.enumeration import log_weights, states
from ebmphys.generators import GENERATORS, VAE, DeepBeliefNet, log_density
from ebmphys.likelihood.products import visible_law
from ebmphys.objectives import Exact, Persistent
from ebmphys.objectives.wake_sleep import WakeSleep
from ebmphys.rng import generator
from ebmphys.samplers import BlockGibbs, Downward, Enumerated, Schedule, draws
from ebmphys.units import Bit, Gaussian, Potts, Spin
from tests.machines import with_random_parameters

DRAWS = 60_000


def rng(*path):
    return generator(25, *path, device="cpu")


def random_net(n=4, layers=(3, 3, 2), visible=None, hidden=None, scale=0.9):
    return with_random_parameters(DeepBeliefNet(n, layers, visible, hidden, device="cpu"), "net", scale)


def tied_net(unit=None):
    """A net that is an RBM: its top is the same RBM turned over, and recognition is the exact posterior."""
    rbm = with_random_parameters(RBM(4, 3, unit, unit, device="cpu"), "tied", 0.6)
    turned = RBM(3, 4, unit, unit, device="cpu")
    with torch.no_grad():
        turned.weights.copy_(rbm.weights.T)
        turned.visible_bias.copy_(rbm.hidden_bias)
        turned.hidden_bias.copy_(rbm.visible_bias)
    return rbm, DeepBeliefNet.from_rbms([rbm, turned])


def summed_law(net):
    """log p(v), layer by layer over every state; differentiable."""
    every = [states((net.hidden if k else net.visible).values, n) for k, n in enumerate(net.sizes[:-1])]
    law = -net.top.free_energy(every[-1])
    law = law.double() - law.double().logsumexp(0)
    for k in reversed(range(len(every) - 1)):
        unit = net.hidden if k else net.visible
        given = log_density(unit, every[k][:, None], net.below(k, every[k + 1])).sum(-1)
        law = (given.double() + law).logsumexp(-1)
    return law


def p_value(x, law, lower):
    index = ((x > lower).long() * 2 ** torch.arange(x.shape[-1] - 1, -1, -1)).sum(-1)
    counts, expected = torch.bincount(index.flatten(), minlength=len(law)).double(), law.exp() * index.numel()
    used = expected > 5
    observed = torch.cat([counts[used], counts[~used].sum()[None]])
    expected = torch.cat([expected[used], expected[~used].sum()[None]])
    keep = expected > 0
    return float(stats.chi2.sf(((observed - expected) ** 2 / expected)[keep].sum(), int(keep.sum()) - 1))


UNITS = [(Spin(), Spin()), (Spin(), Bit()), (Bit(), Bit()), (Bit(), Spin())]


@pytest.mark.parametrize(("visible", "hidden"), UNITS)
@pytest.mark.parametrize("layers", [(3, 2), (3, 3, 2), (2, 3, 2, 4)])
def test_the_visible_law_is_the_sum_over_all_layers(layers, visible, hidden):
    net = random_net(4, layers, visible, hidden)
    law = visible_law(net)
    torch.testing.assert_close(law, summed_law(net).detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(law.logsumexp(0), law.new_zeros(()))
    with torch.no_grad():
        net.down_weights[0] *= 1.02
    assert (visible_law(net) - law).abs().max() > 1e-3


@pytest.mark.parametrize("unit", [Spin(), Bit()])
def test_an_rbm_and_itself_turned_over_are_the_rbm(unit):
    rbm, net = tied_net(unit)
    torch.testing.assert_close(visible_law(net), log_weights(rbm).log_softmax(0), atol=1e-6, rtol=1e-6)
    v = states(unit.values, 4)
    torch.testing.assert_close(net.above(0, v), rbm.conditional(torch.cat([v, torch.zeros(16, 3)], -1), "hidden"))


@pytest.mark.parametrize(("visible", "hidden"), UNITS)
def test_draws_have_the_law_and_a_wrong_law_is_rejected(visible, hidden):
    net = random_net(4, (3, 3, 2), visible, hidden)
    law, lower = visible_law(net), visible.values[0]
    assert p_value(net.draw(DRAWS, rng("draw"), top_steps=40), law, lower) > 1e-4
    for sampler in (Downward(net), Downward(net, Enumerated)):
        chains = sampler.init(2, DRAWS // 2, rng=rng("init"))
        for _ in range(40 if sampler.make_sampler is BlockGibbs else 1):
            sampler.step(chains)
        assert chains.x.shape == (2, DRAWS // 2, 4)
        assert p_value(chains.x, law, lower) > 1e-4
    with torch.no_grad():
        net.down_weights[0] *= 1.2
        net.down_weights[1] *= 1.1
    assert p_value(chains.x, visible_law(net), lower) < 1e-4


def test_gaussian_visible_units_have_the_mean_and_the_variance_of_the_net():
    net = random_net(3, (3, 2), Gaussian(0.5), Spin())
    chains = Downward(net, Enumerated).init(DRAWS, rng=rng("gauss"))
    h = states((-1.0, 1.0), 3)
    p = (-net.top.free_energy(h)).detach().softmax(0)
    centre = (0.25 * (h @ net.down_weights[0].T + net.down_bias[0])).detach()
    mean = p @ centre
    variance = p @ (centre - mean) ** 2 + 0.25
    assert ((chains.x.mean(0) - mean).abs() < 4.5 * (variance / DRAWS) ** 0.5).all()
    assert ((chains.x.var(0) / variance - 1).abs() < 0.03).all()


def test_chains_go_on_where_they_stopped():
    net = random_net()
    sampler = Downward(net)
    whole = [c.x.clone() for c in draws(sampler, sampler.init(5, rng=rng("same")), Schedule(6, 2, 3))]
    chains = sampler.init(5, rng=rng("same"))
    first = [c.x.clone() for c in draws(sampler, chains, Schedule(2, 2, 3))]
    restarted = sampler.init(5, rng=rng("other"))
    restarted.restore(chains.state())
    rest = [c.x.clone() for c in draws(sampler, restarted, Schedule(4, 2))]
    assert all(torch.equal(a, b) for a, b in zip(whole, first + rest, strict=True))
    before = chains.x.clone(), chains.top.x.clone()
    order = torch.tensor([4, 3, 2, 1, 0])
    chains.reorder(order)
    assert torch.equal(chains.x, before[0][order]) and torch.equal(chains.top.x, before[1][order])


def test_rbms_are_stacked_downwards_and_upwards():
    rbms = [RBM(5, 4, Spin(), Bit()), RBM(4, 3, Bit(), Bit()), RBM(3, 2, Bit(), Bit())]
    rbms = [with_random_parameters(rbm.cpu(), str(k)) for k, rbm in enumerate(rbms)]
    net = DeepBeliefNet.from_rbms(rbms)
    assert net.sizes == (5, 4, 3, 2)
    for k, rbm in enumerate(rbms[:2]):
        x = torch.cat([torch.ones(2, rbm.n_visible), (torch.rand(2, rbm.n_hidden, generator=rng(k)) < 0.5).float()], -1)
        torch.testing.assert_close(net.below(k, x[:, rbm.n_visible :]), rbm.conditional(x, "visible"))
        torch.testing.assert_close(net.above(k, x[:, : rbm.n_visible]), rbm.conditional(x, "hidden"))
    torch.testing.assert_close(net.top.weights, rbms[2].weights)
    for wrong in (rbms[:1], [rbms[0], rbms[2]], [RBM(5, 4, device="cpu"), rbms[1]]):
        with pytest.raises(ValueError, match="2 or more RBMs"):
            DeepBeliefNet.from_rbms(wrong)


def test_layers_are_drawn_upwards_by_recognition():
    net = random_net(4, (3, 2, 2), Bit(), Spin(), scale=0.4)
    v = torch.tensor([1.0, 0, 0, 1]).repeat(DRAWS, 1)
    layers = net.upwards(v, rng("up"))
    assert [x.shape[-1] for x in layers] == [4, 3, 2]
    mean = torch.tanh(net.above(0, v[0]) / 2).detach()
    assert ((layers[1].mean(0) - mean).abs() < 4.5 / DRAWS**0.5).all()
    log_r = net.log_recognised(layers)
    by_hand = sum(log_density(Spin(), layers[k + 1], net.above(k, layers[k])).sum(-1) for k in (0, 1))
    torch.testing.assert_close(log_r, by_hand)
    # The mean of 1/r(h1, h2 | v) over draws of r is the number of hidden states.
    counts = (-log_r.detach().double()).exp()
    assert abs(counts.mean() - 32) < 4.5 * counts.std() / DRAWS**0.5


def data_law():
    return torch.randn(16, generator=rng("data")).mul(1.5).softmax(0)


def gradients(loss, parameters):
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]).double()


def generative(net):
    return [*net.down_weights, *net.down_bias, *net.top.parameters()]


def monte_carlo(net, parameters, seed, batches=25, size=4000):
    """The gradient by wake-sleep with an exact negative phase: mean over batches and its standard error."""
    objective = WakeSleep(Exact(), rng(seed))
    v = states(net.visible.values, 4)
    found = []
    for k in range(batches):
        which = torch.multinomial(data_law(), size, replacement=True, generator=rng(seed, k))
        found.append(gradients(objective(net, v[which]), parameters))
    each = torch.stack(found)
    return each.mean(0), each.std(0) / batches**0.5


@pytest.mark.parametrize("unit", [Spin(), Bit()])
def test_with_the_exact_posterior_the_wake_gradient_is_that_of_the_likelihood(unit):
    net = tied_net(unit)[1]
    exact = gradients(-(data_law().double() @ summed_law(net)), generative(net))
    mean, error = monte_carlo(net, generative(net), "wake")
    assert ((mean - exact).abs() < 4.5 * error + 1e-4).all()
    with torch.no_grad():
        net.up_weights[0] *= 0.5
    mean, error = monte_carlo(net, generative(net), "control")
    assert ((mean - exact).abs() > 6 * error + 1e-4).any()


@pytest.mark.parametrize("unit", [Spin(), Bit()])
def test_the_sleep_gradient_fits_recognition_to_the_net_itself(unit):
    net = random_net(4, (3, 2), unit, unit)
    v, h = states(unit.values, 4), states(unit.values, 3)
    top = (-net.top.free_energy(h)).double().log_softmax(0)
    joint = (log_density(unit, v[:, None], net.below(0, h)).sum(-1).double() + top).exp().detach()
    recognised = log_density(unit, h, net.above(0, v)[:, None].expand(16, 8, 3)).sum(-1)
    upward = [*net.up_weights, *net.up_bias]
    exact = gradients(-(joint * recognised).sum(), upward)
    # Draws of the top are needed here, not its enumerated law: one dream a state would be far too few.
    objective = WakeSleep(Persistent(5, rng("sleep"), n_chains=4000), rng("sleep"))
    each = torch.stack([gradients(objective(net, v), upward) for _ in range(60)])[10:]
    mean, error = each.mean(0), each.std(0) / 50**0.5
    assert ((mean - exact).abs() < 5 * error + 1e-4).all()
    assert (exact.abs() > 20 * error).any()


def test_fine_tuning_lowers_the_divergence_of_a_pretrained_net():
    rbms = [with_random_parameters(RBM(4, 3, device="cpu"), "a", 0.3), RBM(3, 3, rng=rng("b"), device="cpu")]
    net, law, v = DeepBeliefNet.from_rbms(rbms), data_law(), states((-1.0, 1.0), 4)

    def divergence():
        return float((law * (law.log() - visible_law(net).float())).sum())

    before = divergence()
    objective = WakeSleep(Persistent(5, rng("fit"), n_chains=500), rng("fit"))
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    for k in range(200):
        which = torch.multinomial(law, 500, replacement=True, generator=rng("fit", k))
        optimizer.zero_grad()
        objective(net, v[which]).backward()
        optimizer.step()
    assert divergence() < 0.4 * before


def test_a_training_goes_on_bit_for_bit():
    v = states((-1.0, 1.0), 4)
    net = random_net(4, (3, 2))
    one = WakeSleep(Persistent(2, rng("one"), n_chains=20), rng("one", 2))
    one(net, v)
    two = WakeSleep(Persistent(2, rng("two"), n_chains=20), rng("two", 2))
    two.load_state_dict(one.state_dict())
    assert float(one(net, v).detach()) == float(two(net, v).detach())


def test_config_and_parameters_give_the_net_back():
    net = random_net(4, (3, 2), Gaussian(0.7), Bit())
    twin = GENERATORS["dbn"].from_config(json.loads(json.dumps(net.config))).to("cpu")
    assert twin.config == net.config and twin.visible_unit == Gaussian(0.7)
    twin.load_state_dict(net.state_dict())
    assert torch.equal(twin.draw(7, rng("x"), 5), net.draw(7, rng("x"), 5))
    before = torch.get_rng_state()
    drawn = DeepBeliefNet(4, (3, 2), rng=rng("w"), device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(drawn.up_weights[0], drawn.down_weights[0]) and drawn.top.weights.abs().max() > 0


def test_without_biases_spins_have_the_z2_symmetry():
    rbms = [RBM(n, m, biases=False, rng=rng(n), scale=3.0, device="cpu") for n, m in ((4, 3), (3, 2))]
    net = DeepBeliefNet.from_rbms(rbms)
    law = visible_law(net)
    torch.testing.assert_close(law, law.flip(0))
    assert law.max() - law.min() > 0.1
    twin = DeepBeliefNet.from_config(net.config)
    for model in (net, twin):
        assert all(p.requires_grad == ("bias" not in name) for name, p in model.named_parameters())


def test_bad_input_is_refused():
    for layers in ((3,), (3, 0)):
        with pytest.raises(ValueError, match="2 or more hidden layers"):
            DeepBeliefNet(4, layers, device="cpu")
    for visible, hidden in ((Spin(), Gaussian()), (Potts(3), Spin())):
        with pytest.raises(ValueError, match="two-valued hidden units"):
            DeepBeliefNet(4, (3, 2), visible, hidden, device="cpu")
    with pytest.raises(ValueError, match="fixed sigma"):
        DeepBeliefNet.from_rbms([RBM(4, 3, Gaussian(), learn_sigma=True, device="cpu"), RBM(3, 2, device="cpu")])
    net = random_net()
    for options in ({"n": 0}, {"n": 1, "top_steps": 0}):
        with pytest.raises(ValueError, match="must be 1 or more"):
            net.draw(rng=rng(), **options)
    with pytest.raises(ValueError, match="no temperature"):
        Downward(net).init(3, beta=0.5, rng=rng())
    with pytest.raises(ValueError, match="no temperature"):
        visible_law(net, 0.5)
    with pytest.raises(ValueError, match="VAE is none"):
        WakeSleep(Exact(), rng())(VAE(4, device="cpu"), torch.ones(2, 4))


def test_every_configuration_is_in_lexicographic_order():
    net = random_net(3, (2, 2))
    law = visible_law(net)
    for index, v in enumerate(product((-1.0, 1.0), repeat=3)):
        one = torch.tensor(v)
        h = states((-1.0, 1.0), 2)
        top = (-net.top.free_energy(h)).log_softmax(0)
        expected = (log_density(Spin(), one, net.below(0, h)).sum(-1) + top).logsumexp(0)
        assert float(law[index]) == pytest.approx(float(expected.detach()), abs=1e-5)
