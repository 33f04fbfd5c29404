"""All verbs in a row on a small lattice, as a user types them; JSON out; and a recipe that skips what is up to date."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ebmphys.cli.verbs import main
from ebmphys.dataset import Dataset

RECIPE = """
title = "a small one"
[generate]
out = "ising.h5"
size = "4x4"
temperatures = [2.269, 3.0]
draws = 100
chains = 32
burn_in = 100
[[fit]]
out = "rbm-{temperature}.pt"
data = "ising.h5"
model = "rbm"
temperature = [2.269, 3.0]
hidden = 8
epochs = 3
[[fit]]
out = "vae.pt"
data = "ising.h5"
model = "vae"
temperature = 2.269
hidden = "16"
epochs = 3
[[sample]]
out = "rbm.h5"
model = ["rbm-3.pt", "rbm-2.269.pt"]
draws = 50
chains = 32
burn_in = 20
[[sample]]
out = "vae.h5"
model = ["vae.pt"]
draws = 50
chains = 32
[compare]
out = "report"
reference = "ising.h5"
sample = ["rbm.h5", "vae.h5"]
"""


def answer(capsys, line: str) -> dict:
    capsys.readouterr()
    assert main([*line.split(), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("recipe.toml").write_text(RECIPE)
    return tmp_path


def test_a_recipe_end_to_end_and_again(here, capsys):
    first = answer(capsys, "run recipe.toml --quiet")
    assert [step["done"] for step in first["steps"]] == [True] * 6
    table = json.loads(Path("report/table.json").read_text())
    assert {entry["sample"] for entry in table["exact_kl"] if entry["value"] is not None} == {"rbm", "vae"}
    assert Path("report/report.html").stat().st_size > 50_000 and Path("report/table.csv").exists()
    assert Dataset("rbm.h5").temperatures.tolist() == [2.269, 3.0]

    again = answer(capsys, "run recipe.toml --quiet")
    assert not any(step["done"] for step in again["steps"])

    # One changed setting redoes that step and what depends on it, and nothing else.
    Path("recipe.toml").write_text(RECIPE.replace('hidden = "16"', 'hidden = "12"'))
    changed = answer(capsys, "run recipe.toml --quiet")
    assert [step["step"] for step in changed["steps"] if step["done"]] == [
        "fit vae.pt",
        "sample vae.h5",
        "compare report",
    ]

    Path("rbm.h5").unlink()
    replaced = answer(capsys, "run recipe.toml --quiet")
    redone = [step["step"] for step in replaced["steps"] if step["done"]]
    assert redone[0] == "sample rbm.h5" and "fit vae.pt" not in redone


def test_an_interrupted_step_of_a_recipe_goes_on(here, capsys):
    assert main(["run", "recipe.toml", "--quiet"]) == 0
    whole = Dataset("ising.h5").packed(3.0).tobytes()
    Path("ising.h5").unlink()
    text = RECIPE.replace("draws = 100\n", "draws = 4000\n").replace("burn_in = 100\n", "burn_in = 100\nblock = 100\n")
    Path("recipe.toml").write_text(text)
    command = [sys.executable, "-m", "ebmphys.cli", "run", "recipe.toml", "--quiet"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while process.poll() is None and not (Path("ising.h5").exists() and Dataset("ising.h5").draws >= 200):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    done = Dataset("ising.h5").draws
    assert 200 <= done < 4000
    assert main(["run", "recipe.toml", "--quiet"]) == 0
    assert Dataset("ising.h5").complete
    assert Dataset("ising.h5").packed(3.0, draws=slice(0, 100)).tobytes() == whole


def test_sampling_resumes_bit_for_bit(here, capsys, monkeypatch):
    from ebmphys.dataset import Writer

    assert main(["run", "recipe.toml", "--quiet"]) == 0
    whole = {name: Dataset(f"{name}.h5").packed(2.269).tobytes() for name in ("rbm", "vae")}
    for name, models in (("rbm", "rbm-2.269.pt rbm-3.pt --burn-in 20"), ("vae", "vae.pt")):
        written, write = [], Writer.write_packed

        def interrupted(self, *values, written=written, write=write):
            if len(written) == 4:
                raise KeyboardInterrupt
            written.append(1)
            write(self, *values)

        line = f"sample --model {models} --draws 50 --chains 32 --quiet --out cut.h5".split()
        with monkeypatch.context() as patch:
            patch.setattr(Writer, "write_packed", interrupted)
            assert main([*line, "--force"]) == 130
        assert 0 < Dataset("cut.h5").draws < 50
        assert main([*line, "--resume"]) == 0
        assert Dataset("cut.h5").packed(2.269).tobytes() == whole[name]


def test_a_fit_resumes_bit_for_bit(here, capsys):
    import torch

    from ebmphys.checkpoint import load

    assert main(["run", "recipe.toml", "--quiet"]) == 0
    common = "fit --model rbm --data ising.h5 --temperature 3.0 --hidden 8 --schedule constant --quiet"
    assert main(f"{common} --epochs 4 --out whole.pt".split()) == 0
    assert main(f"{common} --epochs 2 --out parts.pt".split()) == 0
    assert main(f"{common} --epochs 4 --out parts.pt --resume".split()) == 0
    whole, parts = load("whole.pt"), load("parts.pt")
    assert all(torch.equal(whole.parameters[name], parts.parameters[name]) for name in whole.parameters)
    assert torch.equal(whole.objective["chains"]["x"], parts.objective["chains"]["x"])


def test_import_generate_and_exact_speak_json(here, capsys):
    rng = np.random.default_rng(1)
    for t in (2.0, 2.5):
        np.save(f"mine_T={t:.2f}.npy", rng.integers(0, 2, (40, 4, 4)))
    made = answer(capsys, "import --files mine_T=2.50.npy mine_T=2.00.npy --out mine.h5")
    assert made["temperatures"] == [2.0, 2.5] and made["draws"] == 40 and made["shape"] == [4, 4]
    x = Dataset("mine.h5").x(2.5, unit="bit", device="cpu")
    np.testing.assert_array_equal(x.numpy().reshape(40, 4, 4), np.load("mine_T=2.50.npy"))
    assert answer(capsys, "info mine.h5")["kind"] == "dataset"
    known = answer(capsys, "exact --size 8x8 --temperatures 2.5")
    assert known["rows"][0]["energy_per_site"] == pytest.approx(-1.222320643251, abs=1e-10)
    assert known["rows"][0]["abs_magnetization"] == pytest.approx(0.603128979407, abs=1e-10)


def test_exact_values_are_those_of_the_couplings_as_typed(here, capsys):
    from ebmphys.exact import kaufman, periodic_chain

    row = answer(capsys, "exact --size 16x16 --temperatures 0.68 --coupling 0.3")["rows"][0]
    assert row["energy_per_site"] == pytest.approx(kaufman((16, 16), 1 / 0.68, 0.3).energy_per_site, rel=1e-12)
    row = answer(capsys, "exact --size 12 --temperatures 2 --coupling 0.7 --field 0.1")["rows"][0]
    assert row["energy_per_site"] == pytest.approx(periodic_chain(12, 0.5, 0.7, 0.1).energy_per_site, rel=1e-12)


def test_tables_for_people(here, capsys):
    assert main(["run", "recipe.toml", "--quiet"]) == 0
    for line in ("info ising.h5", "info rbm-3.pt", "info report", "exact --size 8x8 --temperatures 2.5,3"):
        assert main(line.split()) == 0
    out = capsys.readouterr().out
    assert "N_eff" in out and "rbm with" in out and "to the physics" in out and "Onsager" in out
    assert "…" not in out  # nothing is cut


def test_help_teaches(capsys):
    for verb in ("", "generate", "import", "fit", "sample", "compare", "exact", "info", "run"):
        assert main([*verb.split(), "--help"]) == 0
        out = capsys.readouterr().out
        assert "Usage: ebmphys" in out and (not verb or f"Example: ebmphys {verb}" in " ".join(out.split()))


def test_the_command_is_installed():
    command = Path(sys.executable).with_name("ebmphys")
    version = subprocess.run([command, "--version"], capture_output=True, text=True, env=os.environ, check=True)
    assert version.stdout.strip() == "0.1.0"


@pytest.mark.parametrize("hidden", ["spin", "bit", "gaussian"])
@pytest.mark.parametrize("visible", ["spin", "bit", "gaussian"])
def test_every_pair_of_units_fits_and_samples_beyond_enumeration(here, visible, hidden):
    assert (
        main(
            [
                "generate",
                "--size",
                "5x5",
                "--temperatures",
                "4",
                "--draws",
                "20",
                "--chains",
                "16",
                "--quiet",
                "--out",
                "a.h5",
            ]
        )
        == 0
    )
    units = f"--visible-unit {visible} --hidden-unit {hidden} --hidden 26"
    assert main(f"fit --model rbm --data a.h5 {units} --epochs 1 --quiet --out rbm.pt".split()) == 0
    assert (
        main(
            [
                "sample",
                "--model",
                "rbm.pt",
                "--draws",
                "5",
                "--chains",
                "8",
                "--burn-in",
                "5",
                "--quiet",
                "--out",
                "s.h5",
            ]
        )
        == 0
    )
    assert main(["compare", "--reference", "a.h5", "--sample", "s.h5", "--out", "report"]) == 0
    assert np.isfinite(Dataset("s.h5").energy()).all()
