"""The pilot run: autocorrelation times that a long run confirms, a choice that a seed repeats, independent draws."""

import re
import sys

import numpy as np
import pytest
import torch

from ebmphys.cli.verbs import main
from ebmphys.dataset import Dataset
from ebmphys.energies import Ising, gaussian_couplings, plus_minus_couplings
from ebmphys.exact import exact_values, kaufman
from ebmphys.experiment import Generate, generate
from ebmphys.experiment.pilot import Plan, candidates, pilot, thin_of
from ebmphys.lattice import Lattice
from ebmphys.rng import generator
from ebmphys.samplers import MultiSpin, Schedule, draws
from ebmphys.stats import tau_int
from tests.experiment.interruption import contents, cut_off

T_C = 2.269185314


def model(*shape, **options):
    return Ising(Lattice(shape), **options, device="cpu")


def plan(names, system, *temperatures, start=lambda chains: None, **options):
    return pilot(names, system, temperatures, 64, seed=options.pop("seed", 1), start=start, **options)


def settings(out, **changes):
    common = {"size": "16x16", "temperatures": "2.269", "sampler": "auto", "independent": 4000}
    return Generate(**(common | changes), out=out, quiet=True, device="cpu")


@pytest.mark.parametrize("temperature", [2.269, 3.0])
def test_tau_agrees_with_a_long_run(temperature):
    system = model(16, 16)
    short = plan(["packed-gibbs"], system, temperature)
    sampler = MultiSpin(system)
    chains = sampler.init(512, beta=1 / temperature, rng=generator(2, "long", device="cpu"))
    stride = max(1, round(short.tau[0] / 4))
    seen = draws(sampler, chains, Schedule(1000, thin=stride, burn_in=2000))
    series = [(now.energy(system).numpy(), now.magnetization(256).abs().numpy()) for now in seen]
    long = stride * max(tau_int(np.stack(values)).value for values in zip(*series, strict=True))
    assert short.resolved and abs(short.tau[0] / long - 1) < 0.3


def test_thinning_of_an_exponential_decay():
    for tau in (0.5, 0.7, 3.0, 100.0):
        rho = (2 * tau - 1) / (2 * tau + 1)
        k = thin_of(tau)
        assert rho**k <= np.exp(-4) + 1e-12 and (k == 1 or rho ** (k - 1) > np.exp(-4))
    assert thin_of(100.0) == pytest.approx(400, abs=1)


def test_clusters_at_the_critical_point_and_packed_sweeps_away_from_it():
    large = model(64, 64)
    critical, hot = plan(candidates(large), large, T_C), plan(candidates(large), large, 5.0)
    assert (
        critical.sampler in ("wolff", "swendsen-wang") and critical.resolved and "packed-gibbs over" in critical.reason
    )
    assert hot.sampler == "packed-gibbs" and hot.thin < 20


@pytest.mark.parametrize("temperature", [2.0, 4.0])
def test_a_wolff_step_costs_as_much_as_its_cluster(temperature):
    # The cluster of a random site has N <m^2> spins (Wolff 1989): most of the lattice when cold, a few when hot.
    system = model(8, 8)
    single, every = plan(["wolff"], system, temperature), plan(["swendsen-wang"], system, temperature)
    both = plan(["swendsen-wang", "wolff"], system, temperature)
    m2 = exact_values(system, 1 / temperature)["magnetization_squared"]
    over = (200 + 15 * 64 * m2) * single.thin / (18 * 64 * every.thin)  # ns of an independent draw
    said = float(re.search(r"([\d.]+) times", both.reason)[1])
    assert said == pytest.approx(over if both.sampler == "swendsen-wang" else 1 / over, rel=0.03, abs=0.01)


def test_what_can_hold_a_model():
    def rng():
        return generator(1, "J", device="cpu")

    lattice = Lattice((8, 8))
    assert candidates(model(8, 8)) == ["swendsen-wang", "wolff", "packed-gibbs"]
    assert candidates(Ising(lattice, plus_minus_couplings(lattice, rng()), device="cpu")) == ["packed-gibbs"]
    assert candidates(Ising(lattice, gaussian_couplings(lattice, rng()), device="cpu")) == ["gibbs"]


def test_a_seed_makes_the_same_plan_and_it_survives_the_file():
    first, second = (plan(candidates(model(8, 8)), model(8, 8), 2.0, 3.0) for _ in range(2))
    assert first == second == Plan.read(first.stored())
    assert first != plan(candidates(model(8, 8)), model(8, 8), 2.0, 3.0, seed=2)


def test_a_budget_that_ends_too_early_is_said():
    short = plan(["packed-gibbs"], model(64, 64), T_C, budget=1e6)
    assert not short.resolved and "or more" in short.reason and max(short.tau) > 12


def test_independent_configurations_are_independent(tmp_path):
    result = generate(settings(tmp_path / "a.h5", chains=64))
    row = result["rows"][0]
    assert result["draws"] * result["chains"] >= 4000 and result["draws"] >= 60
    assert row["n_effective"] > 0.9 * 4000 and row["tau_int"] < 0.56
    assert abs(row["energy_per_site"]["z"]) < 4
    assert not row["warnings"] and len(result["notes"]) == 1 and "the pilot run chose" in result["notes"][0]
    # Control: the same chains with a tenth of the thinning are far from independent.
    close = generate(settings(tmp_path / "b.h5", chains=64, thin=12, sampler="packed-gibbs"))["rows"][0]
    assert close["n_effective"] < 0.6 * 4000


@pytest.mark.parametrize("sampler", ["auto", "packed-gibbs", "packed-metropolis", "swendsen-wang", "wolff"])
def test_a_resumed_run_goes_on_bit_for_bit_with_the_plan_of_the_file(tmp_path, monkeypatch, sampler):
    common = {"size": "8x8", "independent": 2000, "temperatures": "2.0,3.0", "field": 0.05, "block": 1}
    whole = settings(tmp_path / "whole.h5", sampler=sampler, **common)
    generate(whole)
    cut = cut_off(whole, tmp_path / "cut.h5", 3, monkeypatch)
    assert Dataset(cut.out).draws == 3
    module = sys.modules[Generate.__module__]
    monkeypatch.setattr(module, "pilot", lambda *given: pytest.fail("a second pilot run"))
    generate(cut.model_copy(update={"resume": True}))
    assert contents(cut.out) == contents(whole.out)


@pytest.mark.parametrize("sampler", ["packed-gibbs", "packed-metropolis", "swendsen-wang", "wolff"])
def test_every_new_sampler_agrees_with_kaufman_and_stores_what_it_measured(tmp_path, sampler):
    path = tmp_path / "a.h5"
    given = {"size": "8x8", "temperatures": "1.8,2.269,3.5", "independent": None, "draws": 150, "chains": 32}
    result = generate(settings(path, sampler=sampler, thin=5, burn_in=200, **given))
    for row in result["rows"]:
        exact = kaufman((8, 8), 1 / row["temperature"])
        assert row["energy_per_site"]["exact"] == pytest.approx(exact.energy_per_site, abs=1e-9)
        assert abs(row["energy_per_site"]["z"]) < 4 and abs(row["abs_magnetization"]["z"]) < 4
        x = Dataset(path).x(row["temperature"], device="cpu")
        assert torch.equal(model(8, 8).energy(x).double(), stored(path, row["temperature"]))
        m = torch.from_numpy(Dataset(path).magnetization(row["temperature"]).ravel())
        assert torch.allclose(m, x.double().mean(-1), atol=1e-12)
    cold = Dataset(path).magnetization(1.8)[-1]
    assert 5 <= (cold > 0).sum() <= 27  # global flips: both signs of the ordered phase


def stored(path, temperature):
    return torch.from_numpy(Dataset(path).energy(temperature).ravel())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--sampler packed-gibbs --boundary open", ("bit-packed", "neighbours")),
        ("--sampler wolff --coupling -1", ("J >= 0",)),
        ("--sampler swendsen-wang --coupling +-J", ("J >= 0",)),
        ("--draws 5 --independent 5", ("--draws", "--independent", "not both")),
        ("--independent 0", ("--independent", "0")),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path, capsys, line, words):
    out = tmp_path / "new.h5"
    command = f"generate --size 4x4 --temperatures 2 --quiet --device cpu {line} --out {out}"
    assert main(command.split()) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and all(word in said for word in words) and not out.exists()


def test_a_plan_that_is_not_sure_is_no_promise(tmp_path, monkeypatch):
    module = sys.modules[Generate.__module__]
    unsure = Plan(
        "packed-gibbs", thin=2, burn_in=20, tau=(0.5,), resolved=False, reason="packed-gibbs: tau is 0.5 or more"
    )
    monkeypatch.setattr(module, "pilot", lambda *given: unsure)
    result = generate(settings(tmp_path / "a.h5", size="8x8", temperatures="2.5", independent=640, chains=64))
    assert any("lower bound" in warning for row in result["rows"] for warning in row["warnings"])
    assert "tau is 0.5 or more" in result["notes"][0]
