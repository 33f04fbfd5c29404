"""Every sampler x every model against enumeration, with a wrong beta as the negative control.

One step from exact draws (Gandy and Scott 2020): configurations drawn from the enumerated law stay distributed by
it under any correct step, so their states pass a chi-square test of independent draws, whatever the mixing time.
The threshold is 1e-4 a test with fixed seeds; the control shows what that lets through.
"""

import pytest
import torch

from ebmphys.energies import exchanged
from ebmphys.rng import generator
from ebmphys.samplers import (
    BlockGibbs,
    Chains,
    Enumerated,
    Metropolis,
    MetropolisHastings,
    Schedule,
    draws,
    spin_exchange,
)
from tests.models import continuous_models, multivalued_models, small_models
from tests.samplers.laws import exact_draws, p_value

MODELS = small_models()
MULTIVALUED = multivalued_models()
CONTINUOUS = continuous_models()
DRAWS = 100_000
THRESHOLD = 1e-4


def random_flip(model):
    """Flip one random site to its other value: a proposal for every model of two-valued units."""
    total = torch.empty(model.n_sites)
    for name, sites in model.blocks.items():
        total[sites] = sum(model.units[name].values)

    def proposal(x, rng):
        site = torch.randint(x.shape[-1], (*x.shape[:-1], 1), generator=rng, device=x.device)
        return x.scatter(-1, site, total[site] - x.gather(-1, site)), 0.0

    return proposal


def biased_flip(x, rng):
    """Propose flips up three times as often as flips down, and say so in the log-ratio."""
    site = torch.randint(x.shape[-1], (*x.shape[:-1], 1), generator=rng, device=x.device)
    value = x.gather(-1, site)
    go = torch.rand(value.shape, generator=rng, device=x.device) < torch.where(value < 0, 0.75, 0.25)
    log_three = torch.tensor(3.0).log()
    log_ratio = torch.where(go, torch.where(value < 0, -log_three, log_three), 0.0).squeeze(-1)
    return x.scatter(-1, site, torch.where(go, -value, value)), log_ratio


SAMPLERS = {
    "gibbs": BlockGibbs,
    "metropolis": Metropolis,
    "random flips": lambda model: MetropolisHastings(model, random_flip(model)),
}


@pytest.mark.parametrize("beta", [0.4406868, 1.0])
@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.parametrize("name", MODELS)
def test_exact_draws_stay_exact(name, kind, beta):
    model = MODELS[name]
    chains = Chains(exact_draws(model, beta, DRAWS, seed=1), torch.tensor(beta), generator(2, name, kind, device="cpu"))
    sampler = SAMPLERS[kind](model)
    for _ in range(3):
        sampler.step(chains)
    assert p_value(model, beta, chains.x) > THRESHOLD


@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.parametrize("name", ["ising 3x4", "ising 2x4", "ising 3x4 field"])
def test_three_percent_of_beta_are_noticed(name, kind):
    # The power of the test above: with the same number of draws, 20 steps at a beta 3 % off are always rejected.
    model, beta = MODELS[name], 0.4
    start = exact_draws(model, beta, DRAWS, seed=1)
    chains = Chains(start, torch.tensor(1.03 * beta), generator(2, kind, device="cpu"))
    sampler = SAMPLERS[kind](model)
    for _ in range(20 if kind != "random flips" else 80):
        sampler.step(chains)
    assert p_value(model, beta, chains.x) < THRESHOLD


@pytest.mark.parametrize("kind", ["gibbs", "metropolis"])
@pytest.mark.parametrize("name", MODELS)
def test_chains_from_random_starts_reach_the_law(name, kind):
    # Irreducibility, which draws that are exact from the start cannot show.
    model, beta = MODELS[name], 0.35
    sampler = SAMPLERS[kind](model)
    chains = sampler.init(DRAWS // 5, beta=beta, rng=generator(3, name, device="cpu"))
    for _ in range(60):
        sampler.step(chains)
    assert p_value(model, beta, chains.x) > THRESHOLD


@pytest.mark.parametrize("kind", ["gibbs", "metropolis", "random flips"])
def test_every_chain_keeps_its_own_beta(kind):
    model, betas = MODELS["ising 3x4 field"], [0.1, 0.3, 0.7]
    start = torch.stack([exact_draws(model, beta, DRAWS // 2, seed=5) for beta in betas])
    chains = Chains(start, torch.tensor(betas)[:, None], generator(6, kind, device="cpu"))
    for _ in range(3):
        SAMPLERS[kind](model).step(chains)
    for beta, x in zip(betas, chains.x, strict=True):
        assert p_value(model, beta, x) > THRESHOLD
    assert p_value(model, betas[0], chains.x[1]) < THRESHOLD


@pytest.mark.parametrize("name", ["ising 3x4 field", "+-J 3x4"])
def test_the_log_ratio_of_a_biased_proposal_is_paid(name):
    model, beta = MODELS[name], 0.4
    for proposal, honest in ((biased_flip, True), (lambda x, rng: (biased_flip(x, rng)[0], 0.0), False)):
        chains = Chains(exact_draws(model, beta, DRAWS, seed=1), torch.tensor(beta), generator(2, device="cpu"))
        for _ in range(3):
            MetropolisHastings(model, proposal).step(chains)
        assert (p_value(model, beta, chains.x) > THRESHOLD) is honest


def test_spin_exchange_keeps_the_magnetization_and_its_law():
    model, beta = MODELS["ising 3x4"], 0.4
    start = exact_draws(model, beta, DRAWS, seed=1)
    chains = Chains(start.clone(), torch.tensor(beta), generator(2, device="cpu"))
    acceptance = [MetropolisHastings(model, spin_exchange).step(chains)["acceptance"].mean() for _ in range(5)]
    assert torch.equal(chains.x.sum(-1), start.sum(-1))
    assert (chains.x != start).any(-1).float().mean() > 0.2
    assert 0.1 < torch.stack(acceptance).mean() < 0.95
    assert p_value(model, beta, chains.x) > THRESHOLD


@pytest.mark.parametrize("beta", [0.3, 1.0])
@pytest.mark.parametrize("name", MODELS)
def test_enumerated_draws_are_independent_and_exact(name, beta):
    model = MODELS[name]
    sampler = Enumerated(model)
    chains = sampler.init(2, DRAWS // 2, beta=torch.tensor([[0.1], [beta]]), rng=generator(4, device="cpu"))
    first = chains.x.clone()
    sampler.step(chains)
    assert p_value(model, beta, chains.x[1]) > THRESHOLD
    assert p_value(model, 0.1, chains.x[0]) > THRESHOLD
    assert p_value(model, beta, chains.x[0]) < THRESHOLD
    energies = torch.stack([model.energy(first[1]), model.energy(chains.x[1])]).detach()
    assert abs(torch.corrcoef(energies)[0, 1]) < 4 / (DRAWS // 2) ** 0.5


@pytest.mark.parametrize("beta", [0.4, 1.0])
@pytest.mark.parametrize("name", MULTIVALUED)
def test_draws_of_multivalued_units_stay_exact(name, beta):
    model = MULTIVALUED[name]
    chains = Chains(exact_draws(model, beta, DRAWS, seed=1), torch.tensor(beta), generator(2, name, device="cpu"))
    for _ in range(3):
        BlockGibbs(model).step(chains)
    assert p_value(model, beta, chains.x) > THRESHOLD
    fresh = BlockGibbs(model).init(DRAWS // 5, beta=beta, rng=generator(3, name, device="cpu"))
    for _ in range(60):
        BlockGibbs(model).step(fresh)
    assert p_value(model, beta, fresh.x) > THRESHOLD


@pytest.mark.parametrize("name", MULTIVALUED)
def test_ten_percent_of_beta_are_noticed_by_multivalued_units(name):
    model = MULTIVALUED[name]
    chains = Chains(exact_draws(model, 1.0, DRAWS, seed=1), torch.tensor(1.1), generator(2, name, device="cpu"))
    for _ in range(8):
        BlockGibbs(model).step(chains)
    assert p_value(model, 1.0, chains.x) < THRESHOLD


def two_valued_layer(model, beta) -> tuple[str, torch.Tensor, torch.Tensor]:
    """Name, states and law of the layer of spins or bits, the layer of real units integrated out."""
    name, side = ("visible", model) if model.visible.values else ("hidden", exchanged(model))
    states = torch.cartesian_prod(*[torch.tensor(side.visible.values)] * side.n_visible)
    return name, states, (-beta * side.free_energy(states, beta)).detach().double().softmax(0)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_real_layers_leave_the_two_valued_layer_in_its_law(name):
    model, beta = CONTINUOUS[name], 0.8
    layer, states, p = two_valued_layer(model, beta)
    sites, powers = model.blocks[layer], 2 ** torch.arange(states.shape[1] - 1, -1, -1)
    for own, sweeps, honest in ((beta, 3, True), (0.9 * beta, 12, False)):
        chains = BlockGibbs(model).init(DRAWS, beta=own, rng=generator(7, name, device="cpu"))
        chains.x[:, sites] = states[torch.multinomial(p, DRAWS, replacement=True, generator=chains.rng)]
        BlockGibbs(model, clamp={layer}).step(chains)
        for _ in range(sweeps):
            BlockGibbs(model).step(chains)
        drawn = (chains.x[:, sites] > states[0]).long() @ powers
        statistic = ((torch.bincount(drawn, minlength=len(p)) - DRAWS * p) ** 2 / (DRAWS * p)).sum().item()
        assert (statistic < len(p) + 5 * (2 * len(p)) ** 0.5) is honest


def test_conditional_sampling_given_a_clamped_block():
    model, beta = MODELS["rbm spin-bit"], 0.9
    sampler = BlockGibbs(model, clamp={"visible"})
    chains = sampler.init(DRAWS, beta=beta, rng=generator(8, device="cpu"))
    chains.x[:, :6] = torch.tensor([1.0, -1, -1, 1, 1, -1])
    sampler.step(chains)
    assert (chains.x[:, :6] == chains.x[0, :6]).all()
    mean = model.hidden.mean(beta * model.conditional(chains.x[:1], "hidden"))[0]
    sigma = (mean * (1 - mean) / DRAWS) ** 0.5
    assert ((chains.x[:, 6:].mean(0) - mean).abs() < 4.5 * sigma).all()


def test_stopping_and_going_on_visits_the_same_states():
    model = MODELS["ising 3x4"]
    sampler = Metropolis(model)
    whole = [c.x.clone() for c in draws(sampler, sampler.init(5, rng=generator(1, device="cpu")), Schedule(6, 2, 3))]
    chains = sampler.init(5, rng=generator(1, device="cpu"))
    first = [c.x.clone() for c in draws(sampler, chains, Schedule(2, 2, 3))]
    rng = torch.Generator()
    rng.set_state(chains.rng.get_state())
    restarted = Chains(chains.x.clone(), chains.beta, rng)
    rest = [c.x.clone() for c in draws(sampler, restarted, Schedule(4, 2))]
    assert all(torch.equal(a, b) for a, b in zip(whole, first + rest, strict=True))
