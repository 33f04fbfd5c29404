"""Every model without chains from the command line: fitted, drawn from, described, resumed; and what does not fit."""

import json

import numpy as np
import pytest
import torch

from ebmphys.checkpoint import load, load_model
from ebmphys.cli.verbs import main
from ebmphys.dataset import Dataset
from ebmphys.energies import ferromagnet
from ebmphys.experiment import Fit
from ebmphys.generators import (
    GAN,
    MADE,
    VAE,
    AbsorbingDiffusion,
    Autoencoder,
    AutoregressiveVAE,
    BernoulliMixture,
    BitFlipDiffusion,
    FrontierNetwork,
    PixelCNN,
)
from ebmphys.likelihood import kl_to_exact
from tests.cli.fits import STILL, fitted, run

MODELS = {
    "vae --hidden 16 --latent 3": VAE,
    "vae --hidden 16 --decoder autoregressive --decoder-hidden 16": AutoregressiveVAE,
    "mixture --components 12": BernoulliMixture,
    "mixture --components 3 --invariant": BernoulliMixture,
    "mixture --components 12 --batch-size 100 --em-samples 2": BernoulliMixture,
    "made --hidden 24": MADE,
    "pixelcnn --channels 6 --blocks 1": PixelCNN,
    "frontier --hidden 12": FrontierNetwork,
    "diffusion --hidden 32": AbsorbingDiffusion,
    "diffusion --hidden 8,8 --noise flip --diffusion-steps 16 --invariant": BitFlipDiffusion,
    "gan --hidden 16 --critic 16": GAN,
}
_LONGER = {"vae": 40, "diffusion": 20, "gan": 60}


@pytest.mark.parametrize("options", MODELS)
def test_a_model_learns_and_is_drawn_from(made, tmp_path, capsys, options):
    model = options.split()[0]
    rate = "" if model == "mixture" else "--learning-rate 0.01"
    epochs = _LONGER.get(model, 12)
    reached = fitted(made, tmp_path / "m.pt", f"{options} --epochs {epochs} {rate}", capsys)["models"][0]
    assert type(load_model(tmp_path / "m.pt", "cpu")) is MODELS[options]
    if model == "gan":
        assert reached["abs_magnetization_distance"] < 0.3  # at first 0.6
    else:
        name = next(name for name in ("kl", "kl_bound") if name in reached)
        assert reached[name] < 1.2  # of independent sites 4.8
    (row,) = run(f"sample --model {tmp_path}/m.pt --draws 20 --out {tmp_path}/m.h5", capsys)["rows"]
    drawn, data = Dataset(tmp_path / "m.h5"), Dataset(made / "a.h5")
    assert drawn.x(device="cpu").shape == (20 * 64, 12) and row["tau_int"] < 0.8
    # Not a law test (there are enough): what was learned is what is drawn, and not noise, which would have 0.23.
    assert abs(np.abs(drawn.magnetization()).mean() - np.abs(data.magnetization()).mean()) < 0.3
    told = run_info(tmp_path / "m.pt", capsys)
    assert told["config"]["model"] == load(tmp_path / "m.pt").config["model"]


def run_info(path, capsys) -> dict:
    capsys.readouterr()
    assert main(["info", str(path)]) == 0 and "…" not in capsys.readouterr().out
    assert main(["info", str(path), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_comparison_knows_the_divergence_of_the_files(made, tmp_path, capsys):
    files = []
    for model in ("made --hidden 16", "mixture --components 8", "vae --hidden 16 --latent 2"):
        name = model.split()[0]
        fitted(made, tmp_path / f"{name}.pt", f"{model} --epochs 5")
        run(f"sample --model {tmp_path}/{name}.pt --draws 20 --out {tmp_path}/{name}.h5")
        files.append(str(tmp_path / f"{name}.h5"))
    capsys.readouterr()
    line = ["compare", "--reference", str(made / "a.h5"), "--sample", *files, "--out", str(tmp_path / "r"), "--json"]
    assert main(line) == 0
    found = {entry["sample"]: entry["value"] for entry in json.loads(capsys.readouterr().out)["exact_kl"]}
    target = ferromagnet((3, 4), device="cpu")
    for name in ("made", "mixture", "vae"):
        exact = kl_to_exact(target, 1 / 2.269, load_model(tmp_path / f"{name}.pt", "cpu"))
        assert found[name] == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        "vae --hidden 8 --warm-up 0.5 --free-bits 0.1",
        "vae --hidden 8 --objective iwae --latent-draws 3",
        "vae --hidden 8 --decoder autoregressive --decoder-hidden 8",
        "mixture --components 5",
        "mixture --components 5 --em-samples 1 --batch-size 300",
        "made --hidden 8",
        "made --hidden 8 --objective free-energy --batch-size 20",
        "pixelcnn --channels 3 --blocks 1",
        "frontier --hidden 6",
        "diffusion --hidden 8",
        "diffusion --hidden 8 --noise flip --diffusion-steps 5",
        "gan --hidden 8 --critic 8",
        "ae --hidden 8 --latent 4",
        "dae --hidden 8 --latent 4 --noise mask --tied",
    ],
)
def test_an_interrupted_fit_goes_on_bit_for_bit(made, tmp_path, options):
    whole, parts = tmp_path / "whole.pt", tmp_path / "parts.pt"
    fitted(made, whole, f"{options} --epochs 3")
    interrupt(made, parts, f"{options} --epochs 3", after=2)
    assert load(parts).epoch == 2 and load(parts).schedule["stopped"] == "interrupted"
    fitted(made, parts, f"{options} --epochs 3 --resume")
    one, two = load(whole), load(parts)
    assert two.epoch == 3 and all(torch.equal(one.parameters[name], two.parameters[name]) for name in one.parameters)
    # Negative control: another seed is another training.
    fitted(made, parts, f"{options} --epochs 3 --seed 2 --force")
    other = load(parts).parameters
    assert not all(torch.equal(one.parameters[name], other[name]) for name in other)


def interrupt(made, out, options: str, after: int) -> None:
    """A fit that Ctrl-C ends at the next look after so many epochs."""
    from ebmphys.experiment import training

    class Stopped(training.Progress):
        def __call__(self, record):
            super().__call__(record)
            if record["epoch"] == after:
                raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "Progress", Stopped)
        line = f"fit --data {made}/a.h5 --out {out} --model {options} --quiet --device cpu"
        assert main(line.split()) == 130


def test_an_autoencoder_restores_and_draws_nothing(made, tmp_path, capsys):
    for options in ("ae --hidden 16 --latent 6", "dae --hidden 16 --latent 12 --noise-strength 0.05"):
        before = fitted(made, tmp_path / "m.pt", f"{options} {STILL} --force", capsys)["models"][0]
        after = fitted(made, tmp_path / "m.pt", f"{options} --epochs 30 --force", capsys)["models"][0]
        assert after["restoration"] < 0.5 * before["restoration"]
        assert isinstance(load_model(tmp_path / "m.pt", "cpu"), Autoencoder)
        assert main(f"sample --model {tmp_path}/m.pt --out {tmp_path}/m.h5 --quiet".split()) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "draws none" in said and not (tmp_path / "m.h5").exists()


def test_a_stacked_autoencoder_begins_lower_and_goes_on_bit_for_bit(made, tmp_path, capsys, monkeypatch):
    from ebmphys.experiment import generative_fitting

    options = "ae --hidden 16,12 --latent 6 --pretrain --epochs 4"
    fitted(made, tmp_path / "whole.pt", options)
    train, calls = generative_fitting.train, []

    def cut(*given, **named):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(generative_fitting, "train", cut)
        line = f"fit --data {made}/a.h5 --out {tmp_path}/cut.pt --model {options} --quiet --device cpu"
        assert main(line.split()) == 130
    assert (tmp_path / ".cut.pt.layer1").exists() and not (tmp_path / "cut.pt").exists()
    fitted(made, tmp_path / "cut.pt", f"{options} --resume")
    one, two = (load(tmp_path / name).parameters for name in ("whole.pt", "cut.pt"))
    assert all(torch.equal(one[name], two[name]) for name in one) and not list(tmp_path.glob(".*layer*"))

    def layers_only(settings, *given, **named):
        still = {} if named.get("part") else {"epochs": 1, "learning_rate": 1e-9}
        return train(settings.model_copy(update=still), *given, **named)

    monkeypatch.setattr(generative_fitting, "train", layers_only)
    capsys.readouterr()
    stacked = fitted(made, tmp_path / "s.pt", options.replace("--epochs 4", "--epochs 30"), capsys)["models"][0]
    plain = fitted(made, tmp_path / "p.pt", f"ae --hidden 16,12 --latent 6 {STILL}", capsys)["models"][0]
    assert stacked["restoration"] < 0.8 * plain["restoration"]


def test_symmetric_data_make_symmetric_laws_unless_told_otherwise(made, tmp_path):
    x = (torch.rand(50, 12, generator=torch.Generator().manual_seed(1)) < 0.5).float() * 2 - 1
    for options in ("made --hidden 8", "mixture --components 4", "frontier --hidden 4"):
        odd = []
        for choice in ("", "--no-symmetric", "--symmetries none"):
            fitted(made, tmp_path / "m.pt", f"{options} {choice} --epochs 2 --force")
            model = load_model(tmp_path / "m.pt", "cpu")
            with torch.no_grad():
                odd.append(float((model.log_prob(x) - model.log_prob(-x)).abs().max()))
        assert odd[0] < 1e-5 and min(odd[1:]) > 1e-3, options


def test_an_energy_alone_is_learned_from_without_configurations(made, tmp_path, capsys, monkeypatch):
    from ebmphys.experiment import generative_fitting

    train, betas = generative_fitting.train, []

    def noted(settings, lesson, model, objective, *given, **named):
        betas.append(objective.final_beta)
        return train(settings, lesson, model, objective, *given, **named)

    monkeypatch.setattr(generative_fitting, "train", noted)
    options = "made --hidden 16 --objective free-energy --batch-size 100"
    reached = fitted(made, tmp_path / "m.pt", f"{options} --epochs 20", capsys)["models"][0]
    assert -0.01 < reached["kl_reverse"] < 0.1 and reached["kl"] < 0.15
    assert betas == [pytest.approx(1 / 2.269, rel=1e-12)]
    # Other configurations of the same Hamiltonian and temperature: not a number changes.
    run(
        f"generate --size 3x4 --temperatures 2.269 --independent 50 --sampler enumerated --seed 7 --out {tmp_path}/a.h5"
    )
    fitted(tmp_path, tmp_path / "n.pt", f"{options} --epochs 20")
    one, two = (load(tmp_path / name).parameters for name in ("m.pt", "n.pt"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_mixture_learns_by_steps_of_em_and_never_falls(made, tmp_path):
    fitted(made, tmp_path / "m.pt", "mixture --components 6 --invariant --epochs 15")
    stored = load(tmp_path / "m.pt")
    loss = np.array([record["loss"] for record in stored.history])
    assert stored.schedule["transforms"] and (np.diff(loss) < 1e-5).all() and loss[0] - loss[-1] > 1


def test_a_prior_and_unused_components_are_told(made, tmp_path, capsys):
    result = fitted(made, tmp_path / "m.pt", "mixture --components 300 --epochs 15", capsys)["models"][0]
    assert any("less than one configuration" in warning for warning in result["warnings"])
    sizes = []
    for prior in (0, 50):
        fitted(made, tmp_path / "m.pt", f"mixture --components 4 --prior-sites {prior} --epochs 15 --force")
        sizes.append(float(load_model(tmp_path / "m.pt", "cpu").log_odds.detach().abs().mean()))
    assert sizes[1] < 0.8 * sizes[0]


def test_thresholding_is_for_models_with_latents(made, tmp_path, capsys):
    energies = []
    fitted(made, tmp_path / "v.pt", "vae --hidden 16 --epochs 20")
    for threshold in ("", "--threshold"):
        run(f"sample --model {tmp_path}/v.pt --draws 50 --out {tmp_path}/v.h5 --force {threshold}")
        energies.append(Dataset(tmp_path / "v.h5").energy().mean())
    assert energies[1] < energies[0] - 1
    fitted(made, tmp_path / "m.pt", "made --hidden 8 --epochs 1")
    assert main(f"sample --model {tmp_path}/m.pt --threshold --quiet --out {tmp_path}/m.h5".split()) == 2
    assert "--threshold is for a vae or cvae" in capsys.readouterr().err


def test_rates_and_batches_are_those_that_each_model_likes():
    def settings(**options):
        return Fit(data="a.h5", out="m.pt", **options)

    assert (settings(model="rbm").rate, settings(model="bm").rate) == (2e-3, 3e-3)
    assert (settings(model="rbm").steps, settings(model="bm").steps, settings(model="rbm", k=3).steps) == (20, 10, 3)
    assert [settings(model=name, invariant=True).rate for name in ("rbm", "bm")] == [1e-2, 2e-2]
    assert (settings(model="made").rate, settings(model="made").batch) == (2e-3, 200)
    assert settings(model="made", learning_rate=1.0, batch_size=7).rate == 1.0
    assert settings(model="vae").rate == 5e-3 and settings(model="vae", decoder="autoregressive").rate == 3e-3
    free = settings(model="frontier", objective="free-energy")
    assert (free.rate, free.batch) == (4e-3, 200)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("made --latent 3", ("--latent", "vae", "made")),
        ("vae --components 3", ("--components", "mixture")),
        ("mixture --learning-rate 0.1", ("--learning-rate", "mixture")),
        ("mixture --hidden 3", ("--hidden", "mixture")),
        ("rbm --symmetric", ("--symmetric", "rbm")),
        ("gan --stop-early", ("--stop-early",)),
        ("gan --objective elbo", ("elbo", "vae or cvae")),
        ("vae --objective free-energy", ("free-energy", "made")),
        ("vae --kernel 5", ("--kernel", "--convolutions")),
        ("vae --convolutions 4,4", ("divisible",)),
        ("vae --decoder-hidden 4", ("--decoder autoregressive",)),
        ("vae --per-site", ("--learn-sigma",)),
        ("vae --learn-sigma", ("Gaussian",)),
        ("vae --objective iwae --beta-kl 2", ("--beta-kl", "elbo")),
        ("vae --warm-up 0.5 --cpu-seconds 3", ("--warm-up", "--epochs")),
        ("made --visible-unit gaussian", ("two-valued", "gaussian")),
        ("mixture --noise flip", ("--noise", "dae or diffusion")),
        ("dae --noise-strength 0.9", ("0.9",)),
        ("ae --noise flip", ("--noise", "ae")),
        ("made --invariant", ("--invariant", "made")),
        ("cvae", ("two or more", "vae")),
        ("made --decoder autoregressive", ("--decoder", "vae")),
        ("flow", ("--model",)),
    ],
)
def test_what_does_not_fit_is_one_line(made, tmp_path, capsys, options, words):
    out = tmp_path / "m.pt"
    assert main(f"fit --data {made}/a.h5 --out {out} --model {options} --quiet --device cpu".split()) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and all(word in said for word in words) and not out.exists()


def test_help_is_in_groups(capsys):
    assert main(["fit", "--help"]) == 0
    out = capsys.readouterr().out
    groups = ("Which model", "Boltzmann machines", "Models without chains", "Learning by chains", "Training")
    assert all(f"─ {group} ─" in out for group in groups)


def test_a_symmetry_that_a_field_breaks_is_refused(tmp_path, capsys):
    line = (
        f"generate --size 2x3 --field 0.3 --temperatures 2 --independent 100 --sampler enumerated --out {tmp_path}/h.h5"
    )
    assert main([*line.split(), "--quiet", "--device", "cpu"]) == 0
    fit = f"fit --data {tmp_path}/h.h5 --model made --hidden 4 --epochs 1 --out {tmp_path}/m.pt"
    assert main([*fit.split(), "--symmetric", "--quiet"]) == 2
    assert "has a field" in capsys.readouterr().err
    run(fit)
    assert load_model(tmp_path / "m.pt", "cpu").symmetric is False
