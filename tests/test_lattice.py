"""Bonds, neighbours, colours, distances and momenta of every geometry, small and odd sides included."""

import numpy as np
import pytest

from ebmphys.lattice import Graph, Lattice, build_graph

SHAPES = [
    *[
        ("hypercubic", s)
        for s in [(1,), (2,), (5,), (8,), (1, 1), (1, 2), (2, 2), (2, 4), (3, 4), (3, 3), (5, 7), (4, 6)]
    ],
    *[("hypercubic", s) for s in [(2, 2, 2), (3, 4, 5), (4, 4, 4), (2, 3, 2, 3)]],
    *[
        (g, s)
        for g in ("triangular", "honeycomb")
        for s in [(1, 1), (1, 4), (2, 2), (2, 3), (3, 3), (4, 5), (6, 3), (5, 5)]
    ],
]


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize(("geometry", "shape"), SHAPES)
def test_colours_are_independent_sets_that_partition_the_sites(geometry, shape, periodic):
    lattice = Lattice(shape, geometry, periodic)
    sites = np.sort(np.concatenate(lattice.colours))
    assert np.array_equal(sites, np.arange(lattice.n_sites))
    for colour in lattice.colours:
        assert not np.isin(lattice.bonds, colour).all(axis=1).any()


@pytest.mark.parametrize(("geometry", "shape"), SHAPES)
def test_neighbours_are_the_bonds_seen_from_each_site(geometry, shape):
    lattice = Lattice(shape, geometry, periodic=len(shape) * (True,))
    seen = [
        tuple(sorted((site, other)))
        for site in range(lattice.n_sites)
        for other in lattice.neighbours[site]
        if other >= 0
    ]
    twice = [tuple(sorted(bond)) for bond in lattice.bonds.tolist() for _ in range(2)]
    assert sorted(seen) == sorted(twice)
    assert lattice.degree.sum() == 2 * lattice.n_bonds


@pytest.mark.parametrize(
    ("geometry", "shape", "coordination"),
    [
        ("hypercubic", (7,), 2),
        ("hypercubic", (4, 5), 4),
        ("hypercubic", (3, 4, 5), 6),
        ("triangular", (4, 5), 6),
        ("honeycomb", (3, 4), 3),
    ],
)
def test_coordination_number_and_bond_length(geometry, shape, coordination):
    lattice = Lattice(shape, geometry)
    assert (lattice.degree == coordination).all()
    np.testing.assert_allclose(lattice.distance(lattice.bonds[:, 0], lattice.bonds[:, 1]), 1, atol=1e-12)
    # No site that is not a neighbour is as near.
    apart = lattice.distance(np.arange(lattice.n_sites)[:, None], np.arange(lattice.n_sites))
    assert ((apart > 1e-9) & (apart < 1 + 1e-9)).sum() == 2 * lattice.n_bonds


def test_a_side_of_two_has_doubled_bonds_and_a_side_of_one_none():
    assert Lattice((2,)).bonds.tolist() == [[0, 1], [1, 0]]
    assert Lattice((2, 2)).n_bonds == 8
    assert Lattice((2,), periodic=False).bonds.tolist() == [[0, 1]]
    assert Lattice((1, 1)).n_bonds == 0
    assert Lattice((1, 5)).n_bonds == 5  # the chain along the other side
    assert Lattice((5,)).n_bonds == 5


def test_open_and_mixed_boundaries_count_their_bonds():
    assert Lattice((3, 4), periodic=False).n_bonds == 2 * 4 + 3 * 3
    assert Lattice((3, 4), periodic=(True, False)).n_bonds == 3 * 4 + 3 * 3


@pytest.mark.parametrize(("shape", "count"), [((4, 6), 2), ((3, 4), 3), ((5, 5), 3), ((2, 2), 2), ((3, 3, 3), 3)])
def test_hypercubic_tori_need_two_colours_or_three(shape, count):
    assert len(Lattice(shape).colours) == count


def test_triangular_sides_divisible_by_three_need_three_colours():
    assert len(Lattice((6, 9), "triangular").colours) == 3


def test_the_checkerboard_is_the_checkerboard():
    even, odd = Lattice((4, 4)).colours
    assert even.tolist() == [0, 2, 5, 7, 8, 10, 13, 15]
    assert odd.tolist() == [1, 3, 4, 6, 9, 11, 12, 14]


def test_distance_goes_the_short_way_round():
    square = Lattice((8, 8))
    assert square.distance(0, 7) == pytest.approx(1)
    assert square.distance(0, 4 * 8 + 4) == pytest.approx(32**0.5)
    assert Lattice((8, 8), periodic=False).distance(0, 7) == pytest.approx(7)
    # On the triangular torus brute force over many images must find nothing nearer.
    lattice = Lattice((5, 4), "triangular")
    shifts = np.stack(np.meshgrid(range(-3, 4), range(-3, 4)), -1).reshape(-1, 2) * (5, 4) @ lattice.vectors
    every = lattice.positions[None, :, None] - lattice.positions[:, None, None] + shifts
    nearest = np.sqrt((every**2).sum(-1)).min(-1)
    sites = np.arange(lattice.n_sites)
    np.testing.assert_allclose(lattice.distance(sites[:, None], sites), nearest, atol=1e-12)


@pytest.mark.parametrize(
    ("geometry", "shape"), [("hypercubic", (4, 6)), ("triangular", (4, 5)), ("honeycomb", (3, 4)), ("hypercubic", (5,))]
)
def test_plane_waves_of_the_momenta_are_periodic_and_orthogonal(geometry, shape):
    lattice = Lattice(shape, geometry)
    corners = lattice.cells @ lattice.vectors
    waves = np.exp(1j * corners @ lattice.momenta.T)
    np.testing.assert_allclose(waves.conj().T @ waves / lattice.n_cells, np.eye(lattice.n_cells), atol=1e-12)
    period = np.array(shape)[:, None] * lattice.vectors
    np.testing.assert_allclose(np.exp(1j * period @ lattice.momenta.T), 1, atol=1e-12)


def test_any_graph_and_its_configuration():
    graph = Graph(5, [(0, 1), (1, 2), (2, 0), (3, 4), (3, 4)])
    assert len(graph.colours) == 3
    assert graph.degree.tolist() == [2, 2, 2, 2, 2]
    for original in (graph, Lattice((3, 4), periodic=(True, False)), Lattice((2, 3), "honeycomb")):
        copy = build_graph(original.config)
        assert type(copy) is type(original)
        assert np.array_equal(copy.bonds, original.bonds)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Lattice((0, 4)), "at least 1"),
        (lambda: Lattice(()), "at least 1"),
        (lambda: Lattice((4, 4), "kagome"), "geometry must be"),
        (lambda: Lattice((4, 4), "chain"), "geometry must be"),
        (lambda: Lattice((4,), "triangular"), "two sides"),
        (lambda: Lattice((4, 4), periodic=(True,)), "one value an axis"),
        (lambda: Graph(3, [(0, 3)]), "sites 0 to 2"),
        (lambda: Graph(3, [(1, 1)]), "two different sites"),
        (lambda: Graph(0, []), "at least one site"),
    ],
)
def test_impossible_lattices_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
