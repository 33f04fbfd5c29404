"""Symmetries that batches are mapped by: energies stay, configurations do not."""

import pytest
import torch

from ebmphys.energies import Ising, plus_minus_couplings
from ebmphys.lattice import Lattice
from ebmphys.train import (
    GlobalFlip,
    LatticeMoves,
)
from ebmphys.units import Bit, Gaussian, Spin
from tests.train.cases import rng

LATTICES = [
    Lattice((4, 4)),
    Lattice((3, 5)),
    Lattice((4, 3), periodic=False),
    Lattice((3, 3), periodic=(True, False)),
    Lattice((3, 3), "triangular"),
    Lattice((2, 3), "honeycomb"),
    Lattice((2, 3, 3)),
    Lattice((7,)),
]


@pytest.mark.parametrize("lattice", LATTICES, ids=lambda lattice: f"{lattice.geometry}{lattice.shape}")
def test_lattice_moves_are_symmetries(lattice):
    x = torch.randint(0, 2, (50, lattice.n_sites), generator=rng("x")).float() * 2 - 1
    model, moves, dice = Ising(lattice, device="cpu"), LatticeMoves(lattice), rng("moves")
    glass = Ising(lattice, plus_minus_couplings(lattice, rng("J")), device="cpu")
    moved = [moves(x, dice) for _ in range(30)]
    assert all(torch.equal(model.energy(y), model.energy(x)) for y in moved)
    assert any(not torch.equal(glass.energy(y), glass.energy(x)) for y in moved)  # control: they do move


@pytest.mark.parametrize("shape, size", [((4, 4), 128), ((3, 5), 60), ((2, 3, 3), 2 * 9 * 8 // 1), ((7,), 14)])
def test_lattice_moves_are_all_translations_and_the_point_group(shape, size):
    moves, dice = LatticeMoves(Lattice(shape)), rng("group")
    found = {tuple(moves.sites(dice).tolist()) for _ in range(40 * size)}
    assert len(found) == size


def test_global_flip_turns_half_of_the_configurations():
    for unit, start in ((Spin(), 1.0), (Bit(), 1.0), (Gaussian(), 1.0)):
        v = torch.full((4000, 3), start)
        flipped = GlobalFlip(unit)(v, rng("flip"))
        assert set(flipped.unique().tolist()) == {sum(unit.values) - start, start}
        assert torch.equal(flipped.amin(1), flipped.amax(1))
        assert abs(float((flipped[:, 0] == start).double().mean()) - 0.5) < 0.04
