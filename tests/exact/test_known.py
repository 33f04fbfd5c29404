"""What `exact_values` knows about a model, and that its ways agree where they meet."""

import math

import numpy as np
import pytest
import torch

from ebmphys.energies import RBM, Ising, plus_minus_couplings
from ebmphys.exact import exact_source, exact_values, kaufman, known, periodic_chain
from ebmphys.lattice import Graph, Lattice
from ebmphys.rng import generator

THERMAL = {"log_partition", "energy_per_site", "specific_heat"}


@pytest.mark.parametrize("shape", [(4, 4), (2, 5), (2, 2), (12,), (1, 9)])
@pytest.mark.parametrize("periodic", [True, False])
def test_enumeration_and_transfer_matrix_agree(shape, periodic, monkeypatch):
    lattice = Lattice(shape, periodic=periodic)
    couplings = torch.randn(lattice.n_bonds, generator=generator(3, "couplings", device="cpu"))
    fields = torch.randn(lattice.n_sites, generator=generator(3, "fields", device="cpu"))
    model = Ising(lattice, couplings, fields)
    assert "enumeration" in exact_source(model)
    enumerated = exact_values(model, 0.6)
    monkeypatch.setattr(known, "_ENUMERATED_SITES", 0)
    assert "transfer" in exact_source(model)
    transferred = exact_values(model, 0.6)
    assert set(enumerated) == set(transferred) == set(known.NAMES)
    for name, value in enumerated.items():
        assert transferred[name] == pytest.approx(value, rel=1e-11, abs=1e-13), name
    assert enumerated["log_partition"] != pytest.approx(exact_values(model, 0.606)["log_partition"], rel=1e-5)


def test_narrow_lattices_have_everything():
    values = exact_values(Ising(Lattice((8, 8))), 0.4)
    assert values["binder_cumulant"] == pytest.approx(0.524122855863, abs=6e-13)
    assert values["energy_per_site"] == pytest.approx(-1.222320643251, abs=6e-13)
    graph = Lattice((6, 6))
    glass = Ising(graph, plus_minus_couplings(graph, generator(1, device="cpu")))
    assert set(exact_values(glass, 1.0)) == set(known.NAMES)
    chain = exact_values(Ising(Lattice((200,)), 0.8, 0.1), 1.0)
    assert chain["specific_heat"] == pytest.approx(
        periodic_chain(200, 1.0, float(np.float32(0.8)), float(np.float32(0.1))).specific_heat, rel=1e-10
    )


@pytest.mark.parametrize("coupling", [1.0, -1.0, 0.5])
def test_large_uniform_tori_have_kaufmans_values(coupling):
    model = Ising(Lattice((64, 32)), coupling)
    assert exact_source(model) == "Kaufman (1949)"
    values = exact_values(model, 0.44)
    solution = kaufman((64, 32), 0.44, coupling)
    assert values == {name: getattr(solution, name) for name in THERMAL}


@pytest.mark.parametrize(
    "model",
    [
        Ising(Lattice((64, 64)), 1.0, 0.1),
        Ising(Lattice((64, 64), periodic=(True, False))),
        Ising(Lattice((33, 64)), -1.0),
        Ising(Lattice((6, 6), "triangular")),
        Ising(Lattice((6, 6, 6))),
        Ising(Graph(20, [(0, 1)])),
        RBM(4, 2),
    ],
    ids=["field", "open", "frustrated", "triangular", "cubic", "graph", "rbm"],
)
def test_says_nothing_where_nothing_is_known(model):
    assert exact_source(model) == ""
    assert exact_values(model, 0.4) == {}


def test_infinite_temperature_and_bad_beta():
    for shape in ((4, 4), (5, 6), (40, 40)):
        values = exact_values(Ising(Lattice(shape)), 0.0)
        n = math.prod(shape)
        assert values["log_partition"] == pytest.approx(n * math.log(2))
        assert values.get("magnetization_squared", 1 / n) == pytest.approx(1 / n)
    with pytest.raises(ValueError, match="beta"):
        exact_values(Ising(Lattice((4, 4))), -1.0)
