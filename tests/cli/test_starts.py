"""Machines that begin somewhere: couplings from an inverse Ising fit, deep machines layer upon layer."""

import numpy as np
import pytest
import torch

from ebmphys.checkpoint import load, load_model
from ebmphys.cli.verbs import main
from ebmphys.dataset import Dataset
from ebmphys.energies import pretraining_machine
from ebmphys.experiment import Info, info
from ebmphys.experiment.lesson import prepare
from ebmphys.experiment.pretraining import _layer_above
from ebmphys.inverse import correlations, naive_mean_field, pseudo_likelihood
from ebmphys.rng import generator
from tests.cli.fits import CPU, STILL, fitted, run


def test_a_start_by_inverse_ising_is_near_the_end(made, tmp_path, capsys):
    def started(options):
        return fitted(made, tmp_path / "m.pt", f"bm {options} {STILL} --force", capsys)["models"][0]["kl"]

    zero = started("--start zero")
    assert load_model(tmp_path / "m.pt", "cpu").weights.abs().max() < 1e-7 and zero > 4
    # Mean-field theory does not know the loops of the lattice; every machine but the tied one takes noise with it.
    assert started("--start mean-field") < 0.6 * zero and started("--start tap") < 0.6 * zero
    by_pseudo_likelihood = {
        options: started(f"{options} --start pseudo-likelihood")
        for options in ("", "--reach 1", "--invariant", "--symmetries none", "--visible-unit bit")
    }
    assert max(by_pseudo_likelihood.values()) < 0.03 and by_pseudo_likelihood["--invariant"] < 0.003
    # One law in the values of another unit.
    spins, bits = (by_pseudo_likelihood[options] for options in ("--symmetries none", "--visible-unit bit"))
    assert bits == pytest.approx(spins, abs=1e-5)


def learned(made):
    """The configurations that a bm is fitted to."""
    return prepare(Dataset(made / "a.h5"), 2.269, "spin", "none", 0.1, (1, ("fit", "bm", "2.269")), CPU, {}).learn


def test_a_machine_without_biases_is_fitted_to_the_mirror_image_too(made, tmp_path):
    fitted(made, tmp_path / "m.pt", f"bm --start mean-field {STILL}")
    found, data = load_model(tmp_path / "m.pt", "cpu").couplings().detach().numpy(), learned(made)
    both, alone = (naive_mean_field(correlations(x)).couplings for x in (torch.cat([data, -data]), data))
    assert np.abs(found - both).max() < 1e-5 < np.abs(found - alone).max()


def test_a_start_is_the_maximum_of_the_pseudo_likelihood(made, tmp_path):
    out = tmp_path / "m.pt"
    fitted(made, out, "bm --reach 1 --symmetries none --start pseudo-likelihood --epochs 1 --learning-rate 1e-9")
    machine = load_model(out, "cpu")
    found = pseudo_likelihood(learned(made), machine.graph)
    # But for the prior, which is worth one configuration of 1,800; couplings have an error of 0.03.
    assert np.abs(machine.couplings().detach().numpy() - found.couplings).max() < 4e-3
    assert np.abs(machine.fields().detach().numpy() - found.fields).max() < 2e-3


def test_hidden_units_start_at_random_and_visible_ones_as_they_do_alone(made, tmp_path):
    fitted(made, tmp_path / "alone.pt", f"bm --start tap {STILL}")
    fitted(made, tmp_path / "three.pt", f"bm --hidden 3 --start tap {STILL}")
    alone, three = (load_model(tmp_path / f"{name}.pt", "cpu").coupling_matrix() for name in ("alone", "three"))
    torch.testing.assert_close(three[:12, :12], alone)
    assert (three[:12, 12:] != 0).all() and three[:12, 12:].abs().max() < 0.2


def test_a_start_is_not_taken_again_when_a_fit_goes_on(made, tmp_path, monkeypatch):
    options = "bm --start tap --k 2 --monitor-every 50"
    fitted(made, tmp_path / "m.pt", f"{options} --epochs 1")
    from ebmphys.experiment import fitting

    monkeypatch.setattr(fitting, "start_from", lambda *given: pytest.fail("started again"))
    fitted(made, tmp_path / "m.pt", f"{options} --epochs 2 --resume")
    assert load(tmp_path / "m.pt").epoch == 2


def test_a_pretrained_deep_machine_begins_lower(made, tmp_path, capsys, monkeypatch):
    from ebmphys.experiment import pretraining

    train = pretraining.train

    def pairs_only(settings, *given, **named):
        still = {} if "hidden" in named else {"epochs": 1, "learning_rate": 1e-9}
        return train(settings.model_copy(update=still), *given, **named)

    monkeypatch.setattr(pretraining, "train", pairs_only)
    options = "dbm --hidden 6,4 --learning-rate 0.03 --k 2 --monitor-every 100"
    still = options.replace("--learning-rate 0.03", STILL)
    plain = fitted(made, tmp_path / "plain.pt", still, capsys)["models"][0]
    stacked = fitted(made, tmp_path / "s.pt", f"{options} --pretrain --epochs 25", capsys)["models"][0]
    assert stacked["kl"] < 0.5 * plain["kl"]
    assert stacked["seconds"] > 5 * load(tmp_path / "s.pt").history[-1]["seconds"]  # of all parts
    assert not list(tmp_path.glob(".*layer*")) and load_model(tmp_path / "s.pt", "cpu").even


def test_a_pretrained_machine_that_is_interrupted_goes_on_bit_for_bit(made, tmp_path, monkeypatch):
    from ebmphys.experiment import pretraining

    options = "dbm --hidden 5,4 --pretrain --epochs 2 --k 2"
    fitted(made, tmp_path / "whole.pt", options)
    train, calls = pretraining.train, []

    def interrupted(*given, **named):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "train", interrupted)
        line = f"fit --data {made}/a.h5 --out {tmp_path}/cut.pt --model {options} --quiet --device cpu"
        assert main(line.split()) == 130
    assert (tmp_path / ".cut.pt.layer1").exists()
    run(f"fit --data {made}/a.h5 --out {tmp_path}/cut.pt --model {options} --resume")
    first, second = (load_model(tmp_path / name, "cpu").state_dict() for name in ("whole.pt", "cut.pt"))
    assert all(torch.equal(first[name], second[name]) for name in first) and not list(tmp_path.glob(".*layer*"))
    # Of a finished machine the seconds of its pairs are remembered.
    longer = options.replace("--epochs 2", "--epochs 3")
    run(f"fit --data {made}/a.h5 --out {tmp_path}/cut.pt --model {longer} --resume")
    stored = load(tmp_path / "cut.pt")
    assert stored.epoch == 3 and stored.provenance["seconds_before"] > 0
    told = info(Info(file=tmp_path / "cut.pt"))["last"]["seconds"]
    assert told == stored.history[-1]["seconds"] + stored.provenance["seconds_before"]


def test_a_belief_net_that_is_interrupted_goes_on_bit_for_bit(made, tmp_path, monkeypatch):
    options = "dbn --hidden 5,4 --epochs 2"
    fitted(made, tmp_path / "whole.pt", options)
    from ebmphys.experiment import belief_net

    train, calls = belief_net.train, []

    def interrupted(*given, **named):
        if len(calls) == 1:
            raise KeyboardInterrupt
        calls.append(1)
        return train(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(belief_net, "train", interrupted)
        line = f"fit --data {made}/a.h5 --out {tmp_path}/cut.pt --model {options} --quiet --device cpu"
        assert main(line.split()) == 130
    assert not (tmp_path / "cut.pt").exists() and (tmp_path / ".cut.pt.layer1").exists()
    run(f"fit --data {made}/a.h5 --out {tmp_path}/cut.pt --model {options} --resume")
    first, second = (load_model(tmp_path / name, "cpu").state_dict() for name in ("whole.pt", "cut.pt"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not list(tmp_path.glob(".*layer*"))
    # A layer begun with other settings is not taken up, and a finished net goes on without its layers.
    with monkeypatch.context() as patch:
        patch.setattr(belief_net, "train", interrupted)
        calls.clear()
        line = f"fit --data {made}/a.h5 --out {tmp_path}/other.pt --model {options} --k 3 --quiet --device cpu"
        assert main(line.split()) == 130
    assert main(f"fit --data {made}/a.h5 --out {tmp_path}/other.pt --model {options} --resume --quiet".split()) == 2
    run(f"fit --data {made}/a.h5 --out {tmp_path}/cut.pt --model dbn --hidden 5,4 --epochs 4 --resume")
    assert load(tmp_path / "cut.pt").epoch == 4 and not list(tmp_path.glob(".cut*layer*"))


def test_the_layer_above_is_drawn_given_the_one_below():
    pair = pretraining_machine((3, 2, 4), 0, device="cpu")
    with torch.no_grad():
        pair.weights.copy_(torch.tensor([0.5, -0.3, 0.2, 0.4, 0.0, 0.1]))
        pair.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 0.2, -0.1]))
    v = torch.tensor([1.0, -1.0, 1.0])
    expected = torch.tanh(2 * (v @ pair.weights.detach().reshape(3, 2)) + pair.bias.detach()[3:])  # two copies below
    drawn = _layer_above(pair, v.repeat(40_000, 2), 2, generator(1, device="cpu"))
    assert drawn.shape == (40_000, 2) and (drawn.mean(0) - expected).abs().max() < 4 / 40_000**0.5


def test_the_seconds_of_a_belief_net_are_those_of_all_its_layers(made, tmp_path, capsys, monkeypatch):
    from ebmphys.experiment import belief_net

    out, train, spent = tmp_path / "m.pt", belief_net.train, []

    def counted(*given, **named):
        spent.append(train(*given, **named))
        return spent[-1]

    monkeypatch.setattr(belief_net, "train", counted)
    told = fitted(made, out, "dbn --hidden 5,4,3 --epochs 2", capsys)["models"][0]["seconds"]
    stored = load(out)
    assert told == pytest.approx(stored.history[-1]["seconds"] + stored.provenance["seconds_before"])
    assert stored.provenance["seconds_before"] == sum(each.seconds for each in spent[:3]) > 0
    again = fitted(made, out, "dbn --hidden 5,4,3 --epochs 3 --resume", capsys)["models"][0]["seconds"]
    assert again > told and load(out).provenance["seconds_before"] == stored.provenance["seconds_before"]
