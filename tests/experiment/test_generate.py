"""generate: right numbers, the same bits again, and resumed runs as if nothing had happened."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from ebmphys.dataset import Dataset
from ebmphys.exact import kaufman
from ebmphys.experiment import Generate, generate
from ebmphys.experiment.hamiltonian import ordering_temperature
from tests.experiment.interruption import contents, cut_off


def settings(out, **changes):
    common = {"size": "8x8", "temperatures": "1.8,2.269,3.5", "draws": 60, "chains": 32, "burn_in": 200, "thin": 3}
    return Generate(**(common | changes), out=out, quiet=True, device="cpu")


@pytest.mark.parametrize("sampler", ["gibbs", "metropolis"])
def test_energies_agree_with_kaufman(tmp_path, sampler):
    result = generate(settings(tmp_path / "a.h5", sampler=sampler, draws=150))
    for row in result["rows"]:
        exact = kaufman((8, 8), 1 / row["temperature"])
        assert row["energy_per_site"]["exact"] == pytest.approx(exact.energy_per_site, abs=1e-9)
        assert abs(row["energy_per_site"]["z"]) < 4
        assert abs(row["abs_magnetization"]["z"]) < 4


def test_what_is_stored_is_what_was_measured(tmp_path):
    generate(settings(tmp_path / "a.h5", size="5x6", field=0.1))
    data = Dataset(tmp_path / "a.h5")
    x = data.x(2.269, device="cpu")
    assert x.shape == (60 * 32, 30) and set(x.unique().tolist()) == {-1.0, 1.0}
    np.testing.assert_allclose(data.magnetization(2.269).ravel(), x.double().mean(-1), atol=1e-12)
    bonds = x.reshape(-1, 5, 6)
    energy = -(bonds * (bonds.roll(1, 1) + bonds.roll(1, 2))).sum((1, 2)) - 0.1 * x.sum(-1)
    np.testing.assert_allclose(data.energy(2.269).ravel(), energy, atol=1e-4)
    assert data.shape == (5, 6) and data.settings["seed"] == 1 and data.provenance["ebmphys"]


def test_a_seed_gives_the_same_bits_and_another_seed_others(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        generate(settings(tmp_path / f"{name}.h5", seed=seed))
    assert contents(tmp_path / "a.h5") == contents(tmp_path / "b.h5")
    assert contents(tmp_path / "a.h5") != contents(tmp_path / "c.h5")


@pytest.mark.parametrize("sampler", ["gibbs", "metropolis", "enumerated"])
def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path, monkeypatch, sampler):
    size = "4x4" if sampler == "enumerated" else "8x8"
    whole = settings(tmp_path / "whole.h5", sampler=sampler, size=size, block=7)
    generate(whole)
    cut = cut_off(whole, tmp_path / "cut.h5", 3, monkeypatch)
    assert Dataset(cut.out).draws == 21
    generate(cut.model_copy(update={"resume": True}))
    assert contents(cut.out) == contents(whole.out)
    generate(cut.model_copy(update={"resume": True}))  # nothing left to do, nothing changed
    assert contents(cut.out) == contents(whole.out)


def test_a_killed_run_goes_on_bit_for_bit(tmp_path):
    arguments = (
        "--size 16x16 --temperatures 2.0,2.5 --draws 400 --chains 16 --burn-in 50 --thin 2 --block 5 --device cpu"
    )
    command = [sys.executable, "-m", "ebmphys.cli", "generate", *arguments.split()]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "--out", "whole.h5"], cwd=tmp_path, env=environment, check=True, capture_output=True)
    process = subprocess.Popen(
        [*command, "--out", "cut.h5"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    cut = tmp_path / "cut.h5"
    while process.poll() is None and not (cut.exists() and Dataset(cut).draws >= 20):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 20 <= Dataset(cut).draws < 400
    subprocess.run(
        [*command, "--out", "cut.h5", "--resume"], cwd=tmp_path, env=environment, check=True, capture_output=True
    )
    assert contents(cut) == contents(tmp_path / "whole.h5")


def test_other_settings_do_not_resume(tmp_path):
    generate(settings(tmp_path / "a.h5"))
    with pytest.raises(ValueError, match="thin was 3 there and is 4 now"):
        generate(settings(tmp_path / "a.h5", thin=4).model_copy(update={"resume": True}))
    with pytest.raises(FileExistsError, match="--force"):
        generate(settings(tmp_path / "a.h5"))


def test_cold_chains_start_ordered_with_both_signs(tmp_path):
    # From random starts a third of 16 x 16 lattices freezes into stripes at T = 1, for longer than anyone waits.
    common = {"size": "16x16", "temperatures": "1.0", "draws": 1, "burn_in": 300, "chains": 128}
    energies = {}
    for start in ("auto", "random"):
        generate(settings(tmp_path / f"{start}.h5", start=start, **common))
        energies[start] = Dataset(tmp_path / f"{start}.h5").energy() / 256
    exact = kaufman((16, 16), 1.0).energy_per_site
    assert abs(energies["auto"].mean() - exact) < 0.002
    assert energies["random"].mean() - exact > 0.02
    signs = np.sign(Dataset(tmp_path / "auto.h5").magnetization())
    assert 0.3 < (signs > 0).mean() < 0.7


def test_doubts_are_said_in_words(tmp_path):
    result = generate(settings(tmp_path / "a.h5", size="32x32", temperatures="2.269", burn_in=5, draws=20, thin=1))
    words = " ".join(result["rows"][0]["warnings"])
    assert "burn-in" in words


def test_random_couplings_come_from_the_seed_and_are_stored(tmp_path):
    generate(settings(tmp_path / "a.h5", coupling="+-J"))
    generate(settings(tmp_path / "b.h5", coupling="+-J", sampler="metropolis"))
    first, second = (Dataset(tmp_path / name).model["coupling"] for name in ("a.h5", "b.h5"))
    assert first == second and set(first) == {-1.0, 1.0} and len(first) == 128


def test_known_ordering_temperatures():
    def model(**changes):
        return settings("x.h5", **changes).ising(torch.device("cpu"))

    assert ordering_temperature(model()) == pytest.approx(2.269185314)
    assert ordering_temperature(model(coupling="2")) == pytest.approx(2 * 2.269185314)
    assert ordering_temperature(model(size="4x4x4")) == pytest.approx(4.511523)
    assert ordering_temperature(model(geometry="triangular")) == pytest.approx(3.640957)
    assert ordering_temperature(model(coupling="-1")) == pytest.approx(2.269185314)
    assert ordering_temperature(model(coupling="-1", size="5x4")) == 0
    assert ordering_temperature(model(coupling="-1", geometry="triangular")) == 0
    assert ordering_temperature(model(coupling="+-J")) == 0
    assert ordering_temperature(model(field=0.1)) == 0
    assert ordering_temperature(model(size="8")) == 0
    assert ordering_temperature(model(boundary="open")) == pytest.approx(2.269185314)


def test_the_burn_in_is_run(tmp_path):
    exact = kaufman((8, 8), 1 / 3.5).energy_per_site
    energies = {}
    for burn_in in (0, 200):
        path = tmp_path / f"{burn_in}.h5"
        generate(settings(path, temperatures="3.5", start="ordered", burn_in=burn_in, draws=1, thin=1, chains=500))
        energies[burn_in] = Dataset(path).energy().mean() / 64
    assert abs(energies[200] - exact) < 0.02
    assert abs(energies[0] - exact) > 0.2
