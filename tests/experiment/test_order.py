"""Order where couplings are negative: ground states without frustration, overlaps, and what a pilot makes of them."""

import numpy as np
import pytest
import torch

from ebmphys.dataset import Dataset
from ebmphys.energies import Ising, plus_minus_couplings, satisfying_spins
from ebmphys.exact import kaufman
from ebmphys.experiment import Generate, generate
from ebmphys.experiment.order import abs_overlaps, of_each_chain, order_parameter
from ebmphys.experiment.pilot import pilot
from ebmphys.lattice import Graph, Lattice
from ebmphys.rng import generator


def rng(*path):
    return generator(5, "order", *path, device="cpu")


def antiferromagnet(*shape):
    return Ising(Lattice(shape), -1.0, device="cpu")


def glass(*shape):
    lattice = Lattice(shape)
    return Ising(lattice, plus_minus_couplings(lattice, rng("J")), device="cpu")


@pytest.mark.parametrize(
    ("lattice", "coupling"),
    [
        (Lattice((4, 6)), 1.0),
        (Lattice((4, 6)), -1.0),
        (Lattice((2, 3), "honeycomb"), -0.5),
        (Lattice((3, 5), periodic=False), -1.0),
    ],
)
def test_a_ground_state_satisfies_every_bond(lattice, coupling):
    found = satisfying_spins(Ising(lattice, coupling, device="cpu"))
    bonds = torch.from_numpy(lattice.bonds)
    assert bool((coupling * found[bonds[:, 0]] * found[bonds[:, 1]] > 0).all())


def test_a_disguised_ferromagnet_is_seen_through():
    # Mattis (1976): J_ij = eps_i eps_j |J_ij| has no frustration.
    lattice, hidden = Lattice((5, 6)), (torch.rand(30, generator=rng("eps")) < 0.5).float() * 2 - 1
    ends = hidden[torch.from_numpy(lattice.bonds)]
    strengths = torch.rand(lattice.n_bonds, generator=rng("J")) + 0.1
    found = satisfying_spins(Ising(lattice, ends.prod(-1) * strengths, device="cpu"))
    assert torch.equal(found * found[0], hidden * hidden[0])


@pytest.mark.parametrize(
    "model", [antiferromagnet(3, 4), Ising(Lattice((3, 3), "triangular"), -1.0, device="cpu"), glass(4, 4)]
)
def test_frustration_is_seen(model):
    assert satisfying_spins(model) is None


def test_sites_without_bonds_have_a_ground_state():
    assert satisfying_spins(Ising(Graph(3, []), device="cpu")).tolist() == [1, 1, 1]


def test_order_parameters_are_what_their_formulas_say():
    spins = (torch.rand(7, 5, 12, generator=rng("x")) < 0.5).numpy() * 2 - 1
    rows = np.packbits(spins > 0, axis=-1)
    overlaps = np.abs((spins * np.roll(spins, -1, axis=1)).mean(-1))
    np.testing.assert_allclose(abs_overlaps(rows, 12), overlaps, atol=1e-12)
    np.testing.assert_allclose(order_parameter(glass(3, 4))(rows), overlaps, atol=1e-12)
    system = Ising(Lattice((2, 6)), -1.0, device="cpu")
    staggered = np.abs((spins * satisfying_spins(system).numpy()).mean(-1))
    np.testing.assert_allclose(order_parameter(system)(rows), staggered, atol=1e-12)
    assert order_parameter(Ising(Lattice((3, 4)), device="cpu")) is None


def test_overlaps_forget_twice_as_fast():
    rho = np.array([0.0, 0.5, 0.9, 0.99])

    def tau(rho):
        return (1 + rho) / (2 * (1 - rho))

    np.testing.assert_allclose(of_each_chain(tau(rho**2)), tau(rho))


def test_an_antiferromagnet_takes_as_long_as_the_ferromagnet():
    # Turning one sublattice over maps one to the other, so tau of the staggered magnetization is that of |m|.
    taus = [
        pilot(["packed-gibbs"], Ising(Lattice((8, 8)), sign, device="cpu"), [2.269], 64, 1, lambda c: None).tau[0]
        for sign in (1.0, -1.0)
    ]
    assert taus[1] == pytest.approx(taus[0], rel=0.25) and taus[0] > 5


def test_a_cold_glass_is_not_promised():
    stuck = pilot(["packed-gibbs"], glass(16, 16), [0.3], 64, 1, lambda chains: None, budget=2e8)
    assert not stuck.resolved
    warm = pilot(["packed-gibbs"], glass(16, 16), [3.0], 64, 1, lambda chains: None, budget=2e8)
    assert warm.resolved and warm.tau[0] < 10


def test_an_antiferromagnet_starts_in_its_order_and_its_draws_are_independent(tmp_path):
    given = {"size": "8x8", "coupling": "-1", "temperatures": "1.8,2.5", "device": "cpu", "quiet": True}
    result = generate(Generate(out=tmp_path / "a.h5", independent=1600, chains=16, sampler="auto", **given))
    for row in result["rows"]:
        assert not row["warnings"] and row["n_effective"] > 0.9 * 1600
        exact = kaufman((8, 8), 1 / row["temperature"]).energy_per_site
        assert abs(row["energy_per_site"]["value"] - exact) < 4 * row["energy_per_site"]["error"]
    # From a random start no chain would be so cold after one sweep.
    generate(Generate(out=tmp_path / "b.h5", draws=1, burn_in=0, thin=1, chains=64, **given | {"temperatures": "1"}))
    assert Dataset(tmp_path / "b.h5").energy(1.0).max() < -1.7 * 64
    with pytest.raises(ValueError, match="without frustration"):
        generate(Generate(out=tmp_path / "c.h5", start="ordered", **given | {"coupling": "+-J"}))
