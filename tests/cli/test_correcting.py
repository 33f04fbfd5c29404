"""Draws of a model made exact: the law of the Hamiltonian by neural Metropolis, and log Z by importance weights."""

import json

import numpy as np
import pytest

from ebmphys.checkpoint import load
from ebmphys.cli.verbs import main
from ebmphys.dataset import Dataset, Writer
from ebmphys.energies import ferromagnet
from ebmphys.exact.enumeration import log_weights
from ebmphys.experiment.correcting import acceptance
from ebmphys.generators import MADE
from ebmphys.likelihood import log_partition
from ebmphys.rng import generator
from ebmphys.samplers import NeuralMetropolis
from tests.cli.fits import fitted, run
from tests.samplers.laws import p_value

BETA = 1 / 2.269


@pytest.fixture(scope="module")
def poor(made, tmp_path_factory):
    """A model that has learned a little: an exact chain of its draws is far from them."""
    out = tmp_path_factory.mktemp("poor") / "m.pt"
    fitted(made, out, "made --hidden 12 --epochs 4 --learning-rate 0.005")
    return out


def p(path) -> float:
    """Of the draws of a file under the Boltzmann law."""
    return p_value(ferromagnet((3, 4), device="cpu"), BETA, Dataset(path).x(device="cpu"))


def test_corrected_draws_follow_the_boltzmann_law_and_the_models_own_do_not(poor, tmp_path, capsys):
    # One draw of each of 4,000 chains: independent.
    common = f"sample --model {poor} --draws 1 --chains 4000 --out {tmp_path}"
    told = run(f"{common}/c.h5 --correct --burn-in 40", capsys)
    run(f"{common}/m.h5")
    assert p(tmp_path / "c.h5") > 1e-4
    assert p(tmp_path / "m.h5") < 1e-6
    (found,) = told["importance"]
    exact = log_partition(ferromagnet((3, 4), device="cpu"), BETA)
    log_z = found["log_partition"]
    assert abs(log_z["value"] - exact) < 4 * log_z["error"] < 0.2
    assert 0.05 < found["effective_share"] < 0.95 and any("are accepted" in note for note in told["notes"])
    u = found["averages"]["energy_per_site"]
    energies = Dataset(tmp_path / "c.h5").energy() / 12
    assert abs(u["value"] - energies.mean()) < 4 * np.hypot(u["error"], energies.std() / np.sqrt(4000))


def test_the_acceptance_is_that_of_the_chain():
    target = ferromagnet((2, 3), device="cpu")
    model = MADE(6, (8,), rng=generator(1, device="cpu"), device="cpu")
    # A new network is uniform: all states once are its law, and their weights the target's.
    log_w = log_weights(target, 0.3).numpy()
    w = np.exp(log_w)
    assert acceptance(log_w) == pytest.approx(np.minimum(w[:, None], w[None]).sum() / (64 * w.sum()), rel=1e-12)
    sampler = NeuralMetropolis(target, model)
    chains = sampler.init(4000, beta=0.3, rng=generator(3, device="cpu"))
    for _ in range(200):  # the slowest weight needs many
        happened = sampler.step(chains)
    accepted = float(np.mean([sampler.step(chains)["acceptance"].mean() for _ in range(20)]))
    assert happened["acceptance"].shape == (4000,) and accepted < 0.9
    assert abs(acceptance(log_w) - accepted) < 0.01


def test_a_corrected_run_says_what_its_steps_were_and_goes_on(poor, tmp_path, capsys, monkeypatch):
    line = f"sample --model {poor} --draws 60 --chains 8 --correct"
    whole = run(f"{line} --out {tmp_path}/w.h5", capsys)
    assert Dataset(tmp_path / "w.h5").provenance["steps"] == {"thin": 1, "burn_in": 100} and whole["complete"]
    short = run(f"{line} --burn-in 0 --out {tmp_path}/s.h5", capsys)
    assert any("burn-in of 0 steps" in warning for warning in short["rows"][0]["warnings"])
    written, write = [], Writer.write_packed

    def interrupted(self, *values):
        if len(written) == 5:
            raise KeyboardInterrupt
        written.append(1)
        write(self, *values)

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "write_packed", interrupted)
        assert main(f"{line} --out {tmp_path}/c.h5 --quiet --device cpu".split()) == 130
    assert 0 < Dataset(tmp_path / "c.h5").draws < 60
    again = run(f"{line} --out {tmp_path}/c.h5 --resume", capsys)
    assert again["importance"] == whole["importance"]
    assert Dataset(tmp_path / "c.h5").packed(2.269).tobytes() == Dataset(tmp_path / "w.h5").packed(2.269).tobytes()


def test_a_comparison_does_not_take_corrected_draws_for_the_models_own(made, poor, tmp_path, capsys):
    run(f"sample --model {poor} --draws 50 --chains 32 --correct --out {tmp_path}/c.h5")
    line = f"compare --reference {made}/a.h5 --sample {tmp_path}/c.h5 --out {tmp_path}/r --json"
    capsys.readouterr()
    assert main(line.split()) == 0
    (entry,) = json.loads(capsys.readouterr().out)["exact_kl"]
    assert entry["value"] is None


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        ("vae --hidden 4", "--correct", ("--correct", "made", "has none")),
        ("rbm --hidden 4", "--correct", ("--correct",)),
        ("made --hidden 4", "--correct --threshold", ("--correct", "--threshold")),
        ("made --hidden 4 --visible-unit bit", "--correct", ("bit",)),
        ("made --hidden 4", "--temperatures 2", ("--temperatures", "cvae")),
    ],
)
def test_what_cannot_be_corrected_is_one_line(made, tmp_path, capsys, model, options, words):
    fitted(made, tmp_path / "m.pt", f"{model} --epochs 1")
    capsys.readouterr()
    line = f"sample --model {tmp_path}/m.pt {options} --out {tmp_path}/m.h5 --quiet --device cpu"
    assert main(line.split()) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and all(word in said for word in words) and not (tmp_path / "m.h5").exists()


def test_what_a_model_drew_is_not_taken_for_draws_of_the_hamiltonian(poor, tmp_path):
    run(f"sample --model {poor} --draws 20 --chains 20 --out {tmp_path}/m.h5")
    run(f"sample --model {poor} --draws 20 --chains 20 --out {tmp_path}/c.h5 --correct")
    last = {}
    for name in ("m", "c"):
        out = tmp_path / f"{name}.pt"
        run(f"fit --model made --hidden 6 --epochs 2 --data {tmp_path}/{name}.h5 --out {out}")
        stored = load(out, "cpu")
        last[name] = set(stored.history[-1]), stored.config["symmetric"]
    assert "kl" in last["c"][0] and last["c"][1] is True
    assert not {"kl", "kl_estimate"} & last["m"][0] and "log_likelihood" in last["m"][0]
    assert last["m"][1] is False
