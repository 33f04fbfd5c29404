"""The bounds as objectives: exact averages over the noise, values by hand, and what is carried from call to call."""

import itertools
import math

import numpy as np
import pytest
import torch

from ebmphys.exact.enumeration import states
from ebmphys.generators import VAE, AutoregressiveVAE
from ebmphys.likelihood import marginal
from ebmphys.objectives import ELBO, ImportanceWeighted
from ebmphys.rng import generator
from ebmphys.train import Training, fit
from tests.generators.laws import strong

N = 4
VARIANTS = {
    "vae": (VAE, 1, {}),
    "symmetric": (VAE, 1, {"symmetric": True}),
    "two latents": (VAE, 2, {}),
    "full covariance": (VAE, 2, {"full_covariance": True}),
    "autoregressive": (AutoregressiveVAE, 1, {"decoder_hidden": (8,)}),
    "autoregressive, symmetric": (AutoregressiveVAE, 1, {"decoder_hidden": (8,), "symmetric": True}),
}


def rng(*path):
    return generator(31, *path, device="cpu")


def build(variant):
    kind, latent, options = VARIANTS[variant]
    return strong(kind(N, (6,), latent, rng=rng("weights"), device="cpu", **options), 1.5).double()


def every():
    return states((-1.0, 1.0), N, dtype=torch.float64)


def hermite(dimension, order=40):
    """Nodes of white noise, (nodes, dimension), and their weights, which sum to 1."""
    x, w = np.polynomial.hermite_e.hermegauss(order)
    nodes = np.stack(np.meshgrid(*[x] * dimension, indexing="ij"), -1).reshape(-1, dimension)
    weights = np.prod(np.meshgrid(*[w / w.sum()] * dimension, indexing="ij"), 0).ravel()
    return torch.from_numpy(nodes), torch.from_numpy(weights)


def exact_bound(model, v, draws=1):
    """The importance-weighted bound of so many draws, averaged over the noise on nodes; (n, N) -> (n,)."""
    nodes, weights = hermite(draws * model.latent, 40 if draws * model.latent < 3 else 24)
    noise = nodes.reshape(len(nodes), draws, 1, model.latent).expand(-1, -1, len(v), -1)
    return weights @ (model.log_importance_weights(v, noise).logsumexp(1) - math.log(draws))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_elbo_is_the_integral_of_its_definition(variant):
    """log q(v) - KL(posterior || true posterior) on a grid of z, which knows nothing of noise or of a closed form."""
    model, v = build(variant), every()
    nodes, weights = hermite(model.latent)
    with torch.no_grad():
        ours = weights @ model.elbo(v, nodes[:, None].expand(-1, len(v), -1))
        posterior = model.encode(v)
        t = torch.arange(-96, 97, dtype=torch.float64) / 12
        z = torch.cartesian_prod(*[t] * model.latent).reshape(-1, 1, model.latent)
        law = torch.distributions.MultivariateNormal(posterior.mean, posterior.covariance).log_prob(z)
        prior = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
        integrand = law.exp() * (prior + model.log_conditional(v, z) - law)
    torch.testing.assert_close(ours, integrand.sum(0) / 12**model.latent, atol=2e-4, rtol=0)
    torch.testing.assert_close(ours, exact_bound(model, v).detach(), atol=2e-4, rtol=0)
    # A divergence wrong by a part in a hundred would be seen.
    assert float(model.terms(v, nodes[:1, None].expand(-1, len(v), -1)).kl.detach().max()) > 0.05


@pytest.mark.parametrize("variant", [name for name, (_, latent, _) in VARIANTS.items() if latent == 1])
def test_bounds_rise_with_the_draws_and_stay_below_log_q(variant):
    """Exactly, for every configuration: no draw of luck is in these numbers."""
    model, v = build(variant), every()
    with torch.no_grad():
        bounds = [exact_bound(model, v, draws) for draws in (1, 2, 3)]
        log_q = marginal(model, v, tolerance=1e-8)
    assert float(log_q.logsumexp(0)) == pytest.approx(0, abs=1e-9)
    for low, high in itertools.pairwise([*bounds, log_q]):
        assert bool((low < high).all())
    assert float((log_q - bounds[0]).max()) > 0.02


@pytest.mark.parametrize("variant", VARIANTS)
def test_weights_of_all_configurations_sum_to_one_on_average(variant):
    model, v = build(variant), every()
    noise = torch.randn(20_000, len(v), model.latent, generator=rng("noise"), dtype=torch.float64)
    with torch.no_grad():
        sums = model.log_importance_weights(v, noise).exp().sum(-1)
        wrong = model.elbo(v, noise).exp().sum(-1)
    error = float(sums.std()) / len(sums) ** 0.5
    assert abs(float(sums.mean()) - 1) < 4 * error < 0.1
    assert abs(float(wrong.mean()) - 1) > 4 * float(wrong.std()) / len(sums) ** 0.5


def gradient(model, loss):
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])


@pytest.mark.parametrize("variant", ["vae", "full covariance", "autoregressive, symmetric"])
def test_the_gradient_is_on_average_that_of_the_enumerated_bound(variant):
    """Along random directions, over all configurations; the bound's exact gradient by nodes over the noise."""
    model, v = build(variant), every()
    cases = [(ELBO(rng("elbo"), 50), exact_bound(model, v)), (ELBO(rng("one")), exact_bound(model, v))]
    if model.latent == 1:
        cases.append((ImportanceWeighted(rng("iwae"), 2), exact_bound(model, v, 2)))
    for objective, bound in cases:
        exact = gradient(model, -bound.mean())
        directions = torch.randn(5, len(exact), generator=rng("directions"), dtype=torch.float64)
        found = torch.stack([gradient(model, objective(model, v)) for _ in range(200)]) @ directions.T
        error = found.std(0) / 200**0.5
        assert bool(((found.mean(0) - directions @ exact).abs() < 4 * error).all())
    # The gradient of the first case is sharp enough to tell two bounds apart.
    found = torch.stack([gradient(model, ELBO(rng("elbo"), 50)(model, v)) for _ in range(1)]) @ directions.T
    other = gradient(model, ELBO(rng("elbo"), 50, beta=1.5)(model, v)) @ directions.T
    assert float((found - other).abs().max()) > 0.1


def flat(means):
    """A linear VAE with posterior N(mean, 1) of means that the first site switches between, and a uniform law."""
    model = VAE(N, (), 2, rng=rng("flat"), device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        low, high = torch.tensor(means)
        model.encoder[0].bias[:2] = (low + high) / 2
        model.encoder[0].weight[:2, 0] = (high - low) / 2
    return model


def test_free_bits_by_hand():
    """KL of a latent is mean^2 / 2: 0 and 2 of the first, averaged over the batch 1; 0.02 always of the second."""
    model, v = flat([[0.0, 0.2], [2.0, 0.2]]), torch.tensor([[-1.0, 1, 1, 1], [1.0, 1, 1, 1]])
    uniform = N * math.log(2)
    for free, expected in ((0.0, 1 + 0.02), (0.5, 1 + 0.5), (1.5, 1.5 + 1.5)):
        loss = ELBO(rng("noise"), free_bits=free)(model, v)
        assert loss.item() == pytest.approx(uniform + expected, abs=1e-5)
    # A floor for each configuration would give (0.5 + 2) / 2 for the first latent.
    assert ELBO(rng("noise"), free_bits=0.5)(model, v).item() != pytest.approx(uniform + 1.25 + 0.5, abs=0.1)
    model.zero_grad()
    ELBO(rng("noise"), free_bits=0.5)(model, v).backward()
    gradients = model.encoder[0].bias.grad
    assert float(gradients[0]) == pytest.approx(1.0) and float(gradients[1]) == 0


def test_the_weight_of_the_divergence_rises_from_zero():
    model, v = flat([[2.0, 0.0], [2.0, 0.0]]), torch.ones(3, N)
    objective = ELBO(rng("noise"), warm_up=4)
    found = [objective(model, v).item() - N * math.log(2) for _ in range(6)]
    assert found == pytest.approx([0, 0.5, 1.0, 1.5, 2.0, 2.0], abs=1e-5)
    assert ELBO(rng("noise"), beta=3)(model, v).item() == pytest.approx(N * math.log(2) + 6, abs=1e-5)
    steep = ELBO(rng("noise"), beta=3, warm_up=2)
    assert [steep(model, v).item() - N * math.log(2) for _ in range(3)] == pytest.approx([0, 3, 6], abs=1e-5)


def trained(objective, epochs, path=None, resume=False, model=None):
    model = strong(VAE(N, (6,), 2, rng=rng("weights"), device="cpu")) if model is None else model
    data = model.draw(60, rng("data"))
    settings = Training(epochs=epochs, batch_size=20, schedule="constant")
    fit(model, data, objective, settings, rng=rng("fit"), checkpoint=path, resume=resume)
    return torch.nn.utils.parameters_to_vector(model.parameters())


def test_a_warm_up_is_resumed_bit_for_bit(tmp_path):
    """Six epochs of three calls each, and the same in two parts; a count that starts anew would be seen."""

    def objective():
        return ELBO(rng("noise"), 2, warm_up=15, free_bits=0.01)

    whole, path = trained(objective(), 6), tmp_path / "part.pt"
    trained(objective(), 3, path)
    second = objective()
    assert torch.equal(trained(second, 6, path, resume=True), whole) and second.calls == 18
    trained(objective(), 3, path)
    forgetful = objective()
    load, forgetful.load_state_dict = forgetful.load_state_dict, lambda state: load(state | {"calls": 0})
    assert not torch.equal(trained(forgetful, 6, path, resume=True), whole)


def test_importance_weights_are_resumed_bit_for_bit(tmp_path):
    whole, path = trained(ImportanceWeighted(rng("noise"), 3), 4), tmp_path / "part.pt"
    trained(ImportanceWeighted(rng("noise"), 3), 2, path)
    assert torch.equal(trained(ImportanceWeighted(rng("other"), 3), 4, path, resume=True), whole)


def test_the_value_is_the_exact_bound_and_with_one_importance_weight_the_elbo():
    model, v = build("vae"), every()
    rows = v.repeat(4000, 1)
    with torch.no_grad():
        one, elbo = (kind(rng(kind.__name__), 1)(model, rows) for kind in (ImportanceWeighted, ELBO))
        ten = ImportanceWeighted(rng("ten"), 10)(model, rows)
    exact = -exact_bound(model, v).mean().item()
    assert float(one) == pytest.approx(exact, abs=0.02) and float(elbo) == pytest.approx(exact, abs=0.02)
    assert float(ten) < exact - 0.02
    with torch.no_grad():
        two = ImportanceWeighted(rng("two"), 2)(model, rows)
    assert float(two) == pytest.approx(-exact_bound(model, v, 2).mean().item(), abs=0.02)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="0 or more"):
        ELBO(rng(), beta=-1)
    with pytest.raises(ValueError, match="draws must be 1 or more"):
        ImportanceWeighted(rng(), 0)
    with pytest.raises(ValueError, match="Linear has no ELBO"):
        ImportanceWeighted(rng())(torch.nn.Linear(2, 2), every())
