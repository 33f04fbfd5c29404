"""The convolutional RBM: an RBM with tied weights, whose law does not know where the lattice begins."""

import numpy as np
import pytest
import torch

from ebmphys.energies import ENERGIES, ConvolutionalRBM, exchanged
from ebmphys.energies.torus import Displacements, Fourier, Gathered, Shifted, fastest
from ebmphys.exact.enumeration import log_weights
from ebmphys.lattice import Lattice
from ebmphys.likelihood import log_partition
from ebmphys.rng import generator
from ebmphys.samplers import BlockGibbs
from ebmphys.units import Bit, Gaussian, Potts, Spin
from tests.models import randomised

LATTICES = {
    "chain 5": Lattice((5,)),
    "square 3x4": Lattice((3, 4)),
    "square 4x1": Lattice((4, 1)),
    "triangular 4x3": Lattice((4, 3), "triangular"),
    "cubic 2x3x2": Lattice((2, 3, 2)),
    "hypercubic 2x2x2x2": Lattice((2, 2, 2, 2)),
}


def machine(lattice, n_filters=2, reach=None, visible=None, hidden=None, **options) -> ConvolutionalRBM:
    model = ConvolutionalRBM(lattice, n_filters, reach, visible, hidden, device="cpu", **options)
    return randomised(model, generator(31, n_filters, device="cpu"))


def translations(lattice) -> list[np.ndarray]:
    """For each cell the sites that the sites come from when the lattice is moved by it."""
    shape = lattice.shape
    moved = [(lattice.cells - step) % np.array(shape) for step in lattice.cells]
    return [np.ravel_multi_index(tuple(cells.T), shape) for cells in moved]


def some_configurations(model, n=20):
    return BlockGibbs(model).init(n, rng=generator(1, device="cpu")).x


@pytest.mark.parametrize("reach", [None, 1.0])
@pytest.mark.parametrize("name", LATTICES)
def test_the_free_energy_is_the_same_after_every_translation(name, reach):
    lattice = LATTICES[name]
    model = machine(lattice, reach=reach, hidden=Bit()).double()
    v = some_configurations(model)[:, : lattice.n_sites].double()
    for sites in translations(lattice):
        torch.testing.assert_close(model.free_energy(v[:, sites]), model.free_energy(v), atol=1e-10, rtol=0)


def test_one_weight_out_of_tune_breaks_the_symmetry():
    model = machine(Lattice((3, 4)), hidden=Bit())
    dense = exchanged(exchanged(model))
    v = some_configurations(model)[:, :12]
    torch.testing.assert_close(dense.free_energy(v), model.free_energy(v), atol=1e-5, rtol=1e-5)
    torch.nn.init.constant_(dense.weights[3, 7], float(dense.weights[3, 7].detach()) + 0.05)
    broken = [
        (dense.free_energy(v[:, sites]) - dense.free_energy(v)).abs().max() for sites in translations(model.lattice)
    ]
    assert min(broken[1:]) > 1e-3


@pytest.mark.parametrize("name", LATTICES)
def test_weights_depend_on_the_displacement_alone(name):
    """W[v, (k, t)] = filter_k(v - t), written out by loops over cells."""
    lattice = LATTICES[name]
    model = machine(lattice)
    weights = model.couplings().weights.detach().reshape(lattice.n_sites, 2, lattice.n_sites)
    for v, to in enumerate(lattice.cells):
        for t, origin in enumerate(lattice.cells):
            step = np.ravel_multi_index(tuple((to - origin) % np.array(lattice.shape)), lattice.shape)
            assert torch.equal(weights[v, :, t], model.filters[:, step])


@pytest.mark.parametrize("name", LATTICES)
def test_filters_end_at_their_reach(name):
    lattice = LATTICES[name]
    model = machine(lattice, 1, reach=1.0)
    sites = np.arange(lattice.n_sites)
    near = torch.from_numpy(lattice.distance(sites[:, None], sites[None]) <= 1.0 + 1e-9)
    assert torch.equal(model.couplings().weights.detach() != 0, near)
    assert model.filters.shape == (1, int(near[0].sum()))


@pytest.mark.parametrize(("visible", "hidden"), [(Spin(), Bit()), (Potts(3), Spin()), (Bit(), Potts(3))])
@pytest.mark.parametrize("reach", [None, 1.0])
@pytest.mark.parametrize("name", LATTICES)
def test_every_way_to_sum_over_displacements_gives_the_same_fields_and_gradients(name, reach, visible, hidden):
    lattice = LATTICES[name]
    model = machine(lattice, 3, reach, visible, hidden)
    x = some_configurations(model, 5)
    found = {}
    for way in (Gathered, Fourier, Shifted):
        model.sum_over_displacements = way(model.displacements)
        model.zero_grad()
        model.free_energy(x[:, : lattice.n_sites]).sum().backward()
        etas = [model.conditional(x, block).detach() for block in ("hidden", "visible")]
        found[way] = [*etas, model.energy(x).detach(), model.filters.grad.clone()]
    for way in (Fourier, Shifted):
        for one, other in zip(found[Gathered], found[way], strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    dense = exchanged(exchanged(model))
    for block in ("hidden", "visible"):
        torch.testing.assert_close(dense.conditional(x, block), model.conditional(x, block), atol=1e-5, rtol=1e-5)


def test_the_way_is_chosen_by_the_size_and_the_reach():
    assert isinstance(fastest(Displacements(Lattice((12, 12)))), Gathered)
    assert isinstance(fastest(Displacements(Lattice((13, 12)))), Fourier)
    assert isinstance(fastest(Displacements(Lattice((13, 12)), 2.3)), Fourier)
    assert isinstance(fastest(Displacements(Lattice((13, 12)), 1.5)), Shifted)
    large = machine(Lattice((16, 16)), 2)
    small_sum = Gathered(large.displacements)
    v = some_configurations(large, 3)[:, :256]
    there = large.free_energy(v)
    large.sum_over_displacements = small_sum
    torch.testing.assert_close(large.free_energy(v), there, atol=1e-3, rtol=1e-5)


def test_log_z_is_that_of_the_dense_machine():
    model = machine(Lattice((2, 3)), 2)
    assert log_partition(model) == pytest.approx(log_partition(exchanged(model)), abs=1e-9)


def test_without_biases_both_symmetries_are_exact_in_the_law():
    model = machine(Lattice((3, 3)), 2, biases=False)
    with torch.no_grad():
        model.visible_bias.zero_()
        model.hidden_bias.zero_()
    law = log_weights(model).reshape([2] * 9)
    torch.testing.assert_close(law, law.flip(list(range(9))), atol=1e-12, rtol=0)
    for sites in translations(model.lattice):
        torch.testing.assert_close(law.permute(*sites.tolist()), law, atol=1e-12, rtol=0)
    assert law.std() > 0.1
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {"filters"}


def test_the_gradient_of_a_filter_is_the_sum_over_the_weights_that_it_is():
    model = machine(Lattice((3, 4)), 2, hidden=Bit())
    dense = exchanged(exchanged(model))
    v = some_configurations(model)[:, :12]
    for machine_ in (model, dense):
        machine_.free_energy(v).sum().backward()
    by_weight = dense.weights.grad.reshape(12, 2, 12)
    table = model.displacements.table
    for step in range(12):
        t, site = np.nonzero(table == step)
        torch.testing.assert_close(model.filters.grad[:, step], by_weight[site, :, t].sum(0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(model.visible_bias.grad[0], dense.visible_bias.grad.sum())
    torch.testing.assert_close(model.hidden_bias.grad, dense.hidden_bias.grad.reshape(2, 12).sum(1))


@pytest.mark.parametrize("reach", [None, 1.5])
def test_a_rebuilt_machine_is_the_same(reach):
    model = machine(Lattice((4, 4), "triangular"), 2, reach, Gaussian(0.5), Bit(), biases=False)
    copy = ENERGIES["convolutional_rbm"].from_config(model.config)
    assert set(model.state_dict()) == {"filters", "visible_bias", "hidden_bias"}
    copy.load_state_dict(model.state_dict())
    x = some_configurations(model)
    assert torch.equal(copy.energy(x), model.energy(x)) and copy.config == model.config


def test_filters_start_at_their_scale():
    model = ConvolutionalRBM(Lattice((16, 16)), 8, 3.0, rng=generator(1, device="cpu"), scale=0.2, device="cpu")
    assert model.filters.std().item() == pytest.approx(0.2 / len(model.displacements) ** 0.5, rel=0.15)
    assert len(model.displacements) == 29  # of a disc of radius 3
    assert not ConvolutionalRBM(Lattice((4, 4)), 1, device="cpu").filters.any()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ConvolutionalRBM(Lattice((3, 3)), 0), "one filter or more, got 0"),
        (lambda: ConvolutionalRBM(Lattice((3, 3), periodic=False), 1), "periodic along every axis"),
        (lambda: ConvolutionalRBM(Lattice((3, 3), periodic=(True, False)), 1), "periodic along every axis"),
        (lambda: ConvolutionalRBM(Lattice((3, 3), "honeycomb"), 1), "one site a cell"),
        (lambda: ConvolutionalRBM(Lattice((3, 3)), 1, -1.0), "reach is a distance of 0 or more"),
        (lambda: ConvolutionalRBM(Lattice((3, 3)), 1, float("nan")), "reach is a distance of 0 or more"),
        (
            lambda: ConvolutionalRBM.from_config(
                machine(Lattice((3, 3))).config | {"graph": {"n_sites": 2, "bonds": [[0, 1]]}}
            ),
            "this graph has no translations",
        ),
    ],
)
def test_machines_that_cannot_be_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
