"""No verb writes over what it reads, and files that are not whole are not taken for more than they are."""

import json
from pathlib import Path

import numpy as np
import pytest

from ebmphys.cli.verbs import main
from ebmphys.dataset import Dataset
from ebmphys.experiment import Generate
from tests.experiment.interruption import cut_off

HOW = "--quiet --device cpu"


def contents():
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in Path().rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with data of 2 x 2 spins, a mixture and a machine of them, and draws of the mixture."""
    folder = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in (
            "generate --size 2x2 --temperatures 2 --draws 20 --chains 4 --burn-in 5 --out d.h5",
            "fit --model mixture --components 2 --epochs 2 --data d.h5 --out m.pt",
            "fit --model rbm --hidden 2 --epochs 2 --data d.h5 --out r.pt",
            "sample --model m.pt --draws 5 --chains 4 --out s.h5",
        ):
            assert main(f"{line} {HOW}".split()) == 0
    np.save(folder / "x.npy", np.ones((5, 4, 4)))
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    for path in made.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capsys, line: str, *words: str) -> str:
    """One line with these words and code 2, and no file made, changed or touched."""
    before = contents()
    capsys.readouterr()
    assert main(line.split()) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("ebmphys: ") and "settings:" not in said, said
    assert all(word in said for word in words), said
    assert contents() == before
    return said


@pytest.mark.parametrize("place", ["{name}", "{folder}/{name}", "sub/../{name}", "link/{name}", "soft-{name}"])
@pytest.mark.parametrize(
    ("line", "name"),
    [
        (f"fit --model mixture --components 2 --epochs 1 --data d.h5 {HOW}", "d.h5"),
        (f"sample --model r.pt m.pt {HOW}", "m.pt"),
        ("import --files x.npy --temperatures 2", "x.npy"),
    ],
)
def test_an_output_is_never_an_input(folder, capsys, line, name, place):
    Path("sub").mkdir()
    Path("link").symlink_to(folder)
    Path(f"soft-{name}").symlink_to(name)
    out = place.format(name=name, folder=folder)
    for how in ("", "--force"):
        refused(capsys, f"{line} --out {out} {how}", "one of the inputs", out)


def test_a_comparison_does_not_write_over_what_it_compares(folder, capsys):
    Path("r").mkdir()
    Path("s.h5").rename("r/table.csv")
    refused(capsys, "compare --reference d.h5 --sample r/table.csv --out r --force", "r/table.csv", "one of the inputs")
    Path("r/table.csv").rename("r/s.h5")  # beside the outputs is where it may be
    assert main(["compare", "--reference", "d.h5", "--sample", "r/s.h5", "--out", "r"]) == 0


def test_a_recipe_is_not_the_output_of_its_steps(folder, capsys):
    Path("recipe.toml").write_text("[generate]\nsize = '2x2'\ntemperatures = 2\nout = 'sub/../recipe.toml'")
    Path("sub").mkdir()
    refused(capsys, "run recipe.toml --force", "recipe.toml", "another name")


def cut(path: str, blocks: int, monkeypatch) -> None:
    whole = Generate(size="2x3", temperatures="2", draws=60, chains=12, burn_in=5, block=7, out=path, quiet=True)
    cut_off(whole, Path(path), blocks, monkeypatch)


@pytest.mark.parametrize(
    "options",
    [
        "mixture",
        "gan",
        "bm --start pseudo-likelihood",
        "rbm",
        "made",
        "vae",
        "dbn",
        "made --objective free-energy",
    ],
)
def test_nothing_is_learned_from_no_draws(folder, capsys, monkeypatch, options):
    cut("cut.h5", 0, monkeypatch)
    assert Dataset("cut.h5").draws == 0
    line = f"fit --model {options} --epochs 1 --data cut.h5 --out n.pt {HOW}"
    refused(capsys, line, "cut.h5 holds 0 complete draws")


def test_learning_from_an_interrupted_file_is_said(folder, capsys, monkeypatch):
    line = f"fit --model mixture --components 2 --epochs 1 --out n.pt --force {HOW} --json --data"
    for data, expected in (("cut.h5", True), ("d.h5", False)):
        if expected:
            cut(data, 2, monkeypatch)
        capsys.readouterr()
        assert main(f"{line} {data}".split()) == 0
        (reached,) = json.loads(capsys.readouterr().out)["models"]
        assert ("cut.h5: 14 of 60 planned draws are complete" in reached["warnings"]) is expected


def test_settings_of_no_use_to_independent_draws_are_refused_before_a_file_is_made(folder, capsys):
    fit = f"--epochs 1 --data d.h5 {HOW} --hidden"
    assert main(f"fit --model gan --critic 4 --out g.pt {fit} 4".split()) == 0
    assert main(f"fit --model frontier --out f.pt {fit} 4".split()) == 0
    assert main(f"fit --model dbn --out b.pt {fit} 4,3".split()) == 0
    sample = f"sample --draws 5 --chains 4 --out n.h5 {HOW} --model"
    for model in ("g.pt", "f.pt", "m.pt"):
        refused(capsys, f"{sample} {model} --threshold", "--threshold is for a vae or cvae")
        refused(capsys, f"{sample} {model} --thin 2", "--thin")
        refused(capsys, f"{sample} {model} --burn-in 2", "--burn-in")
    refused(capsys, f"{sample} b.pt --thin 2", "--thin")
    for line in (f"{sample} b.pt --burn-in 2", f"{sample} m.pt --correct --thin 2 --burn-in 3 --force"):
        assert main(line.split()) == 0


def test_what_is_resumed_with_other_settings_is_named_and_not_touched(folder, capsys):
    line = f"sample --model m.pt --out s.h5 --chains 4 --resume {HOW}"
    refused(capsys, f"{line} --draws 7", "s.h5 cannot be resumed: draws was 5 there and is 7 now")
    refused(capsys, f"{line} --draws 5 --seed 2", "seed was 1 there and is 2 now")
    generate = f"generate --size 2x2 --temperatures 2 --draws 20 --chains 4 --out d.h5 --resume {HOW}"
    refused(capsys, f"{generate} --burn-in 6", "burn_in was 5 there and is 6 now")
    refused(capsys, f"{generate.replace('d.h5', 's.h5')} --burn-in 5", "s.h5 cannot be resumed")
    Path("m.pt").unlink()
    assert main(f"fit --model mixture --components 2 --epochs 3 --data d.h5 --out m.pt {HOW}".split()) == 0
    refused(capsys, f"{line} --draws 5", "m.pt has changed")


def test_a_fit_that_has_nothing_left_to_do_says_so(folder, capsys):
    line = f"fit --model rbm --hidden 2 --data d.h5 --out r.pt --resume --json {HOW} --epochs"
    for epochs, idle in ((1, True), (2, True), (3, False)):
        capsys.readouterr()
        assert main(f"{line} {epochs}".split()) == 0
        (reached,) = json.loads(capsys.readouterr().out)["models"]
        assert any("nothing was left to do: r.pt has 2 epochs" in words for words in reached["warnings"]) is idle
        assert reached["epoch"] == max(2, epochs)


def test_faults_of_several_settings_name_them_and_nothing_else(folder, capsys):
    refused(
        capsys, "generate --size 2x2 --temperatures 2 --draws 3 --independent 3 --out n.h5", "ebmphys: give --draws"
    )


def test_the_help_of_the_objective_names_the_models_that_it_is_for(capsys):
    assert main(["fit", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "likelihood (default of bm, rbm, dbm, neural, made, pixelcnn and frontier)" in said
