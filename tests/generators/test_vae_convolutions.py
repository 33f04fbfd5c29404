"""Networks on a periodic lattice: moved as the lattice is moved, and refused where they do not fit."""

import json

import pytest
import torch

from ebmphys.exact.enumeration import states
from ebmphys.generators import GENERATORS, VAE, AutoregressiveVAE, Convolutions
from ebmphys.generators.convolutions import Coarsening, Refining
from ebmphys.likelihood import enumerated_log_law, marginal
from ebmphys.rng import generator
from tests.generators.laws import strong

PLANS = [
    Convolutions((12,), (3, 4)),
    Convolutions((8, 12), (3, 4)),
    Convolutions((9, 6), (4,), kernel=5, stride=3),
    Convolutions((8, 8, 8), (2, 3)),
    Convolutions((5, 4), (3,), stride=1),
]


def rng(*path):
    return generator(19, *path, device="cpu")


def moved(features, channels, sides, axis, by=1):
    """The features with every channel shifted along one axis of its lattice."""
    return features.reshape(-1, channels, *sides).roll(by, axis + 2).reshape(features.shape)


def unbounded(network):
    """The same network with zeros beyond a border that the lattice does not have."""
    for layer in network.layers:
        if hasattr(layer, "padding_mode"):
            layer.padding_mode = "zeros"
    return network


@torch.no_grad()
@pytest.mark.parametrize("plan", PLANS)
def test_features_shift_by_one_where_sites_shift_by_the_stride(plan):
    network = Coarsening(plan, rng("down"), torch.device("cpu"))
    total, x = plan.stride ** len(plan.channels), torch.randn(3, torch.Size(plan.shape).numel(), generator=rng("x"))
    features = network(x)
    assert features.shape == (3, plan.n_features)
    for axis in range(len(plan.shape)):
        shifted = network(moved(x, 1, plan.shape, axis, total))
        torch.testing.assert_close(shifted, moved(features, plan.channels[-1], plan.coarse, axis))
        bordered = unbounded(Coarsening(plan, rng("down"), torch.device("cpu")))
        wrong = bordered(moved(x, 1, plan.shape, axis, total))
        assert float((wrong - moved(bordered(x), plan.channels[-1], plan.coarse, axis)).abs().max()) > 1e-2
        if total > 1:
            by_one = network(moved(x, 1, plan.shape, axis))
            assert float((by_one - moved(features, plan.channels[-1], plan.coarse, axis)).abs().max()) > 1e-2


@torch.no_grad()
@pytest.mark.parametrize("plan", PLANS)
def test_sites_shift_by_the_stride_where_features_shift_by_one(plan):
    network = Refining(plan, rng("up"), torch.device("cpu"))
    total, features = plan.stride ** len(plan.channels), torch.randn(3, plan.n_features, generator=rng("z"))
    x = network(features)
    assert x.shape == (3, torch.Size(plan.shape).numel())
    for axis in range(len(plan.shape)):
        shifted = network(moved(features, plan.channels[-1], plan.coarse, axis))
        torch.testing.assert_close(shifted, moved(x, 1, plan.shape, axis, total))
        bordered = unbounded(Refining(plan, rng("up"), torch.device("cpu")))
        wrong = bordered(moved(features, plan.channels[-1], plan.coarse, axis))
        assert float((wrong - moved(bordered(features), 1, plan.shape, axis, total)).abs().max()) > 1e-2


def test_a_convolutional_vae_has_a_law_and_gradients_everywhere():
    plan = Convolutions((2, 4), (3,))
    model = strong(VAE(8, (6,), 2, convolutions=plan, rng=rng("weights"), device="cpu"))
    every = states((-1.0, 1.0), 8)
    log_q = marginal(model, every)
    assert float(log_q.logsumexp(0)) == pytest.approx(0, abs=1e-9)
    torch.testing.assert_close(enumerated_log_law(model, tolerance=1e-8), log_q, atol=1e-4, rtol=0)
    assert float(log_q.std()) > 0.1
    model.elbo(every, model.noise(256, rng("noise"))).mean().backward()
    for name, parameter in model.named_parameters():
        assert float(parameter.grad.abs().max()) > 1e-6, name
    draws = torch.randn(4, 256, 2, generator=rng("noise"))
    assert model.elbo(every, draws).shape == (4, 256)
    torch.testing.assert_close(model.elbo(every, draws)[2], model.elbo(every, draws[2]))


@pytest.mark.parametrize("kind", [VAE, AutoregressiveVAE])
def test_config_and_parameters_give_the_model_back(kind):
    model = kind(16, (6,), 2, convolutions=Convolutions((4, 4), (3, 5)), rng=rng("weights"), device="cpu")
    twin = GENERATORS[model.config["model"]].from_config(json.loads(json.dumps(model.config))).to("cpu")
    assert twin.config == model.config and twin.convolutions == model.convolutions
    twin.load_state_dict(model.state_dict())
    v, noise = states((-1.0, 1.0), 16, 100, 110), model.noise(10, rng("noise"))
    torch.testing.assert_close(twin.elbo(v, noise), model.elbo(v, noise), rtol=0, atol=0)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="divisible by 4"):
        Convolutions((6, 8), (3, 3))
    with pytest.raises(ValueError, match="odd side"):
        Convolutions((4, 4), (3,), kernel=2)
    with pytest.raises(ValueError, match="narrowest lattice, 2"):
        Convolutions((4, 4), (3, 3), kernel=7)
    with pytest.raises(ValueError, match="1, 2 or 3 sides"):
        Convolutions((4, 4, 4, 4), (3,))
    with pytest.raises(ValueError, match="has not 9 sites"):
        VAE(9, convolutions=Convolutions((4, 4), (3,)), device="cpu")
