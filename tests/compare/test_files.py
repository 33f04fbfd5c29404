"""The comparison of dataset files: energies by the reference's Hamiltonian, exact KL of the models behind samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ebmphys.checkpoint import Checkpoint, save
from ebmphys.compare import Ensemble, compare_files, training_histories, write_table
from ebmphys.compare.files import read_ensembles
from ebmphys.dataset import Writer
from ebmphys.energies import RBM, Ising
from ebmphys.lattice import Lattice
from ebmphys.likelihood import kl_to_exact
from ebmphys.rng import generator

TEMPERATURES = (2.0, 3.0)
MODEL = {"model": "ising", "graph": Lattice((4, 4)).config, "coupling": 1.0, "field": 0.0}


def write(
    path: Path, ensembles: list[Ensemble], *, model=MODEL, wrong: float = 0.0, unit: str = "spin", **more
) -> Path:
    """Ensembles of one shape as a file; ``wrong`` is added to every energy."""
    n, chains = ensembles[0].energy_per_site.shape
    x = np.stack([np.asarray(e.x).reshape(n, chains, 16) for e in ensembles]).astype(np.float32)
    m = np.stack([e.magnetization for e in ensembles])
    if unit == "bit":
        x, m = (x + 1) / 2, (m + 1) / 2
    energy = np.stack([e.energy_per_site * 16 for e in ensembles]) + wrong
    plan = {"temperatures": [e.temperature for e in ensembles], "draws": n, "chains": chains, "n_sites": 16}
    with Writer.create(path, **plan, unit=unit, block=n, shape=(4, 4), model=model, **more) as writer:
        writer.write(x, energy, m)
    return path


@pytest.fixture
def reference(draw, tmp_path) -> Path:
    return write(tmp_path / "ising.h5", [draw("r", k, temperature=t) for k, t in enumerate(TEMPERATURES)])


def test_files_give_what_their_arrays_give(draw, reference, tmp_path):
    made = [draw("s", 10 + k, temperature=t) for k, t in enumerate(TEMPERATURES)]
    sample = write(tmp_path / "s.h5", made, settings={"seed": 7})
    (first, (found,)), _ = read_ensembles(reference, [sample], ["ising", "s"])
    assert first.temperature == 2.0
    assert np.array_equal(found.energy_per_site, made[0].energy_per_site)
    assert np.array_equal(np.asarray(found.x), np.asarray(made[0].x))
    table = compare_files(reference, [sample])
    assert (table.reference, table.samples) == ("ising", ("s",))
    assert table.temperatures == TEMPERATURES
    assert sum(v.agree for v in table.verdicts) >= 16
    assert all(k.value is None and "no model file" in k.reason for k in table.exact_kl)
    origin = table.provenance["files"][1]
    assert (origin["file"], origin["settings"], len(origin["sha256"])) == ("s.h5", {"seed": 7}, 64)
    assert len(write_table(table, tmp_path / "out")) == 2


@pytest.mark.parametrize("unit", ["spin", "bit"])
def test_energies_of_another_hamiltonian_are_measured_again(draw, reference, tmp_path, unit):
    made = draw("s", 10, temperature=2.0)
    sample = write(tmp_path / "s.h5", [made], model=None, wrong=5.0, unit=unit)
    (_, (found,)), (_, nothing) = read_ensembles(reference, [sample], ["ising", "s"])
    assert np.array_equal(found.energy_per_site, made.energy_per_site)
    assert np.allclose(found.magnetization, made.magnetization)
    assert nothing == []


def test_exact_kl_of_the_recorded_model(draw, reference, tmp_path):
    rbm = RBM(16, 3, rng=generator(1, device="cpu"), scale=1.0, device="cpu")
    record = [{"epoch": 1, "loss": 0.5}]
    save(tmp_path / "rbm.pt", Checkpoint(rbm.config, dict(rbm.state_dict()), history=record))
    path = write(tmp_path / "s.h5", [draw("s", 3, temperature=3.0)], provenance={"models": ["elsewhere/rbm.pt"]})
    target = Ising(Lattice((4, 4)), device="cpu")
    expected = kl_to_exact(target, 1 / 3.0, rbm)
    table = compare_files(reference, [path])
    (entry,) = table.exact_kl
    assert (entry.sample, entry.temperature) == ("s", 3.0)
    assert entry.value == pytest.approx(expected, rel=1e-6)
    assert table.ranking[0].score == entry.value
    assert training_histories(reference, [path]) == {"s": [{"epoch": 1, "loss": 0.5}]}
    given = compare_files(reference, [path], {"s": tmp_path / "rbm.pt"})
    assert given.exact_kl == table.exact_kl


def test_a_model_that_cannot_be_enumerated_says_why(draw, reference, tmp_path):
    rbm = RBM(9, 3, device="cpu")
    save(tmp_path / "small.pt", Checkpoint(rbm.config, dict(rbm.state_dict())))
    path = write(tmp_path / "s.h5", [draw("s", 3, temperature=3.0)], provenance={"models": ["small.pt"]})
    (entry,) = compare_files(reference, [path]).exact_kl
    assert entry.value is None
    assert "9" in entry.reason


@pytest.mark.parametrize(("setting", "words"), [("correct", "right by itself"), ("threshold", "not draws of it")])
def test_draws_that_are_not_the_models_own_are_told(draw, reference, tmp_path, setting, words):
    rbm = RBM(16, 3, rng=generator(1, device="cpu"), scale=1.0, device="cpu")
    save(tmp_path / "rbm.pt", Checkpoint(rbm.config, dict(rbm.state_dict())))
    made, provenance = [draw("s", 3, temperature=3.0)], {"models": ["rbm.pt"]}
    path = write(tmp_path / "s.h5", made, provenance=provenance, settings={"verb": "sample", setting: True})
    table = compare_files(reference, [path])
    assert table.exact_kl[0].value is None and "model" in table.exact_kl[0].reason
    assert any(words in warning for warning in table.notes)
    own = write(tmp_path / "own.h5", made, provenance=provenance, settings={"verb": "sample", setting: False})
    table = compare_files(reference, [own])
    assert table.exact_kl[0].value is not None and not any(words in warning for warning in table.notes)


def test_temperatures_that_are_left_out_or_differ_are_told(draw, reference, tmp_path):
    one = write(tmp_path / "one.h5", [draw("s", 3, temperature=3.0), draw("s", 4, temperature=2.75)])
    two = write(tmp_path / "two.h5", [draw("s", 5, temperature=2.0), draw("s", 6, temperature=3.0)])
    alone, both = compare_files(reference, [one]).notes, compare_files(reference, [one, two]).notes
    assert any("one: T = 2.75 not in the reference" in note for note in alone)
    assert any("different temperatures" in note for note in both)
    for notes in (alone, compare_files(reference, [two]).notes, compare_files(reference, [two, two]).notes):
        assert not any("different temperatures" in note for note in notes)
    assert not any("not in the reference" in note for note in compare_files(reference, [two]).notes)


def test_a_file_that_is_compared_with_itself_is_told(draw, reference, tmp_path):
    path = write(tmp_path / "s.h5", [draw("s", 3, temperature=3.0)])
    assert any("the same draws" in warning for warning in compare_files(reference, [reference]).notes)
    assert any("the same draws" in warning for warning in compare_files(reference, [path, path]).notes)
    assert not any("the same draws" in warning for warning in compare_files(reference, [path]).notes)


def test_files_that_do_not_fit_are_refused(draw, reference, tmp_path):
    elsewhere = write(tmp_path / "cold.h5", [draw("s", 1, temperature=1.0)])
    with pytest.raises(ValueError, match="none in common"):
        compare_files(reference, [elsewhere])
    bare = write(tmp_path / "bare.h5", [draw("s", 1, temperature=2.0)], model=None)
    with pytest.raises(ValueError, match="no Hamiltonian"):
        compare_files(bare, [reference])
    with pytest.raises(ValueError, match="at least one sample"):
        compare_files(reference, [])
    with pytest.raises(ValueError, match="no sample named x"):
        compare_files(reference, [bare], {"x": "model.pt"})
    with pytest.raises(FileNotFoundError):
        compare_files(reference, [tmp_path / "missing.h5"])
    small = tmp_path / "small.h5"
    with Writer.create(small, temperatures=[2.0], draws=2, chains=2, n_sites=9, block=2) as writer:
        writer.write(torch.ones(1, 2, 2, 9), torch.zeros(1, 2, 2), torch.ones(1, 2, 2))
    with pytest.raises(ValueError, match="9 sites"):
        compare_files(reference, [small])


def test_samples_of_one_stem_keep_apart_and_unfinished_runs_are_said(draw, reference, tmp_path):
    paths = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        paths.append(write(tmp_path / folder / "s.h5", [draw("s", 5, temperature=2.0)]))
    part = tmp_path / "part.h5"
    made = draw("p", 6, temperature=2.0, shape=(50, 40))
    with Writer.create(part, temperatures=[2.0], draws=80, chains=40, n_sites=16, block=50, model=MODEL) as writer:
        x = np.asarray(made.x).reshape(1, 50, 40, 16)
        writer.write(x, 16 * made.energy_per_site[None], made.magnetization[None])
    table = compare_files(reference, [*paths, part, part])
    assert table.samples == ("a/s", "b/s", f"{tmp_path.name}/part-1", f"{tmp_path.name}/part-2")
    assert any("50 of 80 planned draws" in note for note in table.notes)
