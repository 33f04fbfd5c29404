"""A conditional VAE from the command line: one model of several temperatures, drawn at others."""

import json

import numpy as np
import pytest
import torch

from ebmphys.checkpoint import load, load_model
from ebmphys.cli.verbs import main
from ebmphys.dataset import Dataset
from ebmphys.generators import ConditionalVAE
from tests.cli.fits import run
from tests.cli.test_generative import interrupt


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """A folder with exact draws of the 3 x 4 lattice at three temperatures."""
    folder = tmp_path_factory.mktemp("several")
    line = f"generate --size 3x4 --temperatures 1.5,2.5,4 --independent 600 --sampler enumerated --out {folder}/a.h5"
    assert main([*line.split(), "--quiet", "--device", "cpu"]) == 0
    return folder


def told(several, out, options, capsys=None):
    return run(f"fit --data {several}/a.h5 --out {out} --model cvae --hidden 16 {options}", capsys)


def test_one_model_is_told_the_temperature(several, tmp_path, capsys):
    (reached,) = told(several, tmp_path / "c.pt", "--latent 2 --epochs 60 --learning-rate 0.01", capsys)["models"]
    assert reached["temperatures"] == [1.5, 2.5, 4.0] and reached["kl"] < 0.6 < reached["kl_independent"]
    assert isinstance(load_model(tmp_path / "c.pt", "cpu"), ConditionalVAE)
    line = f"sample --model {tmp_path}/c.pt --draws 20 --out {tmp_path}"
    own = run(f"{line}/own.h5", capsys)
    assert own["temperatures"] == [1.5, 2.5, 4.0] and own["notes"] == []
    other = run(f"{line}/other.h5 --temperatures 1.5,2,5", capsys)
    assert any("2, 5" in note for note in other["notes"])
    assert [any("outside 1.5 to 4" in w for w in row["warnings"]) for row in other["rows"]] == [False, False, True]
    # So far below that not a spin moves any more, the model is still one that was never shown such a temperature.
    cold = run(f"{line}/cold.h5 --temperatures 0.5,0.01", capsys)
    assert all("outside 1.5 to 4" in row["warnings"][0] for row in cold["rows"])
    order = [np.abs(Dataset(tmp_path / "other.h5").magnetization(t)).mean() for t in (1.5, 2.0, 5.0)]
    assert order[0] > order[1] > order[2]
    # At one temperature always the same draws, whichever others are asked for.
    one, two = (Dataset(tmp_path / name).packed(1.5).tobytes() for name in ("own.h5", "other.h5"))
    assert one == two
    # Streams of their own: one law, to a thousandth, and draws that know nothing of each other.
    run(f"{line}/near.h5 --temperatures 2.5,2.501")
    near = [Dataset(tmp_path / "near.h5").x(t, device="cpu") for t in (2.5, 2.501)]
    assert float((near[0] == near[1]).float().mean()) < 0.6
    assert main(["info", str(tmp_path / "c.pt")]) == 0 and "temperatures: [1.5, 2.5, 4.0]" in capsys.readouterr().out
    run(f"{line}/one.h5 --temperatures 2.5")
    assert main(f"compare --reference {several}/a.h5 --sample {tmp_path}/one.h5 --out {tmp_path}/r".split()) == 0
    table = json.loads((tmp_path / "r" / "table.json").read_text())
    found = {entry["temperature"]: entry["value"] for entry in table["exact_kl"]}
    assert 0 < found[2.5] < 1  # of the law that was told 2.5


def test_an_interrupted_fit_goes_on_bit_for_bit(several, tmp_path):
    options = "cvae --hidden 8 --objective iwae --latent-draws 2 --decoder autoregressive --decoder-hidden 8 --epochs 3"
    run(f"fit --data {several}/a.h5 --out {tmp_path}/w.pt --model {options}")
    interrupt(several, tmp_path / "c.pt", options, after=1)
    run(f"fit --data {several}/a.h5 --out {tmp_path}/c.pt --model {options} --resume")
    one, two = (load(tmp_path / name).parameters for name in ("w.pt", "c.pt"))
    assert load(tmp_path / "c.pt").epoch == 3 and all(torch.equal(one[name], two[name]) for name in one)


def test_temperatures_of_the_file_can_be_chosen(several, tmp_path, capsys):
    (reached,) = told(several, tmp_path / "c.pt", "--temperature 4,1.5 --epochs 1", capsys)["models"]
    assert sorted(reached["temperatures"]) == [1.5, 4.0]
    line = f"fit --data {several}/a.h5 --model cvae --temperature 4 --out {tmp_path}/n.pt --quiet"
    assert main(line.split()) == 2 and "two or more" in capsys.readouterr().err
