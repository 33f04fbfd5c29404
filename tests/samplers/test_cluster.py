"""Cluster updates against enumeration, Kaufman and each other, with wrong ones as negative controls."""

import dataclasses

import numpy as np
import pytest
import torch

from ebmphys.energies import RBM, Ising, ferromagnet
from ebmphys.exact import exact_values, kaufman
from ebmphys.lattice import Graph, Lattice
from ebmphys.observables import magnetization_squared, two_point
from ebmphys.rng import generator
from ebmphys.samplers import Chains
from ebmphys.samplers.base import advance
from ebmphys.samplers.cluster import (
    SwendsenWang,
    Wolff,
    bond_activation,
    connected_components,
    improved_magnetization_squared,
    improved_two_point,
    swendsen_wang,
    wolff,
)
from ebmphys.samplers.cluster.bonds import thresholds
from ebmphys.samplers.cluster.components import propagated_components, united_components
from ebmphys.stats import mean_with_error
from tests.samplers.laws import all_states, exact_draws, p_value

BETA_C = 0.44068679350977147
DRAWS, THRESHOLD = 50_000, 1e-4
FEWER = 8_000  # for plain torch, which takes a hundred times as long
TORUS, ANY = Lattice((3, 4)), Graph(7, [(0, 1), (1, 2), (2, 0), (2, 3), (4, 5), (4, 5), (5, 6)])
STRENGTHS = torch.tensor([0.3, 1.0, 0.0, 1.7, 0.5, 0.9, 1.2])
MODELS = {
    "2x4": Ising(Lattice((2, 4)), device="cpu"),
    "3x4": Ising(TORUS, device="cpu"),
    "open cubic": Ising(Lattice((2, 2, 3), periodic=False), device="cpu"),
    "any graph": Ising(ANY, STRENGTHS, device="cpu"),
    "uniform field": Ising(TORUS, 0.8, -0.25, device="cpu"),
    "site fields": Ising(TORUS, 0.7, torch.linspace(-0.6, 0.9, 12), device="cpu"),
    "any graph in fields": Ising(ANY, STRENGTHS, torch.tensor([0.4, 0, -0.9, 0.1, 0.2, -0.3, 0]), device="cpu"),
    "no bonds": Ising(Graph(4, []), 1.0, torch.tensor([0.5, -0.2, 0.0, 1.0]), device="cpu"),
}


class TorchSwendsenWang(SwendsenWang):
    """The path of other devices, taken on the CPU."""

    advance = None

    def step(self, chains):
        return {"labels": swendsen_wang.torch_step(self.model, chains)}


class TorchWolff(Wolff):
    advance = None

    def step(self, chains):
        return {"cluster_size": wolff.torch_step(self.model, chains)}


KINDS = {"SW": SwendsenWang, "Wolff": Wolff, "torch SW": TorchSwendsenWang, "torch Wolff": TorchWolff}


def rng(*path):
    return generator(2, *path, device="cpu")


def after(kind, model, beta, steps=3, law_beta=None, law_model=None):
    """p-value of a few steps at beta from exact draws of a law that may be another one."""
    law_model, law_beta = law_model or model, law_beta or beta
    start = exact_draws(law_model, law_beta, FEWER if "torch" in kind else DRAWS, seed=1)
    chains = Chains(start, torch.tensor(beta), rng(kind))
    for _ in range(steps):
        KINDS[kind](model).step(chains)
    return p_value(law_model, law_beta, chains.x)


@pytest.mark.parametrize("beta", [0.2, 0.44, 1.0])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODELS)
def test_exact_draws_stay_exact(name, kind, beta):
    assert after(kind, MODELS[name], beta) > THRESHOLD


@pytest.mark.parametrize("kind", ["SW", "Wolff"])
@pytest.mark.parametrize("name", ["3x4", "any graph", "site fields"])
def test_chains_from_random_starts_reach_the_law(name, kind):
    sampler = KINDS[kind](MODELS[name])
    chains = sampler.init(DRAWS // 2, beta=0.44, rng=rng(name, kind))
    advance(sampler, chains, 60)
    assert p_value(MODELS[name], 0.44, chains.x) > THRESHOLD


@pytest.mark.parametrize("kind", KINDS)
def test_every_chain_keeps_its_own_beta(kind):
    model, betas = MODELS["site fields"], [0.1, 0.3, 0.7]
    start = torch.stack([exact_draws(model, beta, FEWER, seed=5) for beta in betas])
    chains = Chains(start, torch.tensor(betas)[:, None], rng(kind))
    happened = KINDS[kind](model).step(chains)
    assert all(value.shape[:2] == (3, FEWER) for value in happened.values())
    for beta, x in zip(betas, chains.x, strict=True):
        assert p_value(model, beta, x) > THRESHOLD
    assert p_value(model, betas[0], chains.x[1]) < THRESHOLD


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_updates_are_noticed(kind):
    """The power of the tests above: beta off by 3 % (10 % in torch), a bond left out, fields of the wrong strength."""
    torch_too = "torch" in kind
    assert after(kind, MODELS["3x4"], 0.4 * (1.1 if torch_too else 1.03), steps=10, law_beta=0.4) < THRESHOLD
    missed = Ising(Graph(12, TORUS.bonds[1:]), device="cpu")
    assert after(kind, missed, 0.44, law_model=MODELS["3x4"]) < THRESHOLD
    for factor in (0.5 if torch_too else 0.9, -1.0):
        wrong = Ising(TORUS, 0.7, factor * MODELS["site fields"].fields, device="cpu")
        assert after(kind, wrong, 0.44, steps=10, law_model=MODELS["site fields"]) < THRESHOLD


@pytest.mark.parametrize("beta", [0.05, 0.44, 3.0])
def test_bonds_are_active_below_their_probability(beta):
    x = all_states(MODELS["any graph"])
    equal = x[:, ANY.bonds[:, 0]] == x[:, ANY.bonds[:, 1]]
    p = (1 - torch.exp(-2 * beta * STRENGTHS.double())).expand(equal.shape)
    heat = torch.full((len(x),), beta, dtype=torch.float64)
    below, above = (bond_activation(equal, 2 * STRENGTHS, heat, (p + shift).clamp(min=0)) for shift in (-1e-9, 1e-9))
    assert torch.equal(below, equal & (p > 0)) and not above.any()
    whole = thresholds(beta, 2 * STRENGTHS.double().numpy())
    assert np.abs(whole / 2**32 - p[0].numpy()).max() <= 0.5 / 2**32 + 1e-15
    assert thresholds(100.0, np.array([2.0, 0.0])).tolist() == [2**32, 0]


@pytest.mark.parametrize(
    "graph", [Lattice((2, 5)), Lattice((16, 16)), Lattice((6, 6), "triangular"), ANY, Graph(3, [])]
)
def test_union_find_equals_label_propagation(graph):
    bonds = torch.from_numpy(graph.bonds)
    for p in (0.0, 0.2, 0.5, 0.6, 1.0):
        active = torch.rand(4, 50, graph.n_bonds, generator=rng(p)) < p
        labels = united_components(active, bonds, graph.n_sites)
        assert torch.equal(labels, propagated_components(active, bonds, graph.n_sites))
        assert torch.equal(labels, connected_components(active, bonds, graph.n_sites))
        assert (labels <= torch.arange(graph.n_sites)).all()
        ends = labels[..., graph.bonds]
        assert (ends[..., 0] == ends[..., 1])[active].all()


def test_components_of_a_path_in_any_order():
    order = torch.randperm(40, generator=rng())
    bonds = torch.stack([order[:-1], order[1:]], -1)
    cut = torch.ones(39, dtype=torch.bool)
    cut[17] = False
    labels = connected_components(cut, bonds, 40)
    assert (labels[order[:18]] == order[:18].min()).all() and (labels[order[18:]] == order[18:].min()).all()


@pytest.mark.parametrize("kind,steps", [("SW", 1500), ("Wolff", 6000)])
def test_energy_against_kaufman(kind, steps):
    model = ferromagnet((32, 32), device="cpu")
    sampler = KINDS[kind](model)
    chains = sampler.init(8, beta=BETA_C, rng=rng(kind))
    series = torch.empty(steps // 5, 8)
    advance(sampler, chains, 400)
    for draw in range(len(series)):
        advance(sampler, chains, 5)
        series[draw] = chains.energy(model) / 1024
    found = mean_with_error(series)
    exact = kaufman((32, 32), BETA_C).energy_per_site
    assert found.error < 0.003
    assert abs(found.value - exact) < 4 * found.error
    assert abs(found.value - kaufman((32, 32), 0.99 * BETA_C).energy_per_site) > 4 * found.error


@pytest.mark.parametrize("kind", ["SW", "Wolff"])
@pytest.mark.parametrize("name", ["3x4", "any graph in fields"])
def test_states_do_not_depend_on_how_the_steps_are_split_or_on_threads(name, kind):
    sampler = KINDS[kind](MODELS[name])
    ends = []
    threads = torch.get_num_threads()
    for split, count in (((7,), 1), ((1,) * 7, 1), ((3, 4), 2)):
        torch.set_num_threads(count)
        chains = sampler.init(33, beta=torch.linspace(0.1, 1, 33), rng=rng("split"))
        for steps in split:
            sampler.step(chains) if steps == 1 else sampler.advance(chains, steps)
        ends.append(chains)
    torch.set_num_threads(threads)
    for other in ends[1:]:
        assert torch.equal(other.x, ends[0].x) and torch.equal(other.rng.get_state(), ends[0].rng.get_state())


@pytest.mark.parametrize("kind", ["SW", "Wolff"])
def test_a_restart_goes_on_bit_for_bit(kind):
    sampler = KINDS[kind](MODELS["3x4"])
    chains = sampler.init(2, 5, beta=0.4, rng=rng("restart"))
    sampler.advance(chains, 3)
    kept = {name: array.copy() for name, array in chains.state().items()}
    sampler.advance(chains, 4)
    again = sampler.init(2, 5, beta=0.4, rng=rng("elsewhere"))
    again.restore(kept)
    sampler.advance(again, 4)
    assert torch.equal(again.x, chains.x)


@dataclasses.dataclass
class Hidden(Chains):
    """Chains whose x is not the storage, as with packed bits."""

    def __setattr__(self, name, value):
        super().__setattr__(name, value.clone() if name == "x" else value)

    def __getattribute__(self, name):
        value = super().__getattribute__(name)
        return value.clone() if name == "x" else value


@pytest.mark.parametrize("kind", ["SW", "Wolff"])
def test_chains_that_store_something_else_and_strided_ones(kind):
    sampler = KINDS[kind](MODELS["3x4"])
    plain = sampler.init(5, beta=0.4, rng=rng("hidden"))
    start = plain.x.clone()
    hidden = Hidden(start, plain.beta, rng("hidden"))
    hidden.rng.set_state(plain.rng.get_state())
    strided = Chains(start.repeat_interleave(2, dim=-1)[:, ::2], plain.beta, rng("hidden"))
    strided.rng.set_state(plain.rng.get_state())
    for chains in (plain, hidden, strided):
        sampler.advance(chains, 5)
    assert torch.equal(hidden.x, plain.x) and torch.equal(strided.x, plain.x) and not torch.equal(plain.x, start)


def test_what_a_step_returns_agrees_with_the_configuration():
    model = ferromagnet((16, 16), device="cpu")
    for kind in ("Wolff", "torch Wolff"):
        sampler = KINDS[kind](model)
        chains = sampler.init(40, beta=0.4, rng=rng("size"))
        before = chains.x.clone()
        size = sampler.step(chains)["cluster_size"]
        assert torch.equal(size, (chains.x != before).sum(-1))
    cold = SwendsenWang(model)
    chains = Chains(torch.ones(3, 256), torch.tensor([0.0, 0.4, 50.0]), rng("cold"))
    happened = cold.step(chains)
    assert happened["clusters"].tolist()[::2] == [256, 1] and happened["largest"].tolist()[::2] == [1, 256]
    assert happened["magnetization_squared"].tolist()[::2] == [1 / 256, 1.0]
    assert 1 < happened["clusters"][1] < 256 and chains.x[2].sum().abs() == 256


def test_improved_estimators_have_the_exact_mean_and_a_smaller_variance():
    model, beta = ferromagnet((8, 8), device="cpu"), 0.3
    sampler, exact = SwendsenWang(model), exact_values(model, beta)["magnetization_squared"]
    chains = sampler.init(4000, beta=beta, rng=rng("improved"))
    sampler.advance(chains, 40)
    plain = magnetization_squared(chains.x)
    plain_two_point = two_point(chains.x, model.graph).double()
    labels = sampler.labels(chains)
    improved, improved_g = improved_magnetization_squared(labels), improved_two_point(labels, model.graph)
    from_step = sampler.step(chains)["magnetization_squared"]
    for values in (plain, improved, from_step):
        assert abs(values.mean() - exact) < 4 * values.std() / 4000**0.5
    assert plain.var() > 3 * improved.var() and plain.var() > 3 * from_step.var()
    difference = improved_g - plain_two_point
    assert (difference.mean(0).abs() <= 4 * difference.std(0) / 4000**0.5 + 1e-7).all()
    assert torch.equal(improved_g[:, 0], torch.ones(4000, dtype=torch.float64))
    assert (plain_two_point[:, 3:].var(0) > 3 * improved_g[:, 3:].var(0)).all()
    single = Wolff(model)
    sizes = single.step(chains)["cluster_size"].double() / 64
    assert abs(sizes.mean() - exact) < 4 * sizes.std() / 4000**0.5


def test_improved_two_point_of_known_clusters():
    labels = torch.tensor([[0, 0, 2, 2, 0, 0, 2, 2, 8, 8, 8, 8, 8, 8, 8, 8]])
    # Rows 0 and 1 are cut in two halves, rows 2 and 3 are one band: pairs counted by hand.
    along_x, along_y = [1.0, 12 / 16, 8 / 16], [1.0, 8 / 16, 0.0]
    expected = torch.tensor([(a + b) / 2 for a, b in zip(along_x, along_y, strict=True)], dtype=torch.float64)
    assert torch.allclose(improved_two_point(labels, Lattice((4, 4)))[0], expected)
    assert improved_magnetization_squared(labels).item() == (16 + 16 + 64) / 256


def test_errors():
    for kind in (SwendsenWang, Wolff):
        with pytest.raises(ValueError, match="couplings J >= 0, got J = -1"):
            kind(Ising(TORUS, -1.0, device="cpu"))
        with pytest.raises(ValueError, match="Ising spins, got RBM"):
            kind(RBM(3, 2, device="cpu"))
    with pytest.raises(ValueError, match="periodic lattice with one site a cell"):
        improved_two_point(torch.zeros(1, 12, dtype=torch.long), Lattice((3, 4), periodic=False))
