"""What a writer refuses, in one line, and that a refusal costs nothing."""

from __future__ import annotations

import numpy as np
import pytest

from ebmphys.dataset import Dataset, Writer

GOOD = {"temperatures": [1.0, 2.0], "draws": 4, "chains": 2, "n_sites": 9}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperatures": []}, "temperatures must be positive and finite"),
        ({"temperatures": [1.0, -2.0]}, "temperatures must be positive and finite"),
        ({"temperatures": [float("nan")]}, "temperatures must be positive and finite"),
        ({"temperatures": [2.0, 1.0, 2.0 + 1e-9]}, "distinct"),
        ({"draws": 0}, "draws must be at least 1"),
        ({"chains": -1}, "chains must be at least 1"),
        ({"block": 0}, "block must be at least 1"),
        ({"n_sites": 0}, "n_sites must be at least 1"),
        ({"unit": "potts"}, "unit must be one of spin, bit, gaussian"),
        ({"shape": (2, 4)}, "shape"),
        ({"shape": (-3, -3)}, "shape"),
        ({"settings": {"a": object()}}, "settings must be values that JSON can hold"),
        ({"settings": {"a": float("nan")}}, "settings must be values that JSON can hold"),
        ({"state": {"x": np.zeros(0)}}, "state 'x'"),
        ({"state": {"x": np.array(["a"])}}, "state 'x'"),
        ({"state": {"completed": np.zeros(1)}}, "state 'completed'"),
        ({"state": {"../x": np.zeros(1)}}, "state '../x'"),
        ({"n_sites": 1 << 32, "chains": 8}, "exceeds 4 GiB"),
    ],
)
def test_refused_creation_leaves_nothing(tmp_path, change, message):
    with pytest.raises(ValueError, match=message) as error:
        Writer.create(tmp_path / "a.h5", **{**GOOD, **change})
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_existing_path(run, written):
    before = written.read_bytes()
    with pytest.raises(FileExistsError, match=r"run\.h5: exists already"):
        run.create(written)
    assert written.read_bytes() == before
    with run.create(written, force=True):
        pass
    assert Dataset(written).draws == 0
    assert [p.name for p in written.parent.iterdir()] == ["run.h5"]


def test_missing_directory(run, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such directory"):
        run.create(tmp_path / "nowhere" / "a.h5")
    with pytest.raises(FileExistsError):
        run.create(tmp_path, force=True)


def test_refused_blocks_do_not_count(run, tmp_path):
    path = tmp_path / "a.h5"
    part = slice(0, 10)
    x, energy, m, state = run.x[:, part], run.energy[:, part], run.magnetization[:, part], run.state(10)
    other, infinite = x.copy(), energy.copy()
    other[2, 9, 3, 36], infinite[1, 1, 1] = 0.5, np.inf
    wrong_type = {**state, "x": state["x"].astype(np.float64)}
    refusals = [
        ((other, energy, m, state), "holds only -1 and 1"),
        ((x * np.nan, energy, m, state), "holds only -1 and 1"),
        ((x[:, :9], energy, m, state), r"x must have shape \(3, 10, 4, 37\)"),
        ((x, energy[..., 0], m, state), "energy must have shape"),
        ((x, infinite, m, state), "energy must be finite"),
        ((x, energy, m * np.nan, state), "magnetization must be finite"),
        ((x, energy, m, None), "state must hold"),
        ((x, energy, m, {"x": state["x"]}), "state must hold"),
        ((x, energy, m, wrong_type), "state 'x' must be float32"),
    ]
    with run.create(path) as writer:
        for arguments, message in refusals:
            with pytest.raises(ValueError, match=message):
                writer.write(*arguments)
            assert writer.completed == 0
            run.check(path, 0)
        run.finish(writer)
        with pytest.raises(ValueError, match="all 25 draws are completed"):
            writer.write(*refusals[4][0])
    run.check(path, 25)


def test_gaussian_values_must_be_finite_and_are_not_bits(make_run, tmp_path):
    run = make_run(5, "gaussian")
    x, energy, m = run.x[:, :10], run.energy[:, :10], run.magnetization[:, :10]
    with run.create(tmp_path / "a.h5") as writer:
        with pytest.raises(ValueError, match="x must be finite"):
            writer.write(x * np.nan, energy, m, run.state(10))
        with pytest.raises(ValueError, match="not stored as bits"):
            writer.write_packed(x, energy, m, run.state(10))


def test_one_writer_at_a_time(run, tmp_path):
    path = tmp_path / "a.h5"
    with run.create(path), pytest.raises(BlockingIOError, match="another writer has this file"):
        Writer.resume(path)
    run.finish(Writer.resume(path))
    run.check(path, 25)


def test_readers_see_completed_draws_while_a_writer_is_open(run, tmp_path):
    path = tmp_path / "a.h5"
    with run.create(path) as writer:
        data = Dataset(path)
        for expected in (0, 10, 20, 25):
            assert data.draws == expected == run.check(path)
            assert data.complete == (expected == 25)
            if writer.next_block:
                run.write(writer)


def test_without_state(run, tmp_path):
    path = tmp_path / "a.h5"
    Writer.create(path, temperatures=run.temperatures, draws=25, chains=4, n_sites=37, block=25).close()
    with Writer.resume(path) as writer:
        assert writer.state() == {} and writer.next_block == 25
        writer.write(run.x, run.energy, run.magnetization)
    run.check(path, 25)
