"""Gradients of exact likelihoods, and networks that learn a small lattice from its configurations."""

import pytest
import torch

from ebmphys.energies import Ising, ferromagnet
from ebmphys.exact.enumeration import log_weights, states
from ebmphys.generators import MADE, FrontierNetwork
from ebmphys.lattice import Lattice
from ebmphys.likelihood import kl_to_exact, log_likelihood
from ebmphys.objectives import MaximumLikelihood
from ebmphys.train import Training, fit
from tests.generators.test_autoregressive import NETWORKS, randomised, rng
from tests.objectives.exactly import rows_in_proportion


@pytest.mark.parametrize("name", ["made", "frontier", "pixelcnn"])
def test_log_likelihoods_are_differentiable_in_every_parameter(name):
    model = NETWORKS[f"{name}, symmetric"]
    v = model.draw(30, rng("v")).double()
    model.zero_grad()
    model.log_prob(v).mean().backward()
    for key, parameter in model.named_parameters():
        assert float(parameter.grad.abs().max()) > 1e-6, key
        direction = torch.randn(parameter.shape, generator=rng(key), dtype=torch.float64)
        slope, values = float((parameter.grad * direction).sum()), []
        with torch.no_grad():
            for shift in (1e-5, -2e-5):
                parameter += shift * direction
                values.append(float(model.log_prob(v).mean()))
            parameter += 1e-5 * direction
        # The ramps of relu leave differences of second order where one is crossed.
        assert slope == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4, abs=1e-6), key


def test_maximum_likelihood_has_the_gradient_of_the_exact_divergence():
    model = randomised(MADE(6, (9,), device="cpu")).double()
    law = torch.softmax(log_weights(Ising(Lattice((6,)), field=0.2, device="cpu"), 0.7), 0)
    every = states((-1.0, 1.0), 6, dtype=torch.float64)
    kl = (law * (law.log() - model.log_prob(every))).sum()
    exact = torch.autograd.grad(kl, list(model.parameters()))
    rows = rows_in_proportion(law, every, 200_000)
    found = torch.autograd.grad(MaximumLikelihood()(model, rows), list(model.parameters()))
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="Ising has no exact likelihood"):
        MaximumLikelihood()(ferromagnet((2, 2)), every)


@pytest.mark.parametrize("kind", ["made", "frontier"])
def test_training_on_a_small_lattice_reaches_its_law(kind):
    ising, beta = ferromagnet((3, 3), device="cpu"), 0.4
    law = torch.softmax(log_weights(ising, beta), 0)
    data = states((-1.0, 1.0), 9)[torch.multinomial(law, 20_000, replacement=True, generator=rng("data"))]
    model = MADE(9, (32,), symmetric=True, rng=rng("w"), device="cpu")
    if kind == "frontier":
        model = FrontierNetwork(Lattice((3, 3)), (16, 16), symmetric=True, rng=rng("w"), device="cpu")
    settings = Training(epochs=6, batch_size=100, learning_rate=1e-2)
    before = kl_to_exact(ising, beta, model)
    fit(model, data, MaximumLikelihood(), settings, rng=rng("fit"))
    assert kl_to_exact(ising, beta, model) < 0.01 < 1 < before
    assert float(log_likelihood(model, data).mean()) == pytest.approx(float((law * law.log()).sum()), abs=0.03)
