"""What gradients go through in a training: bounds, what is kept when it is resumed, what is refused."""

import pytest
import torch

from ebmphys.checkpoint import load, save
from ebmphys.energies import RBM
from ebmphys.likelihood import kl_to_exact
from ebmphys.train import Centred, Clipped, NaturalGradient, Training, fit
from tests.train.bits import N, bit_case, bit_machines, rng


def test_clipping_bounds_the_norm_of_all_gradients_together():
    model = bit_machines()["rbm"]
    for factor in (10.0, 0.001):
        for p in model.parameters():
            p.grad = torch.full_like(p, factor)
        before = torch.cat([p.grad.flatten() for p in model.parameters()])
        Clipped(1.0).before_step(model, None, None)
        after = torch.cat([p.grad.flatten() for p in model.parameters()])
        torch.testing.assert_close(after, before * min(1.0, 1 / float(before.norm())), atol=1e-6, rtol=1e-5)


def test_bits_learn_as_fast_as_spins_without_being_asked_to():
    settings = Training(epochs=30, learning_rate=1e-2)
    kl = {}
    for name, transforms in (("default", None), ("plain", ())):
        target, model, data, objective = bit_case()
        fit(model, data, objective, settings, rng=rng("fit"), transforms=transforms)
        kl[name] = kl_to_exact(target, 0.44, model)
    target, _, data, objective = bit_case()
    spins = RBM(9, 9, rng=rng("init"), device="cpu")
    fit(spins, 2 * data - 1, objective, settings, rng=rng("fit"))
    kl["spins"] = kl_to_exact(target, 0.44, spins)
    assert kl["default"] < 1.5 * kl["spins"] and kl["plain"] > 3 * kl["spins"]


@pytest.mark.parametrize("transforms", [lambda: [Clipped(1.0), Centred()], lambda: [NaturalGradient(0.1)]])
def test_a_resumed_training_takes_up_its_transforms_bit_for_bit(tmp_path, transforms):
    def run(path, epochs, resume=False):
        _, model, data, objective = bit_case()
        settings = Training(epochs=epochs, batch_size=1500, schedule="constant")
        options = {"checkpoint": path, "resume": resume, "transforms": transforms()}
        fit(model, data, objective, settings, rng=rng("fit"), **options)
        return model

    whole = run(tmp_path / "whole.pt", 4)
    run(tmp_path / "part.pt", 2)
    resumed = run(tmp_path / "part.pt", 4, resume=True)
    assert torch.equal(whole.weights, resumed.weights) and torch.equal(whole.hidden_bias, resumed.hidden_bias)
    run(tmp_path / "part.pt", 2)
    stored = load(tmp_path / "part.pt")
    stored.schedule["transforms"] = stored.schedule["transforms"][:-1]
    save(tmp_path / "part.pt", stored)
    with pytest.raises(ValueError, match="cannot resume: gradients went through"):
        run(tmp_path / "part.pt", 4, resume=True)


def test_a_resumed_training_without_its_means_is_another(tmp_path):
    def run(path, epochs, resume=False):
        _, model, data, objective = bit_case()
        settings = Training(epochs=epochs, batch_size=1500, schedule="constant")
        fit(model, data, objective, settings, rng=rng("fit"), checkpoint=path, resume=resume)
        return model

    whole = run(tmp_path / "whole.pt", 4)
    run(tmp_path / "part.pt", 2)
    stored = load(tmp_path / "part.pt")
    stored.schedule["transforms"][0]["state"] = {}
    save(tmp_path / "part.pt", stored)
    assert not torch.equal(whole.weights, run(tmp_path / "part.pt", 4, resume=True).weights)


def test_settings_that_make_no_transform_are_refused():
    with pytest.raises(ValueError, match="norm must be positive"):
        Clipped(0.0)
    with pytest.raises(ValueError, match="damping must be positive"):
        NaturalGradient(0.0)
    with pytest.raises(ValueError, match="needs draws of the model"):
        NaturalGradient().before_step(bit_machines()["rbm"], torch.ones(2, N), None)
    with pytest.raises(ValueError, match="Linear is none"):
        NaturalGradient().before_step(torch.nn.Linear(2, 1), torch.ones(2, 2), None)
