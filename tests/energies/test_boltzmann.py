"""Boltzmann machines by hand, the Ising models inside them, and what tying their weights promises."""

from itertools import product

import numpy as np
import pytest
import torch

from ebmphys.energies import BoltzmannMachine, Ising, gaussian_couplings, summing
from ebmphys.energies.displacements import displacement_classes
from ebmphys.exact.enumeration import kl_divergence, log_weights
from ebmphys.lattice import Graph, Lattice
from ebmphys.rng import generator
from ebmphys.units import Bit, Gaussian, Spin
from tests.machines import with_random_parameters


def rng(*path):
    return generator(21, *path, device="cpu")


def spins(n, count=40):
    return torch.randn(count, n, generator=rng("x")).sign()


def by_hand(machine, x):
    """Bond by bond, site by site, in Python floats."""
    w, b = machine.couplings().tolist(), machine.fields().tolist()
    energy = 0.0
    for k, (i, j) in enumerate(machine.graph.bonds.tolist()):
        energy -= w[k] * float(x[i]) * float(x[j])
    return energy - sum(bias * float(value) for bias, value in zip(b, x, strict=True))


LARGE = Lattice((12, 12))  # sparse: above the size where a matrix product is the faster way


@pytest.mark.parametrize("unit", [Spin(), Bit()])
@pytest.mark.parametrize("graph", [9, Lattice((3, 3)), Lattice((2, 4)), LARGE], ids=["complete", "3x3", "2x4", "12x12"])
def test_energies_are_sums_over_bonds_and_sites(graph, unit):
    machine = with_random_parameters(BoltzmannMachine(graph, unit=unit, device="cpu"), "by hand")
    assert machine._dense is (graph == 9 or graph.n_sites == 9)
    lower, upper = unit.values
    x = torch.where(spins(machine.n_sites, 6) > 0, upper, lower)
    expected = torch.tensor([by_hand(machine, row) for row in x])
    torch.testing.assert_close(machine.energy(x).detach(), expected, atol=1e-4, rtol=1e-5)
    j = machine.coupling_matrix()
    assert torch.equal(j, j.T) and not j.diagonal().any()
    torch.testing.assert_close(machine.energy(x), -0.5 * ((x @ j) * x).sum(-1) - x @ machine.fields())


@pytest.mark.parametrize("shape", [(12, 12), (2, 4), (3, 4)])
@pytest.mark.parametrize("periodic", [True, False])
def test_a_machine_on_the_lattice_is_the_ising_model_with_its_weights(shape, periodic):
    lattice = Lattice(shape, periodic=periodic)
    couplings = gaussian_couplings(lattice, rng("J"))
    fields = torch.randn(lattice.n_sites, generator=rng("h"))
    ising, machine = Ising(lattice, couplings, fields, device="cpu"), BoltzmannMachine(lattice, device="cpu")
    with torch.no_grad():
        machine.weights.copy_(couplings)
        machine.bias.copy_(fields)
    x = spins(lattice.n_sites)
    torch.testing.assert_close(machine.energy(x), ising.energy(x), atol=1e-4, rtol=1e-5)
    assert len(machine.blocks) == len(ising.blocks)
    for block, sites in ising.blocks.items():
        assert torch.equal(machine.blocks[f"visible {block}"], sites)
        eta = machine.conditional(x, f"visible {block}")
        torch.testing.assert_close(eta, ising.conditional(x, block), atol=1e-5, rtol=1e-5)


# What a nearest-neighbour class is worth where a side of two sites joins neighbours twice.
ISING_INSIDE = {
    "square": (Lattice((3, 4)), [1.0, 1.0]),
    "narrow": (Lattice((2, 4)), [2.0, 1.0]),
    "triangular": (Lattice((3, 4), "triangular"), [1.0] * 3),
    "honeycomb": (Lattice((2, 3), "honeycomb"), [1.0] * 3),
    "cubic": (Lattice((2, 2, 3)), [2.0, 2.0, 1.0]),
}


@pytest.mark.parametrize("reach", [1.0, 2.0, None])
@pytest.mark.parametrize("name", ISING_INSIDE)
def test_the_ising_model_is_inside_the_translation_invariant_machine(name, reach):
    lattice, couplings = ISING_INSIDE[name]
    machine = BoltzmannMachine.translation_invariant(lattice, reach, device="cpu")
    ising = Ising(lattice, 0.6, 0.25, device="cpu")
    nearest = torch.zeros_like(machine.weights)
    # Classes of equal distance are ordered by displacement, so which side is doubled is found by trying.
    orders = set(product(sorted(set(couplings)), repeat=len(couplings)))
    divergences = []
    for values in orders:
        nearest[: len(couplings)] = 0.6 * torch.tensor(values)
        with torch.no_grad():
            machine.weights.copy_(nearest)
            machine.bias.fill_(0.25)
        divergences.append(kl_divergence(log_weights(ising), log_weights(machine)))
    assert min(divergences) < 1e-9
    assert len(orders) == 1 or sorted(divergences)[1] > 1e-3


def permutations_of_translations(lattice):
    for shift in np.ndindex(*lattice.shape):
        cells = np.ravel_multi_index(tuple(((lattice.cells + shift) % lattice.shape).T), lattice.shape)
        n_basis = len(lattice.basis)
        yield (cells[:, None] * n_basis + np.arange(n_basis)).ravel()


@pytest.mark.parametrize("name", ISING_INSIDE)
def test_classes_are_the_orbits_of_pairs_under_translations(name):
    lattice = ISING_INSIDE[name][0]
    pairs, classes, _ = displacement_classes(lattice)
    assert len(pairs) == lattice.n_sites * (lattice.n_sites - 1) // 2
    orbits = {}
    for pair, number in zip(pairs.tolist(), classes.tolist(), strict=True):
        images = [sorted((int(p[pair[0]]), int(p[pair[1]]))) for p in permutations_of_translations(lattice)]
        orbits.setdefault(number, set()).add(frozenset(map(tuple, images)))
    assert all(len(each) == 1 for each in orbits.values())
    assert len(set.union(*map(set, orbits.values()))) == len(orbits)


@pytest.mark.parametrize("name", ISING_INSIDE)
def test_the_law_does_not_change_under_translations_and_one_free_bond_is_noticed(name):
    lattice = ISING_INSIDE[name][0]
    machine = BoltzmannMachine.translation_invariant(lattice, 2.0, device="cpu")
    with_random_parameters(machine, "translations", 1.0)
    x = spins(lattice.n_sites)
    moved = torch.stack([x[:, p] for p in permutations_of_translations(lattice)])
    torch.testing.assert_close(machine.energy(moved), machine.energy(x).expand(len(moved), -1), atol=1e-4, rtol=1e-5)
    free = BoltzmannMachine(machine.graph, device="cpu")
    with torch.no_grad():
        free.weights.copy_(machine.couplings())
        free.bias.copy_(machine.fields())
    torch.testing.assert_close(free.energy(x), machine.energy(x), atol=1e-4, rtol=1e-5)
    with torch.no_grad():
        free.weights[0] += 0.1
    assert (free.energy(moved) - free.energy(x)).abs().max() > 0.1


@pytest.mark.parametrize(
    ("shape", "geometry", "rotation", "n_classes"),
    [
        ((4, 4), "hypercubic", lambda a: a.transpose(-1, -2).flip(-1), 5),
        ((3, 4), "hypercubic", lambda a: a.flip(-1), 5),
        ((3, 3, 3), "hypercubic", lambda a: a.transpose(-1, -3).flip(-2), 3),
        ((5,), "hypercubic", lambda a: a.flip(-1), 2),
    ],
)
def test_the_point_group_ties_what_rotations_map_onto_each_other(shape, geometry, rotation, n_classes):
    lattice = Lattice(shape, geometry)
    x = spins(lattice.n_sites)
    turned = rotation(x.reshape(-1, *shape)).reshape(-1, lattice.n_sites)
    tied = BoltzmannMachine.translation_invariant(lattice, point_group=True, device="cpu")
    with_random_parameters(tied, "rotation", 1.0)
    assert len(tied.weights) == n_classes
    torch.testing.assert_close(tied.energy(turned), tied.energy(x), atol=1e-4, rtol=1e-5)
    loose = BoltzmannMachine.translation_invariant(lattice, device="cpu")
    with_random_parameters(loose, "rotation", 1.0)
    # In one dimension, and along the sides of a rectangle, a reflection is the way back and ties nothing more.
    if len(loose.weights) > len(tied.weights):
        assert (loose.energy(turned) - loose.energy(x)).abs().max() > 0.1


def test_six_directions_of_the_triangular_lattice_are_one_class():
    for shape, n_classes in (((6, 6), 1), ((6, 4), 3)):
        # On unequal sides no rotation by 60 degrees maps the periods onto themselves.
        tied = BoltzmannMachine.translation_invariant(Lattice(shape, "triangular"), 1.0, point_group=True, device="cpu")
        assert (len(tied.weights), tied.graph.n_bonds) == (n_classes, 3 * shape[0] * shape[1])


def test_blocks_do_not_mix_visible_and_hidden_sites():
    graph = Graph(6, [(0, 1), (0, 4), (1, 5)])
    machine = BoltzmannMachine(graph, 2, device="cpu")
    assert machine.hidden_blocks == ("hidden 0",) and machine.visible_blocks == ("visible 0", "visible 1")
    assert machine.blocks["hidden 0"].tolist() == [4, 5]
    assert list(BoltzmannMachine(5, 2, device="cpu").blocks) == [
        "hidden 0",
        "hidden 1",
        "visible 0",
        "visible 1",
        "visible 2",
    ]


def test_sums_in_chunks_are_the_sums_and_have_their_gradients(monkeypatch):
    machine = with_random_parameters(BoltzmannMachine(9, 4, device="cpu").double(), "chunks")
    v, beta = spins(5, 30).double(), torch.linspace(0.4, 1.5, 30, dtype=torch.float64)
    found = []
    for chunk in (2**23, 70):
        monkeypatch.setattr(summing, "_CHUNK", chunk)
        machine.zero_grad()
        energy = machine.free_energy(v, beta)
        (energy * v[:, 0]).sum().backward()
        found.append([energy.detach(), *(p.grad.clone() for p in machine.parameters())])
    for whole, parts in zip(*found, strict=True):
        torch.testing.assert_close(whole, parts)
    one_by_one = torch.stack([machine.free_energy(row, float(b)) for row, b in zip(v, beta, strict=True)])
    torch.testing.assert_close(one_by_one, found[0][0])


def test_the_gradient_vanishes_at_the_target_and_only_there():
    """KL(p || q) of the tied machine that is the Ising model has no slope, and two percent off has one back to it."""
    lattice, beta = Lattice((3, 4)), 0.4
    machine = BoltzmannMachine.translation_invariant(lattice, 2.0, biases=False, device="cpu").double()
    target = log_weights(Ising(lattice, device="cpu"), beta).softmax(0)
    v = torch.tensor(list(product((-1.0, 1.0), repeat=12)), dtype=torch.float64)

    def slope(weights):
        with torch.no_grad():
            machine.weights.copy_(weights)
        energy = machine.free_energy(v)
        loss = target @ energy + (-energy).logsumexp(0)
        return torch.autograd.grad(loss, machine.weights)[0]

    at = torch.zeros_like(machine.weights)
    at[:2] = beta
    assert slope(at).abs().max() < 1e-12
    assert slope(1.02 * at)[:2].min() > 1e-2
    assert slope(0.98 * at)[:2].max() < -1e-2


def test_without_biases_spins_have_the_z2_symmetry():
    machine = BoltzmannMachine(7, 3, biases=False, rng=rng("w"), scale=3.0, device="cpu")
    v = spins(4)
    torch.testing.assert_close(machine.free_energy(v), machine.free_energy(-v))
    assert {name for name, p in machine.named_parameters() if p.requires_grad} == {"weights"}
    assert not BoltzmannMachine.from_config(machine.config).bias.requires_grad


def test_weights_start_from_the_generator_alone():
    one, two = (BoltzmannMachine(20, rng=rng("w"), scale=2.0, device="cpu") for _ in range(2))
    assert torch.equal(one.weights, two.weights)
    assert abs(one.weights.std() / (2.0 / 19**0.5) - 1) < 4 / (2 * 190) ** 0.5
    assert not BoltzmannMachine(20, device="cpu").weights.any()


def test_tied_classes_survive_their_configuration():
    machine = BoltzmannMachine(4, 1, Bit(), [0, 1, 0, 1, 2, 0], site_classes=[0, 0, 1, 1], device="cpu")
    with_random_parameters(machine, "ties")
    copy = BoltzmannMachine.from_config(machine.config).cpu()
    copy.load_state_dict(machine.state_dict())
    assert torch.equal(copy.coupling_matrix(), machine.coupling_matrix()) and copy.config == machine.config
    assert len(machine.weights) == 3 and machine.couplings()[0] == machine.couplings()[5]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="two-valued units, got gaussian"):
        BoltzmannMachine(4, unit=Gaussian(), device="cpu")
    with pytest.raises(ValueError, match="some must be visible"):
        BoltzmannMachine(4, 4, device="cpu")
    for classes in ([0, 1], [0, 0, 2], [-1, 0, 1]):
        with pytest.raises(ValueError, match="every bond \\(3\\) from 0 without a gap"):
            BoltzmannMachine(3, classes=classes, device="cpu")
    with pytest.raises(ValueError, match="need a periodic lattice"):
        BoltzmannMachine.translation_invariant(Lattice((4, 4), periodic=False))
    with pytest.raises(ValueError, match="no two sites are within reach"):
        BoltzmannMachine.translation_invariant(Lattice((4, 4)), 0.5)
    with pytest.raises(ValueError, match="one site a cell"):
        BoltzmannMachine.translation_invariant(Lattice((3, 3), "honeycomb"), point_group=True)
    with pytest.raises(ValueError, match="13 hidden units act on each other"):
        BoltzmannMachine(15, 13, device="cpu").free_energy(torch.ones(2))
