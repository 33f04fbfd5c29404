"""The restricted Boltzmann machine with any units: laws, gradients, learned widths, and the layers exchanged."""

import math

import pytest
import torch

from ebmphys.energies import ENERGIES, RBM, exchanged
from ebmphys.likelihood import log_partition
from ebmphys.rng import generator
from ebmphys.units import Bit, Gaussian, Potts, ReLU, Spin
from tests.models import continuous_models, multivalued_models, random_rbm, randomised, small_models
from tests.samplers.laws import all_states, law

DISCRETE = {name: model for name, model in small_models().items() if name.startswith("rbm")} | {
    name: model for name, model in multivalued_models().items() if name.startswith("rbm")
}


@pytest.mark.parametrize(("hidden", "mean"), [(Spin(), math.tanh(0.7)), (Bit(), 1 / (1 + math.exp(-0.7)))])
def test_one_hidden_unit_in_a_field_by_hand(hidden, mean):
    """E = -0.7 v h: a spin follows v = 1 with sigma(1.4), a bit with sigma(0.7), not one as the other."""
    rbm = RBM(1, 1, Spin(), hidden, device="cpu")
    torch.nn.init.constant_(rbm.weights, 0.7)
    eta = rbm.conditional(torch.ones(1, 2), "hidden")
    assert hidden.mean(eta).item() == pytest.approx(mean)
    probability, x = torch.from_numpy(law(rbm, 1.0)), all_states(rbm).double()
    given = (x[:, 0] == 1) * probability
    assert float(given @ x[:, 1] / given.sum()) == pytest.approx(mean)


@pytest.mark.parametrize("name", DISCRETE)
def test_the_gradient_of_the_likelihood_is_that_of_the_enumerated_law(name):
    """d/dtheta of -log p(v) through free energies against autograd through the sum over every joint state."""
    model, v = DISCRETE[name], all_states(DISCRETE[name])[5:6, : DISCRETE[name].n_visible]
    x = all_states(model)
    here = (x[:, : model.n_visible] == v).all(-1)
    joint = -model.energy(x)
    brute = joint.logsumexp(0) - joint[here].logsumexp(0)
    visible = x[:: int(here.sum()), : model.n_visible]
    ours = model.free_energy(v).sum() + (-model.free_energy(visible)).logsumexp(0)
    parameters = list(model.parameters())
    expected, got = torch.autograd.grad(brute, parameters), torch.autograd.grad(ours, parameters)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    assert max(float(g.abs().max()) for g in expected) > 0.05


def test_the_gradient_of_potts_weights_is_one_hot():
    """<s_ia t_j>_data - <s_ia t_j>_model: only the state that is there pulls at its weight."""
    model = DISCRETE["rbm potts-spin"]
    v = torch.tensor([[2.0, 0.0, 1.0]])
    (gradient,) = torch.autograd.grad(model.free_energy(v).sum(), model.weights)
    means = model.hidden.mean(model.conditional(torch.cat([v, torch.zeros(1, 4)], -1), "hidden"))[0]
    expected = torch.zeros(3, 3, 4)
    for site, state in enumerate((2, 0, 1)):
        expected[site, state] = -means
    torch.testing.assert_close(gradient, expected.reshape(9, 4))


def test_learned_widths_are_the_law_of_gaussians_with_those_widths():
    """The model with sigma_i = 0.7 in every log-precision is the model of Gaussian(0.7) units."""
    rng = generator(3, device="cpu")
    fixed = random_rbm(3, 4, Gaussian(0.7), Spin(), rng)
    learned = RBM(3, 4, Gaussian(0.7), Spin(), learn_sigma=True, device="cpu")
    assert learned.visible_log_precision.exp().tolist() == pytest.approx([0.7**-2] * 3)
    learned.load_state_dict(fixed.state_dict(), strict=False)
    x = torch.cat([torch.randn(50, 3, generator=rng), torch.randn(50, 4, generator=rng).sign()], -1)
    torch.testing.assert_close(learned.energy(x), fixed.energy(x))
    torch.testing.assert_close(learned.free_energy(x[:, :3], 0.7), fixed.free_energy(x[:, :3], 0.7))
    for block in ("visible", "hidden"):
        torch.testing.assert_close(learned.conditional(x, block), fixed.conditional(x, block))
    assert log_partition(learned) == pytest.approx(log_partition(fixed), abs=1e-6)


def test_likelihood_pulls_the_widths_to_those_of_the_data():
    """Without weights the maximum of the likelihood is at sigma_i^2 = <v_i^2>, and there the gradient vanishes."""
    model = RBM(2, 3, Gaussian(), Spin(), biases=False, learn_sigma=True, device="cpu")
    v = torch.randn(1000, 2, generator=generator(4, device="cpu")) * torch.tensor([0.3, 2.0])

    def slope() -> torch.Tensor:
        # log Z = 3 log 2 + sum_i log(2 pi sigma_i^2) / 2, from which d log Z / d log_precision_i = -1/2
        (pull,) = torch.autograd.grad(model.free_energy(v).mean(), model.visible_log_precision)
        return pull - 0.5

    assert slope().tolist() == pytest.approx((v.square().mean(0) / 2 - 0.5).tolist(), abs=1e-5)
    with torch.no_grad():
        model.visible_log_precision.copy_(-v.square().mean(0).log())
    assert slope().abs().max() < 1e-5


@torch.no_grad()
def test_log_z_by_either_side_is_the_same():
    for name, model in DISCRETE.items():
        brute = float((-model.energy(all_states(model)).double()).logsumexp(0))
        turned = exchanged(model)
        assert float((-turned.energy(all_states(turned)).double()).logsumexp(0)) == pytest.approx(brute, abs=1e-5), name
        x = all_states(model)
        swapped = torch.cat([x[:, model.n_visible :], x[:, : model.n_visible]], -1)
        torch.testing.assert_close(turned.energy(swapped), model.energy(x))


@pytest.mark.parametrize("name", ["rbm gaussian-spin", "rbm relu-spin", "rbm gaussian-spin, widths learned"])
@torch.no_grad()
def test_log_z_of_real_visible_units_is_their_integral(name):
    model = continuous_models()[name].double()
    one = torch.linspace(0 if "relu" in name else -14, 14, 281, dtype=torch.float64)
    share = torch.full_like(one, one[1] - one[0])
    share[[0, -1]] /= 2
    v = torch.cartesian_prod(one, one[::4], one[::4])  # the first site finely, the others as smooth as they are
    weights = torch.cartesian_prod(share, share[::4] * 4, share[::4] * 4).prod(-1).log()
    total = float((weights - model.free_energy(v)).logsumexp(0))
    assert log_partition(model) == pytest.approx(total, abs=5e-3 if "relu" in name else 1e-3)


def test_files_from_before_widths_could_be_learned_are_read():
    old = {
        "model": "rbm",
        "n_visible": 4,
        "n_hidden": 2,
        "visible": {"unit": "gaussian", "sigma": 0.5},
        "hidden": {"unit": "bit"},
        "biases": True,
    }
    model = ENERGIES["rbm"].from_config(old)
    assert set(model.state_dict()) == {"weights", "visible_bias", "hidden_bias"}
    assert model.visible == Gaussian(0.5) and model.hidden == Bit()


@pytest.mark.parametrize(("visible", "hidden"), [(Potts(3), Spin()), (Spin(), Potts(5)), (Potts(4), Potts(3))])
def test_weights_have_a_row_for_each_state(visible, hidden):
    rbm = RBM(6, 7, visible, hidden, rng=generator(1, device="cpu"), scale=2.0, device="cpu")
    m, other = visible.n_statistics, hidden.n_statistics
    assert rbm.weights.shape == (6 * m, 7 * other)
    assert rbm.visible_bias.shape == (6 * m,) and rbm.hidden_bias.shape == (7 * other,)
    assert rbm.weights.std().item() == pytest.approx(2 / 6**0.5, rel=0.25)


def test_machines_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="no unit has a sigma to learn: the layers are spin and potts"):
        RBM(3, 2, Spin(), Potts(3), learn_sigma=True)
    with pytest.raises(ValueError, match="needs visible and hidden units"):
        RBM(3, 0)


def test_exchanging_twice_gives_the_machine_back():
    rng = generator(5, device="cpu")
    for model in (
        random_rbm(3, 2, Gaussian(0.4), ReLU(0.6), rng, learn_sigma=True),
        randomised(RBM(3, 2, Potts(3), Bit(), device="cpu"), rng),
    ):
        twice = exchanged(exchanged(model))
        assert twice.config == model.config
        for name, own in model.state_dict().items():
            assert torch.equal(twice.state_dict()[name], own)
