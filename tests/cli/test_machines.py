"""Every model from the command line: fitted, sampled from its own chains, compared; and what does not fit together."""

import math

import numpy as np
import pytest
import torch

from ebmphys.checkpoint import load, load_model, save
from ebmphys.cli.verbs import main
from ebmphys.dataset import Dataset
from ebmphys.energies import (
    RBM,
    BoltzmannMachine,
    ConvolutionalRBM,
    DeepBoltzmannMachine,
    Ising,
    NeuralEnergy,
    ferromagnet,
)
from ebmphys.experiment import Fit
from ebmphys.experiment.learning import build_objective, negative_phase
from ebmphys.experiment.lesson import symmetries_of
from ebmphys.generators import DeepBeliefNet
from ebmphys.lattice import Lattice
from ebmphys.likelihood import kl_to_exact
from ebmphys.objectives import FastPersistent, Penalised, RandomStart, Tempered, TrajectoryTempered, kept_draws
from ebmphys.rng import generator
from ebmphys.train import GlobalFlip, LatticeMoves
from ebmphys.units import Spin
from tests.cli.fits import fitted, run

MACHINES = {
    "bm": BoltzmannMachine,
    "bm --invariant": BoltzmannMachine,
    "bm --reach 1.5": BoltzmannMachine,
    "bm --hidden 3": BoltzmannMachine,
    "rbm --invariant --hidden 2 --reach 1": ConvolutionalRBM,
    "dbm --hidden 6,4": DeepBoltzmannMachine,
    "dbm --hidden 6,4 --positive mean-field": DeepBoltzmannMachine,
    "dbn --hidden 6,4": DeepBeliefNet,
    "neural --hidden 8": NeuralEnergy,
    "neural --hidden 4 --invariant --k 3": NeuralEnergy,
}


@pytest.mark.parametrize("options", MACHINES)
def test_a_machine_learns_and_is_drawn_from(made, tmp_path, capsys, options):
    before = fitted(made, tmp_path / "b.pt", f"{options} --epochs 1 --learning-rate 1e-9", capsys)["models"][0]
    after = fitted(made, tmp_path / "m.pt", f"{options} --epochs 30 --learning-rate 0.02", capsys)["models"][0]
    assert after["kl"] < 0.5 * before["kl"]
    model = load_model(tmp_path / "m.pt", "cpu")
    assert type(model) is MACHINES[options]
    run(f"sample --model {tmp_path}/m.pt --draws 20 --burn-in 50 --out {tmp_path}/m.h5")
    drawn, data = Dataset(tmp_path / "m.h5"), Dataset(made / "a.h5")
    assert drawn.x(device="cpu").shape == (20 * 64, 12)
    # Not a law test (there are enough): what was learned is what is drawn, and not noise.
    assert abs(np.abs(drawn.magnetization()).mean() - np.abs(data.magnetization()).mean()) < 0.12


def test_symmetric_data_make_symmetric_machines(made, tmp_path):
    x = (torch.rand(50, 12, generator=torch.Generator().manual_seed(1)) < 0.5).float() * 2 - 1
    for options in ("bm", "rbm --invariant --hidden 2", "dbm --hidden 4,3", "neural --hidden 4"):
        fitted(made, tmp_path / "m.pt", f"{options} --epochs 1 --force")
        model = load_model(tmp_path / "m.pt", "cpu")
        torch.testing.assert_close(model.free_energy(x), model.free_energy(-x))
        if "invariant" in options:
            moved = x.reshape(-1, 3, 4).roll((1, 2), (1, 2)).reshape(-1, 12)
            torch.testing.assert_close(model.free_energy(moved), model.free_energy(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["exact", "fast", "random", "tempered", "trajectory", "cd"])
def test_every_negative_phase_learns(made, tmp_path, capsys, name):
    steps = "" if name == "exact" else "--k 3"
    options = f"rbm --hidden 6 --negative {name} {steps} --epochs 40 --learning-rate 0.02"
    start = fitted(made, tmp_path / "s.pt", "rbm --hidden 6 --epochs 1 --learning-rate 1e-9", capsys)
    result = fitted(made, tmp_path / "m.pt", options, capsys)
    assert result["models"][0]["kl"] < 0.5 * start["models"][0]["kl"]


def test_names_of_phases_are_what_they_say():
    kinds = {"fast": FastPersistent, "random": RandomStart, "tempered": Tempered, "trajectory": TrajectoryTempered}
    for name, kind in kinds.items():
        settings = Fit(data="a.h5", out="m.pt", model="rbm", negative=name, k=7, fantasy_chains=11)
        phase = negative_phase(settings, generator(1, device="cpu"))
        assert (
            type(phase) is kind
            and getattr(phase, "slow", phase).k == 7
            and getattr(phase, "slow", phase).n_chains == 11
        )


@pytest.mark.parametrize("negative", ["pcd", "tempered", "trajectory"])
def test_sampling_goes_on_from_the_models_own_chains(made, tmp_path, negative):
    fitted(made, tmp_path / "m.pt", f"rbm --hidden 6 --negative {negative} --epochs 30 --learning-rate 0.02")
    kept = kept_draws(load(tmp_path / "m.pt").objective)
    assert kept.shape == (500, 18)
    run(f"sample --model {tmp_path}/m.pt --draws 1 --thin 1 --burn-in 0 --chains 400 --out {tmp_path}/m.h5")
    first = np.abs(Dataset(tmp_path / "m.h5").magnetization()).mean()
    data = np.abs(Dataset(made / "a.h5").magnetization()).mean()
    assert abs(first - data) < 0.08  # from noise it would start near 0.23


def test_pseudo_likelihood_finds_the_couplings(made, tmp_path):
    options = "bm --reach 1 --objective pseudo-likelihood --epochs 300 --learning-rate 0.02 --symmetries none"
    fitted(made, tmp_path / "m.pt", options)
    couplings = load_model(tmp_path / "m.pt", "cpu").couplings()
    error = 1 / math.sqrt(0.9 * 2000 * 0.3)
    assert abs(float(couplings.mean().detach()) - 1 / 2.269) < 4 * error / math.sqrt(24)


def test_a_prior_holds_weights_back(made, tmp_path):
    sizes = []
    for strength in (0, 3000):
        fitted(made, tmp_path / "m.pt", f"rbm --hidden 6 --epochs 80 --l2 {strength} --learning-rate 0.05 --force")
        sizes.append(float(load_model(tmp_path / "m.pt", "cpu").weights.detach().norm()))
    assert sizes[1] < 0.7 * sizes[0]


def test_doubts_reach_whoever_asked_for_the_fit(made, tmp_path, capsys):
    result = fitted(made, tmp_path / "m.pt", "rbm --hidden 4 --negative random --k 2 --epochs 2", capsys)
    assert any("out of equilibrium" in warning for warning in result["models"][0]["warnings"])
    assert (
        main(f"fit --data {made}/a.h5 --out {tmp_path}/n.pt --model rbm --negative random --epochs 1 --quiet".split())
        == 0
    )
    assert "out of equilibrium" in capsys.readouterr().out


def test_natural_gradients_descend(made, tmp_path, capsys):
    start = fitted(made, tmp_path / "s.pt", "rbm --hidden 6 --epochs 1 --learning-rate 1e-9", capsys)
    options = "rbm --hidden 6 --gradient natural --optimizer sgd --epochs 20 --negative exact"
    assert fitted(made, tmp_path / "m.pt", options, capsys)["models"][0]["kl"] < 0.5 * start["models"][0]["kl"]


def test_more_chains_than_were_kept_need_a_burn_in(made, tmp_path, capsys):
    fitted(made, tmp_path / "m.pt", "rbm --hidden 4 --epochs 1 --fantasy-chains 20")
    line = (
        f"sample --model {tmp_path}/m.pt --chains 30 --burn-in 0 --draws 1 --out {tmp_path}/m.h5 --quiet --device cpu"
    )
    assert main(line.split()) == 2 and "--burn-in" in capsys.readouterr().err


def test_a_prior_counts_once_for_all_data():
    settings = Fit(data="a.h5", out="m.pt", model="rbm", l1=2.0, l2=3.0)
    objective = build_objective(settings, RBM(4, 2, device="cpu"), 1800, generator(1, device="cpu"))
    assert isinstance(objective, Penalised) and (objective.l1, objective.l2, objective.n_data) == (2.0, 3.0, 1800)


def test_symmetries_are_those_of_the_hamiltonian():
    lattice, fields = Lattice((3, 4)), torch.linspace(-1, 1, 12)
    mixed = torch.ones(lattice.n_bonds)
    mixed[3] = -1

    def kinds(*given):
        return [type(symmetry) for symmetry in symmetries_of(Ising(lattice, *given, device="cpu"), Spin())]

    assert kinds() == [GlobalFlip, LatticeMoves]
    assert kinds(1.0, 0.3) == [LatticeMoves]
    assert kinds(1.0, fields) == []
    assert kinds(mixed) == [GlobalFlip]


def test_draws_of_a_training_that_was_interrupted_are_doubted(made, tmp_path, capsys):
    said = {}
    for name, stopped in (("whole", "finished"), ("stopped", "interrupted"), ("killed", ""), ("budget", "budget")):
        fitted(made, tmp_path / f"{name}.pt", "rbm --hidden 4 --epochs 1")
        stored = load(tmp_path / f"{name}.pt")
        assert stored.schedule["stopped"] == "finished"
        stored.schedule["stopped"] = stopped
        save(tmp_path / f"{name}.pt", stored)
        line = f"sample --model {tmp_path}/{name}.pt --draws 30 --burn-in 200 --out {tmp_path}/{name}.h5"
        capsys.readouterr()
        (row,) = run(line, capsys)["rows"]
        said[name] = any("was interrupted" in warning for warning in row["warnings"])
    assert said == {"whole": False, "stopped": True, "killed": True, "budget": False}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("bm --hidden 3,3", ("--hidden", "one number")),
        ("dbn --hidden 8", ("two layers",)),
        ("dbm --invariant", ("--invariant", "bm, rbm, neural")),
        ("bm --invariant --hidden 3", ("no hidden units",)),
        ("dbm --reach 2", ("--reach",)),
        ("bm --reach 0.5", ("nearest neighbours",)),
        ("bm --reach 1 --hidden 2", ("no place on the lattice",)),
        ("bm --visible-unit gaussian", ("two-valued", "gaussian")),
        ("dbm --objective pseudo-likelihood", ("pseudo-likelihood", "dbm")),
        ("rbm --l2 -1", ("--l2",)),
        ("rbm --hidden-unit potts", ("--hidden-unit",)),
        ("bm --hidden-unit bit", ("--hidden-unit", "rbm, dbm or dbn")),
        ("dbm --learn-sigma", ("--learn-sigma",)),
        ("dbn --hidden-unit gaussian", ("spin or bit",)),
        ("dbn --stop-early", ("--stop-early", "dbn")),
        ("dbn --gradient centred", ("--gradient", "dbn")),
        ("vae --negative cd", ("--negative", "vae")),
        ("rbm --latent 3", ("--latent", "vae")),
        ("rbm --positive mean-field", ("--positive", "bm or dbm")),
        ("rbm --objective pseudo-likelihood --k 3", ("--k", "pseudo-likelihood")),
        ("rbm --negative cd --fantasy-chains 10", ("--fantasy-chains", "cd")),
        ("rbm --gradient natural", ("--optimizer sgd",)),
        ("rbm --start tap", ("--start", "bm")),
        ("bm --start exact", ("--start",)),
        ("rbm --pretrain", ("--pretrain", "dbm")),
        ("dbm --pretrain --hidden 4", ("two hidden layers",)),
        ("dbm --pretrain --hidden 4,4 --hidden-unit bit", ("one two-valued unit",)),
        ("rbm --gradient centred", ("even", "--symmetries none")),
    ],
)
def test_what_does_not_fit_is_one_line(made, tmp_path, capsys, options, words):
    out = tmp_path / "m.pt"
    assert main(f"fit --data {made}/a.h5 --out {out} --model {options} --quiet --device cpu".split()) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and all(word in said for word in words) and not out.exists()


def test_the_divergence_that_is_reported_is_that_of_the_file(made, tmp_path, capsys):
    result = fitted(made, tmp_path / "m.pt", "dbm --hidden 4,3 --epochs 5", capsys)
    found = kl_to_exact(ferromagnet((3, 4), device="cpu"), 1 / 2.269, load_model(tmp_path / "m.pt", "cpu"))
    assert result["models"][0]["kl"] == pytest.approx(found, abs=1e-6)
