"""Global flips of bit-packed chains: the law of a lattice in a field is kept, and both signs come without one."""

import pytest
import torch

from ebmphys.energies import RBM, DeepBoltzmannMachine, Ising
from ebmphys.lattice import Lattice
from ebmphys.rng import generator
from ebmphys.samplers import Chains, MultiSpin, offer_flips
from tests.samplers.laws import exact_draws, p_value

BETA = 0.3


@pytest.fixture(scope="module")
def model():
    return Ising(Lattice((3, 4)), field=0.15, device="cpu")


def packed(model, x, seed=1):
    chains = MultiSpin(model).init(len(x), beta=BETA, rng=generator(seed, "flips", device="cpu"))
    chains.x = x
    return chains


def test_flips_keep_the_law_in_a_field(model):
    x = exact_draws(model, BETA, 100_000, seed=1)
    chains = packed(model, x)
    offer_flips(model, chains)
    assert p_value(model, BETA, chains.x) > 1e-4
    turned = (chains.x != x).all(-1)
    assert torch.equal(chains.x, torch.where(turned[:, None], -x, x)) and 0.2 < turned.double().mean() < 0.5
    chains.turn_over(torch.rand(len(x), generator=generator(3, "even", device="cpu")) < 0.5)
    assert p_value(model, BETA, chains.x) < 1e-9  # control: even chances in a field


@pytest.mark.parametrize("kind", ["packed", "plain"])
def test_flips_have_their_probability(model, kind):
    up = torch.ones(40_000, 12)
    for x in (up, -up):
        chains = packed(model, x) if kind == "packed" else Chains(x.clone(), torch.tensor(BETA), packed(model, x).rng)
        offer_flips(model, chains)
        share = float((chains.x != x).all(-1).double().mean())
        cost = 2 * 0.15 * 12 * float(x[0, 0])
        p = min(1.0, float(torch.exp(torch.tensor(-BETA * cost)))) / 2
        assert abs(share - p) < 4 * (p * (1 - p) / 40_000) ** 0.5


def test_both_signs_are_even_without_a_field():
    model = Ising(Lattice((3, 4)), device="cpu")
    chains = packed(model, torch.ones(10_000, 12))
    offer_flips(model, chains)
    assert abs(float(chains.magnetization(12).mean())) < 4 / 100


@pytest.mark.parametrize(
    "machine",
    [
        RBM(5, 4, biases=False, rng=generator(1, device="cpu"), scale=2.0, device="cpu"),
        DeepBoltzmannMachine(4, (3, 2), biases=False, rng=generator(2, device="cpu"), scale=2.0, device="cpu"),
    ],
    ids=["rbm", "dbm"],
)
def test_an_even_machine_turns_all_its_sites_over_or_none(machine):
    x = torch.randn(20_000, machine.n_sites, generator=generator(3, device="cpu")).sign()
    chains = Chains(x.clone(), torch.tensor(1.0), generator(4, device="cpu"))
    offer_flips(machine, chains)
    turned = (chains.x != x).any(-1)
    assert torch.equal(chains.x, torch.where(turned[:, None], -x, x))
    torch.testing.assert_close(machine.energy(chains.x), machine.energy(x), atol=1e-4, rtol=1e-5)
    assert abs(float(turned.double().mean()) - 0.5) < 4 * 0.5 / 20_000**0.5
