"""What sites of a lattice see of those drawn before: the frontier is enough, and periodic neighbours are there."""

import pytest
import torch

from ebmphys.energies import Ising
from ebmphys.exact.enumeration import log_weights
from ebmphys.generators import FrontierNetwork, PixelCNN
from ebmphys.generators.autoregressive.frontier import frontier
from ebmphys.lattice import Graph, Lattice
from tests.generators.test_autoregressive import NETWORKS, TORUS, all_states, randomised, rng, sensitivity


@pytest.mark.parametrize("name", [n for n in NETWORKS if "frontier" in n or "pixelcnn" in n])
@torch.no_grad()
def test_every_site_sees_its_earlier_neighbours_around_the_lattice_too(name):
    model = NETWORKS[name]
    seen = sensitivity(model)
    for a, b in model.lattice.bonds.tolist():
        if not (model.symmetric and max(a, b) == 0):
            assert float(seen[max(a, b), min(a, b)]) > 1e-3, (a, b)


@torch.no_grad()
def test_convolutions_see_what_the_frontier_tells_without_direct_connections():
    """Around the lattice the first row and column come through the stacks, not through the direct connections alone."""
    for model in (randomised(PixelCNN(TORUS, 8, 2, device="cpu")), randomised(FrontierNetwork(TORUS, device="cpu"))):
        model.double().direct.weight.zero_()
        seen = sensitivity(model)
        assert all(float(seen[max(bond), min(bond)]) > 1e-3 for bond in TORUS.bonds.tolist())


@torch.no_grad()
def test_rows_above_look_the_same_from_every_column_of_a_torus():
    """With nothing seen along the row and no biases of a site's own, shifting the columns shifts the log-odds."""
    model = randomised(PixelCNN(Lattice((3, 4)), 8, 2, device="cpu")).double()
    for parameter in (model.direct.weight, model.direct.bias, model.place, *(layer.weight for layer in model.sites)):
        parameter.zero_()
    v = all_states(model)[::7].unflatten(-1, (3, 4))
    shifted = model.logits(v.roll(1, -1).flatten(1)).unflatten(-1, (3, 4))
    expected = model.logits(v.flatten(1)).unflatten(-1, (3, 4)).roll(1, -1)
    torch.testing.assert_close(shifted, expected)
    assert float(expected.std()) > 0.1


@pytest.mark.parametrize(
    "lattice", [TORUS, Lattice((4, 3), periodic=(False, True)), Lattice((2, 2, 3)), Lattice((3, 4), "triangular")]
)
def test_exact_conditionals_of_neighbour_interactions_depend_on_the_frontier_alone(lattice):
    """p(v_i | v before i), summed from the enumerated law, is the same wherever the frontier is; all of it matters."""
    couplings = torch.rand(lattice.n_bonds, generator=rng("couplings")) + 0.2
    law = torch.softmax(log_weights(Ising(lattice, couplings, 0.1, device="cpu"), 0.5), 0).reshape([2] * 12)
    seen = torch.from_numpy(frontier(lattice))
    for i in range(1, 12):
        up = law.flatten(i).sum(-1) if i == 11 else law.flatten(i + 1).sum(-1)
        p = (up[..., 1] / up.sum(-1)) if i < 11 else law[..., 1] / law.sum(-1)
        unseen = [j for j in range(i) if not seen[i, j]]
        assert all(float((p - p.flip(j)).abs().max()) < 1e-12 for j in unseen), i
        assert all(float((p - p.flip(j)).abs().max()) > 1e-4 for j in range(i) if seen[i, j]), i


def test_the_frontier_of_a_torus_is_two_layers_and_of_any_graph_what_is_still_felt():
    seen = frontier(Lattice((5, 6)))
    assert seen[1:].sum(1).max() == 2 * 6 and not seen[0].any()
    assert frontier(Graph(4, [(0, 1), (1, 3)])).tolist() == [
        [False] * 4,
        [True, False, False, False],
        [False, True, False, False],
        [False, True, False, False],
    ]
