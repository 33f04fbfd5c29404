"""The GAN: its law by quadrature, its gradient, its critic against the exact Wasserstein distance, and training."""

import json
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from ebmphys.checkpoint import Checkpoint, load_model, save
from ebmphys.energies import ferromagnet
from ebmphys.energies.networks import build_network
from ebmphys.exact.enumeration import log_weights, states
from ebmphys.generators import GAN, GENERATORS, TractableModel
from ebmphys.likelihood import log_likelihood
from ebmphys.objectives import Adversarial
from ebmphys.rng import generator
from ebmphys.train import Training, fit
from ebmphys.train.monitors.drawn import against_draws
from ebmphys.units import Bit, Gaussian

SMALL = {"kind": "mlp", "hidden": [8]}


def rng(*path):
    return generator(39, "gan", *path, device="cpu")


def gan(n=3, fields=1, strength=2.0, **options):
    model = GAN(n, SMALL, fields, rng=rng("weights"), device="cpu", **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= strength
            parameter += 0.3 * torch.randn(parameter.shape, generator=rng("bias", parameter.ndim))
    return model


def critic(n, *path):
    return build_network({"kind": "mlp", "hidden": [24]}, n, rng("critic", *path), torch.device("cpu"))


def summed_law(model):
    """q(v) = the integral of N(z; 0, 1) prod_i q(v_i | z) over three normal numbers, on a grid."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    z = torch.cartesian_prod(*[torch.tensor(nodes, dtype=torch.float32)] * 3)
    w = torch.cartesian_prod(*[torch.tensor(weights / weights.sum())] * 3).prod(-1)
    with torch.no_grad():
        eta = model.network(z[:, None, :], z.new_zeros(len(z), 0)).double()
    law = torch.stack([w @ torch.sigmoid(v * eta).prod(-1) for v in states((-1.0, 1.0), 3).double()])
    return (law + law.flip(0)) / 2 if model.symmetric else law


def chi_square_p(x, law):
    place = ((x > 0).long() * 2 ** torch.arange(x.shape[-1] - 1, -1, -1)).sum(-1)
    counts = torch.bincount(place, minlength=len(law)).numpy()
    return stats.chisquare(counts, law.numpy() * len(x) / float(law.sum())).pvalue


@pytest.mark.parametrize("symmetric", [False, True])
def test_draws_follow_the_law_that_the_integral_gives(symmetric):
    model = gan(symmetric=symmetric)
    law = summed_law(model)
    assert float(law.sum()) == pytest.approx(1, abs=1e-6)
    x = model.draw(100_000, rng("draw"))
    assert set(x.unique().tolist()) == {-1.0, 1.0}
    assert chi_square_p(x, law) > 1e-4
    with torch.no_grad():
        model.network.layers[-1].weight *= 1.3
    assert chi_square_p(x, summed_law(model)) < 1e-6


def test_a_symmetric_model_makes_both_signs_whatever_its_network():
    shares = []
    for symmetric in (False, True):
        model = gan(5, symmetric=symmetric)
        with torch.no_grad():
            model.network.layers[-1].bias.fill_(20.0)
        shares.append(float((model.draw(4000, rng("sign")).sum(-1) > 0).double().mean()))
    assert shares[0] == 1.0 and abs(shares[1] - 0.5) < 4.5 * 0.5 / 4000**0.5


def test_the_gradient_is_that_of_the_relaxed_spins():
    model, direction = gan(), torch.tensor([0.3, -1.0, 0.7])
    ours = torch.autograd.grad((model.fakes(500, rng("z")) @ direction).mean(), list(model.parameters()))
    stream = rng("z")
    z = torch.randn(500, 1, 3, generator=stream)
    logistic = (torch.rand(500, 3, generator=stream) + 2.0**-25).logit()
    relaxed = torch.tanh((model.network(z, z.new_zeros(500, 0)) + logistic) / 2)
    assert torch.equal(torch.where(relaxed > 0, 1.0, -1.0), model.fakes(500, rng("z")))
    theirs = torch.autograd.grad((relaxed @ direction).mean(), list(model.parameters()))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_the_penalty_is_the_squared_distance_of_the_slope_from_one():
    straight = nn.utils.skip_init(nn.Linear, 4, 1)
    with torch.no_grad():
        straight.weight.copy_(torch.tensor([[1.0, 2.0, -2.0, 0.0]]))
        straight.bias.zero_()
    objective = Adversarial(straight, rng("penalty"))
    real, fake = torch.ones(7, 4), -torch.ones(7, 4)
    penalty = objective.steepness(real, fake)
    assert float(penalty.detach()) == pytest.approx(4.0)  # (3 - 1)^2
    gradient = torch.autograd.grad(penalty, straight.weight)[0]
    torch.testing.assert_close(gradient, 2 * (3 - 1) * straight.weight.detach() / 3)


class Bowl(nn.Linear):
    """x^2 / 2, whose slope is |x|."""

    def forward(self, x):
        return x.square().sum(-1, keepdim=True) / 2


def test_the_penalty_is_taken_all_along_the_lines_between_data_and_draws():
    """A slope |x|, from 2 through 0 to 2 between two opposite corners: the mean of (2 w - 1)^2 for a uniform w, 1/3."""
    real = torch.ones(20_000, 4)
    penalty = Adversarial(Bowl(4, 1), rng("bowl")).steepness(real, -real)
    assert abs(float(penalty.detach()) - 1 / 3) < 4.5 * (4 / 45) ** 0.5 / 20_000**0.5


class Coins(GAN):
    """Sites with fixed probabilities of +1."""

    def fakes(self, n, rng):
        upper, shift = torch.rand(n, self.n_visible, generator=rng) < self.probability, self.network.layers[-1].bias
        return torch.where(upper, 1.0, -1.0) + shift - shift.detach()


@pytest.mark.parametrize("penalty", [10.0, 1.0])
def test_the_critics_gap_is_the_wasserstein_distance_and_what_the_penalty_adds(penalty):
    """One site, P(+) = 0.9 against 0.5: W = 0.8. A slope c gains W c - penalty (c - 1)^2, so c = 1 + W / 2 penalty."""
    model = Coins(1, SMALL, device="cpu")
    model.probability = 0.5
    line = nn.utils.skip_init(nn.Linear, 1, 1)
    nn.init.zeros_(line.weight), nn.init.zeros_(line.bias)
    data = torch.where(torch.arange(20_000)[:, None] % 10 > 0, 1.0, -1.0)
    objective = Adversarial(line, rng("gap"), critic_steps=40, penalty=penalty, learning_rate=0.01)
    for _ in range(12):
        score = objective(model, data[torch.randperm(20_000, generator=rng("order"))])
    slope = float(line.weight.detach())
    assert slope == pytest.approx(1 + 0.8 / (2 * penalty), abs=0.06)
    assert objective.gap == pytest.approx(0.8 * slope, abs=0.2)
    # The generator is told to go where the critic is high: towards +1.
    assert float(torch.autograd.grad(score, model.network.layers[-1].bias)[0]) < 0


def independent_data(means, count):
    u = torch.rand(count, len(means), generator=rng("data"))
    return torch.where(u < (1 + torch.tensor(means)) / 2, 1.0, -1.0)


def trained(data, epochs, seed="one", **place):
    model = GAN(data.shape[-1], SMALL, rng=rng(seed, "w"), device="cpu")
    objective = Adversarial(critic(data.shape[-1], seed), rng(seed, "o"), penalty=1.0, learning_rate=5e-3)
    settings = Training(epochs=epochs, batch_size=250, learning_rate=5e-3, schedule="constant")
    history = fit(model, data, objective, settings, rng=rng(seed, "fit"), **place)
    return model, objective, history


def test_training_finds_the_magnetizations():
    means = [0.7, -0.5, 0.0, 0.3]
    data = independent_data(means, 2500)
    model, _, _ = trained(data, 25)
    found = model.draw(20_000, rng("x")).mean(0)
    assert float((found - data.mean(0)).abs().max()) < 0.15
    assert float((GAN(4, SMALL, rng=rng("one", "w"), device="cpu").draw(20_000, rng("x")).mean(0) - found).norm()) > 0.5


def test_a_resumed_training_is_the_uninterrupted_one(tmp_path):
    data = independent_data([0.5, -0.2, 0.1], 1000)
    whole, objective, history = trained(data, 6)
    trained(data, 3, checkpoint=tmp_path / "a.pt")
    again, resumed, after = trained(data, 6, checkpoint=tmp_path / "a.pt", resume=True)
    assert [record["loss"] for record in history] == [record["loss"] for record in after]
    assert all(torch.equal(p, again.state_dict()[name]) for name, p in whole.state_dict().items())
    for name, p in objective.critic.state_dict().items():
        assert torch.equal(p, resumed.critic.state_dict()[name])
    state = objective.state_dict()
    kept = {name: p.clone() for name, p in state["critic"].items()}
    objective(whole, data)  # goes on, and what was stored stays
    assert all(torch.equal(p, kept[name]) for name, p in state["critic"].items())
    assert not all(torch.equal(p, kept[name]) for name, p in objective.critic.state_dict().items())


def test_draws_are_told_apart_from_data_by_sign_and_distance():
    """A model of one sign has |m| and e right: the share of m > 0 tells."""
    target, beta = ferromagnet((3, 3), device="cpu"), 0.5
    law = torch.softmax(log_weights(target, beta), 0)
    v = states((-1.0, 1.0), 9)[torch.multinomial(law, 4000, replacement=True, generator=rng("v"))]
    one_sign = v * v.sum(-1, keepdim=True).sign()

    class Drawn(GAN):
        def draw(self, n, rng):
            return self.rows[torch.randint(len(self.rows), (n,), generator=rng)]

    model, found = Drawn(9, SMALL, device="cpu"), {}
    for name, rows in (("same", v), ("one sign", one_sign), ("random", independent_data([0.0] * 9, 4000))):
        model.rows = rows
        found[name] = {key: monitor(model, None) for key, monitor in against_draws(v, target).items()}
    assert found["same"]["abs_magnetization_distance"] < 0.03 > found["one sign"]["abs_magnetization_distance"]
    assert found["one sign"]["draw_positive"] == 1.0 and abs(found["same"]["draw_positive"] - 0.5) < 0.05
    assert abs(found["one sign"]["draw_energy_per_site"] - found["one sign"]["data_energy_per_site"]) < 0.06
    gap = found["random"]["draw_energy_per_site"] - found["random"]["data_energy_per_site"]
    assert found["random"]["energy_per_site_distance"] == pytest.approx(gap, rel=0.05) and gap > 1


def test_a_convolutional_generator_follows_translations():
    network = {"kind": "convolutional", "shape": [3, 4], "channels": [6, 6], "kernel": 3}
    model, z = GAN(12, network, 2, device="cpu"), torch.randn(5, 2, 12, generator=rng("z"))
    eta = model.network(z, z.new_zeros(5, 0)).reshape(5, 3, 4)
    moved = model.network(z.reshape(5, 2, 3, 4).roll((1, 2), (2, 3)).reshape(5, 2, 12), z.new_zeros(5, 0))
    torch.testing.assert_close(eta.roll((1, 2), (1, 2)), moved.reshape(5, 3, 4))


def test_config_gives_the_model_back_and_it_has_no_likelihood(tmp_path):
    model = GAN(6, SMALL, 2, Bit(), symmetric=True, rng=rng("w"), device="cpu")
    twin = GENERATORS["gan"].from_config(json.loads(json.dumps(model.config)))
    assert twin.config == model.config
    save(tmp_path / "a.pt", Checkpoint(model.config, dict(model.state_dict())))
    assert torch.equal(load_model(tmp_path / "a.pt", "cpu").draw(9, rng("x")), model.draw(9, rng("x")))
    assert set(model.draw(50, rng("x")).unique().tolist()) == {0.0, 1.0}
    assert not isinstance(model, TractableModel) and not hasattr(model, "elbo")
    with pytest.raises(ValueError, match="no log-likelihood is known for GAN"):
        log_likelihood(model, model.draw(2, rng("x")))


def test_bad_input_is_refused_and_no_global_generator_is_read():
    before, model = torch.get_rng_state(), gan()
    objective = Adversarial(critic(3), rng("o"))
    assert math.isnan(objective.gap)
    objective(model, torch.ones(10, 3))
    assert torch.equal(torch.get_rng_state(), before)
    for wrong, message in (
        (lambda: GAN(4, fields=0), "sizes must be 1 or more"),
        (lambda: GAN(4, unit=Gaussian()), "two-valued units, got gaussian"),
        (lambda: GAN(4, {"kind": "tree"}), "a network is of kind mlp"),
        (lambda: model.draw(0, rng()), "draws must be 1 or more"),
        (lambda: Adversarial(critic(3), rng(), penalty=0.0), "must be positive"),
        (lambda: Adversarial(critic(3), rng(), critic_steps=0), "critic_steps must be 1 or more"),
        (lambda: objective(nn.Linear(3, 1), torch.ones(9, 3)), "of GANs, Linear is none"),
        (lambda: objective(model, torch.ones(4, 3)), "too small for 5 updates"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()
