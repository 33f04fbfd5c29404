"""Samplers that follow gradients, against exact laws: enumerated, integrated, or Gaussian mixtures drawn directly."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats

from ebmphys.energies import RBM, BoltzmannMachine, Ising, NeuralEnergy
from ebmphys.lattice import Lattice
from ebmphys.rng import generator
from ebmphys.samplers import HMC, Chains, GibbsWithGradients, Langevin, first_order_flips
from ebmphys.samplers.gradient import locally_informed
from ebmphys.units import Bit, Gaussian, Potts, Spin
from tests.machines import with_random_parameters
from tests.models import small_models
from tests.samplers.laws import all_states, exact_draws, p_value

DRAWS = 100_000
THRESHOLD = 1e-4
MLP = {"kind": "mlp", "hidden": [6]}
MODELS = {
    name: model
    for name, model in small_models().items()
    if name in ("ising 2x4", "+-J 3x4", "rbm bit-spin", "bm complete bits", "bm hidden", "neural symmetric")
}
MODELS["neural bits"] = with_random_parameters(NeuralEnergy(6, MLP, Bit(), device="cpu"), "bits", 1.5)


def rng(*path):
    return generator(24, *path, device="cpu")


def from_exact(model, beta, *path, count=DRAWS):
    return Chains(exact_draws(model, beta, count, seed=1), torch.tensor(beta), rng(*path))


@pytest.mark.parametrize("beta", [0.5, 1.0])
@pytest.mark.parametrize("name", MODELS)
def test_exact_draws_stay_exact_under_informed_flips(name, beta):
    model = MODELS[name]
    chains = from_exact(model, beta, name)
    acceptance = GibbsWithGradients(model, proposals=3).step(chains)["acceptance"]
    assert p_value(model, beta, chains.x) > THRESHOLD
    assert acceptance.shape == (DRAWS,) and 0.003 < acceptance.mean() <= 1


@pytest.mark.parametrize("name", ["ising 2x4", "bm complete bits", "neural bits"])
def test_informed_flips_without_their_test_are_noticed(name, monkeypatch):
    model, beta = MODELS[name], 1.0
    monkeypatch.setattr(locally_informed, "uniforms", lambda shape, rng: torch.zeros(shape))
    chains = from_exact(model, beta, name)
    GibbsWithGradients(model, proposals=3).step(chains)
    assert p_value(model, beta, chains.x) < THRESHOLD


@pytest.mark.parametrize("name", ["ising 2x4", "neural bits"])
def test_a_beta_that_is_off_is_noticed(name):
    model, beta = MODELS[name], 0.5
    chains = from_exact(model, beta, name)
    chains.beta = torch.tensor(1.05 * beta)
    GibbsWithGradients(model, proposals=40).step(chains)
    assert p_value(model, beta, chains.x) < THRESHOLD


@pytest.mark.parametrize("name", ["ising 2x4", "bm hidden", "neural symmetric", "neural bits"])
def test_one_flip_from_one_state_has_its_probabilities(name):
    """P(x -> x with i flipped) = q_i min(1, exp(-beta dE) q'_i / q_i), written out, against many copies of a state."""
    model, beta, n = MODELS[name], 0.8, MODELS[name].n_sites
    at = all_states(model)[5]
    neighbours = at.repeat(n, 1)
    for i, sites in enumerate(torch.arange(n)):
        block = next(b for b, where in model.blocks.items() if i in torch.arange(n)[where].tolist())
        neighbours[i, sites] = sum(model.units[block].values) - at[i]

    def proposed(x):
        slope = torch.autograd.functional.jacobian(lambda y: model.energy(y), x)
        total = at + neighbours.diagonal()  # both values of each site
        return torch.softmax(-beta * (total - 2 * x) * slope / 2, -1)

    here = proposed(at)
    back = torch.stack([proposed(x)[i] for i, x in enumerate(neighbours)])
    cost = (model.energy(neighbours) - model.energy(at)).detach()
    moves = here * ((-beta * cost).exp() * back / here).clamp(max=1)
    chains = Chains(at.repeat(DRAWS, 1), torch.tensor(beta), rng(name))
    acceptance = GibbsWithGradients(model).step(chains)["acceptance"]
    changed = (chains.x != at).float()
    observed = np.append(changed.sum(0).double().numpy(), float((changed.sum(-1) == 0).sum()))
    expected = np.append(moves.double().numpy(), 1 - float(moves.double().sum())) * DRAWS
    used = expected > 5
    assert stats.chisquare(observed[used], expected[used] * observed[used].sum() / expected[used].sum()).pvalue > 1e-4
    assert acceptance.sum() == changed.sum()
    assert moves.max() > 1.5 * moves.min()


def test_every_chain_keeps_its_own_beta_and_shape():
    model, betas = MODELS["bm complete bits"], [0.2, 1.0]
    start = torch.stack([exact_draws(model, beta, DRAWS // 2, seed=5) for beta in betas])
    chains = Chains(start, torch.tensor(betas)[:, None], rng("betas"))
    assert GibbsWithGradients(model, 2).step(chains)["acceptance"].shape == (2, DRAWS // 2)
    for beta, x in zip(betas, chains.x, strict=True):
        assert p_value(model, beta, x) > THRESHOLD
    assert p_value(model, betas[0], chains.x[1]) < THRESHOLD


def test_first_order_is_exact_for_machines_and_not_for_networks():
    for name, exact in (("ising 2x4", True), ("bm hidden", True), ("rbm bit-spin", True), ("neural bits", False)):
        model = MODELS[name]
        x = all_states(model)[::3]
        energy, costs = first_order_flips(model, x)
        torch.testing.assert_close(energy, model.energy(x).detach())
        assert not costs.requires_grad
        sums = all_states(model)[0] + all_states(model)[-1]
        errors = []
        for site in range(model.n_sites):
            other = x.clone()
            other[:, site] = sums[site] - other[:, site]
            errors.append((model.energy(other) - model.energy(x) - costs[:, site]).abs().max())
        assert bool(max(errors) < 1e-4) is exact


def test_chains_from_random_starts_reach_the_law():
    model = Ising(Lattice((2, 4)), field=0.2, device="cpu")
    sampler = GibbsWithGradients(model, proposals=8)
    chains = sampler.init(20_000, beta=0.4, rng=rng("random"))
    for _ in range(25):
        sampler.step(chains)
    assert p_value(model, 0.4, chains.x) > THRESHOLD


# Real units: a machine whose visible law is a mixture of Gaussians, one for each hidden state.

MIXTURE = with_random_parameters(RBM(3, 3, Gaussian(0.8), Spin(), device="cpu"), "mixture", 0.6)


def mixture_draws(beta, count, *path):
    """Exact draws (v, h): h from its enumerated law, v given h normal; and the law of h."""
    h = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)
    field = (h @ MIXTURE.weights.T + MIXTURE.visible_bias).detach()
    eta = beta * MIXTURE.visible.natural(field)
    log_p = beta * (h @ MIXTURE.hidden_bias.detach()) + MIXTURE.visible.log_partition(eta).sum(-1)
    p = log_p.double().softmax(0)
    which = torch.multinomial(p, count, replacement=True, generator=rng(*path, "h"))
    noise = torch.randn(count, 3, generator=rng(*path, "v")) * 0.8 / beta**0.5
    return torch.cat([0.8**2 * field[which] + noise, h[which]], -1), p


def hidden_p_value(x, p):
    index = ((x[:, 3:] > 0).long() * torch.tensor([4, 2, 1])).sum(-1)
    counts = torch.bincount(index, minlength=8).numpy()
    return stats.chisquare(counts, p.numpy() * len(x)).pvalue


def visible_p_value(x, other):
    """The least of the two-sample tests of every coordinate, of a product of two and of the energy."""
    looks = [x[:, 0], x[:, 1], x[:, 2], x[:, 0] * x[:, 1], MIXTURE.energy(x).detach()]
    looks_other = [other[:, 0], other[:, 1], other[:, 2], other[:, 0] * other[:, 1], MIXTURE.energy(other).detach()]
    return min(stats.ks_2samp(a.numpy(), b.numpy()).pvalue for a, b in zip(looks, looks_other, strict=True))


TRAJECTORIES = {
    "hmc": HMC(MIXTURE, 0.45, 4),
    "langevin": Langevin(MIXTURE, 0.15),
}


@pytest.mark.parametrize("beta", [0.6, 1.0])
@pytest.mark.parametrize("kind", TRAJECTORIES)
def test_exact_draws_stay_exact_along_trajectories(kind, beta):
    sampler = TRAJECTORIES[kind]
    start, p = mixture_draws(beta, DRAWS, "start")
    chains = Chains(start.clone(), torch.tensor(beta), rng(kind))
    acceptance = torch.stack([sampler.step(chains)["acceptance"] for _ in range(4)]).mean()
    fresh, _ = mixture_draws(beta, DRAWS, "fresh")
    assert 0.4 < acceptance < 0.99
    assert (chains.x[:, :3] != start[:, :3]).any(-1).float().mean() > 0.8
    assert hidden_p_value(chains.x, p) > THRESHOLD
    assert visible_p_value(chains.x, fresh) > THRESHOLD


@pytest.mark.parametrize("kind", ["no test", "another beta"])
def test_what_would_be_wrong_is_noticed(kind):
    sampler = Langevin(MIXTURE, 0.15, adjusted=kind != "no test")
    start, _ = mixture_draws(1.0, DRAWS, "start")
    chains = Chains(start, torch.tensor(1.0 if kind == "no test" else 1.1), rng(kind))
    for _ in range(10):
        happened = sampler.step(chains)
    fresh, _ = mixture_draws(1.0, DRAWS, "fresh")
    assert visible_p_value(chains.x, fresh) < THRESHOLD
    assert kind != "no test" or happened["acceptance"].mean() == 1


def test_every_trajectory_keeps_its_own_beta():
    betas = [0.5, 1.5]
    chains = Chains(
        torch.stack([mixture_draws(beta, DRAWS // 2, "start")[0] for beta in betas]),
        torch.tensor(betas)[:, None],
        rng("betas"),
    )
    for _ in range(3):
        assert HMC(MIXTURE, 0.3, 5).step(chains)["acceptance"].shape == (2, DRAWS // 2)
    fresh = [mixture_draws(beta, DRAWS // 2, "fresh")[0] for beta in betas]
    for x, other in zip(chains.x, fresh, strict=True):
        assert visible_p_value(x, other) > THRESHOLD
    assert visible_p_value(chains.x[0], fresh[1]) < THRESHOLD


@pytest.mark.parametrize("sampler", [HMC, Langevin])
def test_a_network_energy_of_one_site_has_its_integrated_law(sampler):
    model = with_random_parameters(NeuralEnergy(1, MLP, Gaussian(1.5), device="cpu"), "line", 1.0)
    beta, grid = 0.9, torch.linspace(-20, 20, 20_001)
    density = (-beta * model.energy(grid[:, None]).detach().double()).softmax(0).numpy()
    cumulated = density.cumsum() - density / 2
    u = torch.rand(DRAWS, generator=rng("u"), dtype=torch.float64).numpy()
    start = torch.from_numpy(np.interp(u, cumulated, grid.numpy())).float()[:, None]
    for adjusted in (True, False):
        # The control of HMC is a wrong beta, that of Langevin a test left out.
        moves = HMC(model, 0.9, 3) if sampler is HMC else Langevin(model, 1.0, adjusted)
        heat = 1.1 * beta if sampler is HMC and not adjusted else beta
        chains = Chains(start.clone(), torch.tensor(heat), rng("line"))
        for _ in range(5):
            moves.step(chains)
        p = stats.kstest(chains.x[:, 0].double().numpy(), lambda x: np.interp(x, grid.numpy(), cumulated)).pvalue
        assert bool(p > THRESHOLD) is adjusted


def test_unadjusted_langevin_has_the_variance_that_its_step_gives_it():
    """A free unit of sigma = 1: v' = (1 - epsilon) v + sqrt(2 epsilon) noise settles at 1 / (1 - epsilon / 2)."""
    free, epsilon = NeuralEnergy(1, {"kind": "mlp", "hidden": [1]}, Gaussian(), device="cpu"), 0.4
    with torch.no_grad():
        for parameter in free.parameters():
            parameter.zero_()
    for adjusted, variance in ((False, 1 / (1 - epsilon / 2)), (True, 1.0)):
        sampler = Langevin(free, epsilon, adjusted)
        chains = sampler.init(DRAWS, rng=rng("free"))
        for _ in range(20):
            sampler.step(chains)
        assert abs(chains.x.var() / variance - 1) < 4.5 * (2 / DRAWS) ** 0.5


def test_langevin_is_one_leapfrog_and_short_ones_are_accepted():
    start, _ = mixture_draws(1.0, 2000, "start")
    one, two = (Chains(start.clone(), torch.tensor(1.0), rng("same")) for _ in range(2))
    Langevin(MIXTURE, 0.08).step(one)
    HMC(MIXTURE, math.sqrt(0.16), 1).step(two)
    assert torch.equal(one.x, two.x)
    # The error of H over a fixed time falls with the square of the step: what is refused falls so too.
    refused = []
    for h, steps in ((0.4, 5), (0.2, 10), (0.1, 20)):
        chains = Chains(mixture_draws(1.0, DRAWS, "start")[0], torch.tensor(1.0), rng("short"))
        refused.append(1 - HMC(MIXTURE, h, steps).step(chains)["acceptance"].mean())
    for wide, narrow in pairwise(refused):
        assert 3 < wide / narrow < 5


def test_diverging_trajectories_are_refused_and_infinite_energies_said():
    chains = Chains(mixture_draws(1.0, 100, "start")[0], torch.tensor(1.0), rng("diverge"))
    before = chains.x.clone()
    assert HMC(MIXTURE, 50.0, 60).step(chains)["acceptance"].sum() == 0
    assert torch.equal(chains.x[:, :3], before[:, :3])
    chains.x[3, 0] = math.inf
    with pytest.raises(ValueError, match="not finite where a chain is"):
        HMC(MIXTURE, 0.1).step(chains)
    broken = BoltzmannMachine(4, device="cpu")
    with torch.no_grad():
        broken.bias[2] = math.nan
    with pytest.raises(ValueError, match="not a number"):
        GibbsWithGradients(broken).step(GibbsWithGradients(broken).init(3, rng=rng("nan")))


def test_gradients_of_the_model_are_left_alone():
    for sampler in (GibbsWithGradients(MODELS["bm hidden"]), HMC(MIXTURE, 0.1)):
        chains = sampler.init(4, rng=rng("grad"))
        sampler.step(chains)
        assert not chains.x.requires_grad
        assert all(p.grad is None for p in sampler.model.parameters())


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="flips two-valued units"):
        GibbsWithGradients(MIXTURE)
    with pytest.raises(ValueError, match="flips two-valued units"):
        GibbsWithGradients(RBM(2, 2, Potts(3), Spin(), device="cpu"))
    with pytest.raises(ValueError, match="1 or more proposals"):
        GibbsWithGradients(MODELS["bm hidden"], 0)
    with pytest.raises(ValueError, match="need Gaussian visible units"):
        HMC(MODELS["bm hidden"], 0.1)
    for options in ({"step_size": 0.0}, {"step_size": math.inf}, {"step_size": 0.1, "leapfrogs": 0}):
        with pytest.raises(ValueError, match="step_size > 0 and leapfrogs >= 1"):
            HMC(MIXTURE, **options)
