"""What Ctrl-C leaves is said as it is, and the command that goes on is one that there is."""

from pathlib import Path

import numpy as np
import pytest

from ebmphys.checkpoint import load
from ebmphys.cli.verbs import main
from ebmphys.experiment import comparing, fitting, importing, sampling, training

HOW = "--quiet --device cpu"
ANEW = "nothing was complete yet, and the same command begins anew"
RESUMES = "what is complete is kept, and the same command with --resume goes on"


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    (tmp_path / "a.h5").write_bytes((made / "a.h5").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stopped(capsys, line: str, module, name: str) -> str:
    """What is said where a name in a module meets Ctrl-C."""

    def interrupted(*given, **named):
        raise KeyboardInterrupt

    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, interrupted)
        assert main(line.split()) == 130
    said = capsys.readouterr().err
    *_, last = said.splitlines()  # a recipe says its steps before
    assert last.startswith("ebmphys: interrupted: ")
    return last


def test_a_fit(folder, capsys):
    line = f"fit --model rbm --hidden 2 --epochs 2 --data a.h5 --out m.pt {HOW}"
    assert ANEW in stopped(capsys, line, training, "suited") and not Path("m.pt").exists()
    assert main(line.split()) == 0
    # An earlier model that was to be replaced is not what --resume would go on with.
    assert ANEW in stopped(capsys, f"{line} --force", training, "suited")
    assert RESUMES in stopped(capsys, f"{line} --resume", training, "suited")
    longer = line.replace("--epochs 2", "--epochs 3") + " --resume"
    assert main(longer.split()) == 0 and load("m.pt").epoch == 3


def test_a_fit_of_layers_that_has_the_first(folder, capsys):
    from ebmphys.experiment import belief_net

    line = f"fit --model dbn --hidden 3,2 --epochs 1 --data a.h5 --out m.pt {HOW}"
    assert RESUMES in stopped(capsys, line, belief_net, "_hidden_draws")
    assert Path(".m.pt.layer1").exists() and main(f"{line} --resume".split()) == 0


def test_draws(folder, capsys):
    assert main(f"fit --model mixture --components 2 --epochs 1 --data a.h5 --out m.pt {HOW}".split()) == 0
    line = f"sample --model m.pt --draws 3 --chains 4 --out s.h5 {HOW}"
    assert ANEW in stopped(capsys, line, sampling, "_source")
    assert RESUMES in stopped(capsys, line, sampling, "collect")
    assert main(f"{line} --resume".split()) == 0


def test_verbs_that_cannot_be_resumed(folder, capsys):
    assert main(f"fit --model mixture --components 2 --epochs 1 --data a.h5 --out m.pt {HOW}".split()) == 0
    assert main(f"sample --model m.pt --draws 3 --chains 4 --out s.h5 {HOW}".split()) == 0
    line = "compare --reference a.h5 --sample s.h5 --out r"
    assert ANEW in stopped(capsys, line, comparing, "compare_files")
    said = stopped(capsys, line, comparing, "write_table")
    assert "r/report.html is not all of it" in said and "--force" in said and "--resume" not in said
    assert main(f"{line} --force".split()) == 0
    np.save("x.npy", np.ones((5, 3, 4)))
    line = "import --files x.npy --temperatures 2 --out i.h5"
    said = stopped(capsys, line, importing, "pack")
    assert "i.h5 is not all of it" in said and "--force" in said and main(f"{line} --force".split()) == 0


def test_a_recipe_goes_on_by_itself(folder, capsys):
    text = "[fit]\nmodel = 'rbm'\nhidden = 2\nepochs = 1\ndata = 'a.h5'\nout = 'm.pt'\ndevice = 'cpu'\nquiet = true"
    Path("recipe.toml").write_text(text)
    for force in ("", " --force"):
        said = stopped(capsys, f"run recipe.toml{force}", fitting, "_lesson")
        assert f"the same command{force and ' without --force'} goes on" in said and "--resume" not in said
