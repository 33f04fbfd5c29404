"""Whatever is wrong comes out as one clear line on stderr and exit code 2, and nothing is half-written."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from ebmphys.checkpoint import Checkpoint, load, save
from ebmphys.cli.verbs import main
from ebmphys.energies import RBM


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A dataset and a model of 2 x 2 spins, made once."""
    folder = tmp_path_factory.mktemp("made")
    data, model = folder / "ising.h5", folder / "rbm.pt"
    generate = f"generate --size 2x2 --temperatures 2,3 --draws 20 --chains 4 --burn-in 5 --quiet --out {data}"
    assert main(generate.split()) == 0
    fit = f"fit --model rbm --hidden 2 --epochs 1 --data {data} --temperature 2 --quiet --out {model}"
    assert main(fit.split()) == 0
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capsys, line: str, *words: str) -> str:
    """The complaint about a command line, after checking that it is one line with these words and code 2."""
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    assert main(line.split()) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and captured.err.startswith("ebmphys: "), captured.err
    assert "Traceback" not in captured.err and captured.out == ""
    for word in words:
        assert word in captured.err, captured.err
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before
    return captured.err


GENERATE = "generate --size 4x4 --temperatures 2 --quiet --out new.h5"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"{GENERATE} --colour blue", ("--colour",)),
        ("generate --size 4x4 --temperatures -2 --out new.h5", ("--temperatures", "positive", "-2")),
        ("generate --size 4x4 --temperatures 0 --out new.h5", ("--temperatures", "positive")),
        ("generate --size 4x4 --temperatures 2,2 --out new.h5", ("--temperatures", "once")),
        ("generate --size 4y4 --temperatures 2 --out new.h5", ("--size", "32x32", "4y4")),
        ("generate --size 4x --temperatures 2 --out new.h5", ("--size", "4x")),
        ("generate --size 4x4x4 --geometry honeycomb --temperatures 2 --out new.h5", ("two sides",)),
        (f"{GENERATE} --draws 0", ("--draws", "0")),
        (f"{GENERATE} --draws many", ("--draws", "many")),
        (f"{GENERATE} --coupling strong", ("--coupling", "strong")),
        (f"{GENERATE} --field nan", ("--field",)),
        (f"{GENERATE} --sampler wolf", ("--sampler",)),
        ("generate --size 4x4 --temperatures 2", ("--out",)),
        ("generate --size 4x4 --temperatures 2 --out ising.h5", ("ising.h5 exists", "--force")),
        ("generate --size 6x6 --sampler enumerated --temperatures 2 --out new.h5", ("enumeration", "24")),
        ("generat --size 4x4", ("generat",)),
        ("fit --model rbm --data missing.h5 --out new.pt", ("missing.h5", "no such file")),
        ("fit --model rbm --data ising.h5 --out new.pt", ("2 temperatures", "--temperature")),
        ("fit --model rbm --data ising.h5 --temperature 2.5 --out new.pt", ("2.5", "there are 2, 3")),
        ("fit --model rbm --data ising.h5 --temperature 2,3 --out new.pt", ("{temperature}",)),
        ("fit --model rbm --data ising.h5 --temperature 2 --out rbm.pt", ("rbm.pt exists", "--force")),
        ("fit --model rbm --data ising.h5 --temperature 2 --hidden 8,8 --out new.pt", ("--hidden", "one number")),
        ("fit --model rbm --data ising.h5 --temperature 2 --learning-rate -1 --out new.pt", ("--learning-rate",)),
        ("fit --model flow --data ising.h5 --temperature 2 --out new.pt", ("--model", "flow")),
        ("fit --model rbm --data rbm.pt --out new.pt", ("rbm.pt",)),
        ("sample --model ising.h5 --out new.h5", ("ising.h5", "checkpoint")),
        ("sample --model missing.pt --out new.h5", ("missing.pt",)),
        ("sample --model rbm.pt --threshold --out new.h5", ("--threshold",)),
        ("compare --reference ising.h5 --sample rbm.pt --out new", ("rbm.pt",)),
        ("exact --size 32x32 --temperatures 2 --field 0.1", ("exact",)),
        ("info missing.h5", ("missing.h5", "no such file")),
        ("run missing.toml", ("missing.toml",)),
    ],
)
def test_command_lines(folder, capsys, line, words):
    refused(capsys, line, *words)


def test_a_truncated_file(folder, capsys):
    data = Path("ising.h5").read_bytes()
    Path("cut.h5").write_bytes(data[: len(data) // 2])
    refused(capsys, "info cut.h5", "cut.h5")
    refused(capsys, "fit --model rbm --data cut.h5 --out new.pt", "cut.h5")


def test_a_foreign_hdf5_file(folder, capsys):
    with h5py.File("foreign.h5", "w") as file:
        file["x"] = np.ones((10, 4))
    refused(capsys, "info foreign.h5", "foreign.h5", "not an ebmphys dataset")


def test_a_text_file(folder, capsys):
    Path("notes.txt").write_text("hello")
    refused(capsys, "info notes.txt", "notes.txt", "neither")


def test_a_model_of_another_version(folder, capsys):
    payload = Path("rbm.pt").read_bytes()
    Path("new.pt").write_bytes(payload.replace(b"ebmphys checkpoint 1 sha256", b"ebmphys checkpoint 7 sha256"))
    refused(capsys, "sample --model new.pt --out new.h5", "version 7", "version 1")


def test_a_model_with_a_pickle_inside(folder, capsys):
    class Bomb:
        def __reduce__(self):
            return os.system, ("touch exploded",)

    torch.save({"format": "ebmphys checkpoint", "bomb": Bomb()}, "bomb.pt")
    refused(capsys, "sample --model bomb.pt --out new.h5", "bomb.pt")
    assert not Path("exploded").exists()


def test_a_model_that_does_not_know_its_data(folder, capsys):
    rbm = RBM(4, 2, device="cpu")
    save("bare.pt", Checkpoint(rbm.config, dict(rbm.state_dict())))
    refused(capsys, "sample --model bare.pt --out new.h5", "temperature", "ebmphys fit")


def test_models_of_different_systems(folder, capsys):
    for size in ("2x3", "3x2"):
        main(f"generate --size {size} --temperatures 2 --draws 20 --chains 4 --quiet --out {size}.h5".split())
        main(f"fit --model rbm --hidden 2 --epochs 1 --data {size}.h5 --quiet --out {size}.pt".split())
    capsys.readouterr()
    refused(capsys, "sample --model 2x3.pt 3x2.pt --out new.h5", "another system")
    refused(capsys, "compare --reference 2x3.h5 --sample ising.h5 --out new", "ising.h5")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([[1.0, np.nan, -1, 1]] * 5), ("nan",)),
        (np.array([[1, 2, -1, 1]] * 5), ("-1", "0")),
        (np.array([[1, 0, -1, 1]] * 5), ("-1",)),
        (np.ones((5, 7)), ("7", "shape")),
        (np.ones((0, 4)), ("non-empty",)),
        (np.array(["up"] * 4), ("numbers",)),
    ],
)
def test_imports_of_what_is_no_configuration(folder, capsys, array, words):
    np.save("mine.npy", array)
    said = refused(capsys, "import --files mine.npy --temperatures 2 --out new.h5", "mine.npy").lower()
    assert all(word in said for word in words), said


def test_imports_that_do_not_fit_together(folder, capsys):
    np.save("a.npy", np.ones((5, 4, 4)))
    np.save("b.npy", np.ones((5, 3, 3)))
    refused(capsys, "import --files a.npy b.npy --temperatures 2,3 --out new.h5", "alike")
    refused(capsys, "import --files a.npy --temperatures 2,3 --out new.h5", "1 files", "got 2")
    refused(capsys, "import --files a.npy --out new.h5", "--temperatures")
    refused(capsys, "import --files a.npy --temperatures 2 --size 5x5 --out new.h5", "a.npy")
    refused(capsys, "import --files a.npy --temperatures 2 --chains 2 --out new.h5", "divide")
    refused(capsys, "import --files missing.npy --temperatures 2 --out new.h5", "missing.npy")


def test_a_pickle_that_would_run_something(folder, capsys):
    import pickle

    class Bomb:
        def __reduce__(self):
            return os.system, ("touch exploded",)

    Path("bomb.pkl").write_bytes(pickle.dumps(Bomb()))
    refused(capsys, "import --files bomb.pkl --temperatures 2 --size 4x4 --out new.h5", "bomb.pkl")
    assert not Path("exploded").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[generate", ("not TOML",)),
        ("", ("no steps",)),
        ("[conquer]\nout = 'x'", ("conquer",)),
        ("[generate]\nsize = '4x4'\nout = 'x.h5'", ("generate 1", "--temperatures")),
        ("[generate]\nsize = '4x4'\nout = 'x.h5'\ntemperatures = -1", ("generate 1", "positive")),
        ("[generate]\nsize = '4x4'\nout = 'x.h5'\ntemperatures = 2\nspeed = 3", ("generate 1", "speed")),
    ],
)
def test_recipes(folder, capsys, text, words):
    Path("recipe.toml").write_text(text)
    refused(capsys, "run recipe.toml", "recipe.toml", *words)


def test_an_output_that_is_a_folder(folder, capsys):
    Path("new.h5").mkdir()
    refused(capsys, f"{GENERATE} --force", "folder")


def test_a_full_disk(tmp_path):
    """On a real file system of 1 MB, in a process of its own: HDF5 is known to crash on a full disk."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    try:
        command = f"generate --size 64x64 --temperatures 2 --draws 1000 --quiet --out {disk / 'new.h5'}"
        process = subprocess.run(
            [sys.executable, "-m", "ebmphys.cli", *command.split()], capture_output=True, text=True, timeout=120
        )
        assert process.returncode == 2, process.stderr
        assert (process.stderr.count("\n") == 1 and "MB" in process.stderr) or "bytes" in process.stderr
        assert not (disk / "new.h5").exists()
    finally:
        subprocess.run(["umount", disk], check=True)


def test_the_model_is_what_it_was_after_all_that(made):
    assert load(made / "rbm.pt").config["n_visible"] == 4
