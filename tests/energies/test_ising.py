"""The Ising energy by hand, and what it refuses."""

import pytest
import torch

from ebmphys.energies import Ising, gaussian_couplings, plus_minus_couplings
from ebmphys.lattice import Lattice
from ebmphys.rng import generator


def test_energies_known_by_hand():
    model = Ising(Lattice((4, 4)), field=0.5, device="cpu")
    up = torch.ones(16)
    assert model.energy(up).item() == -32 - 8
    assert model.energy(-up).item() == -32 + 8
    flipped = up.clone()
    flipped[5] = -1
    assert model.energy(flipped).item() == -32 + 8 - 8 + 1
    board = torch.tensor([1.0, -1.0]).repeat(2)
    checkerboard = torch.stack([board, -board, board, -board]).flatten()
    assert model.energy(checkerboard).item() == 32


def test_a_doubled_bond_counts_twice():
    assert Ising(Lattice((2,)), device="cpu").energy(torch.ones(2)).item() == -2
    assert Ising(Lattice((2,), periodic=False), device="cpu").energy(torch.ones(2)).item() == -1
    assert Ising(Lattice((1, 1)), field=2.0, device="cpu").energy(torch.ones(1)).item() == -2


def test_antiferromagnet_and_bond_couplings():
    lattice = Lattice((4, 4))
    up = torch.ones(16)
    assert Ising(lattice, -1.0, device="cpu").energy(up).item() == 32
    couplings = torch.arange(32.0)
    assert Ising(lattice, couplings, device="cpu").energy(up).item() == -couplings.sum()


def test_large_integer_energies_are_exact():
    model = Ising(Lattice((512, 512)), device="cpu")
    assert model.energy(torch.ones(512 * 512)).item() == -2 * 512 * 512


def test_random_couplings_have_their_law():
    lattice = Lattice((64, 64))
    signs = plus_minus_couplings(lattice, generator(1, device="cpu"), probability=0.3)
    assert set(signs.tolist()) == {-1.0, 1.0}
    assert abs((signs == 1).float().mean() - 0.3) < 4 * (0.21 / 8192) ** 0.5
    normal = gaussian_couplings(lattice, generator(2, device="cpu"), mean=0.5, sigma=2.0)
    assert abs(normal.mean() - 0.5) < 4 * 2 / 8192**0.5
    assert abs(normal.std() - 2) < 4 * 2 / (2 * 8192) ** 0.5


def test_bad_couplings_and_fields_are_refused():
    lattice = Lattice((4, 4))
    with pytest.raises(ValueError, match="one a bond \\(32\\)"):
        Ising(lattice, torch.ones(31))
    with pytest.raises(ValueError, match="one a site \\(16\\)"):
        Ising(lattice, field=torch.ones(4, 4))
    with pytest.raises(ValueError, match="finite"):
        Ising(lattice, float("nan"))
    with pytest.raises(ValueError, match="probability"):
        plus_minus_couplings(lattice, generator(1), probability=1.5)
