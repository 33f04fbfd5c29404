"""Diffusion models as a user meets them: symmetries, training, checkpoints, and what is refused."""

import json
import math

import pytest
import torch

from ebmphys.checkpoint import Checkpoint, load_model, save
from ebmphys.energies import ferromagnet
from ebmphys.exact.enumeration import kl_divergence, log_weights, states
from ebmphys.generators import GENERATORS, VAE, AbsorbingDiffusion, BitFlipDiffusion
from ebmphys.likelihood import reverse_chain_law, trajectory_bound
from ebmphys.objectives import DenoisingBound
from ebmphys.train import GlobalFlip, Training, fit
from ebmphys.train.monitors.denoising import mean_denoising_bound
from ebmphys.units import Bit, Gaussian
from tests.generators.diffusions import KINDS, diffusion, rng, spins


@pytest.mark.parametrize("kind", KINDS)
def test_a_symmetric_model_has_a_symmetric_law_and_spins_and_bits_are_one_model(kind):
    even, plain = diffusion(kind, symmetric=True), diffusion(kind)
    law = reverse_chain_law(even)
    torch.testing.assert_close(law, law.flip(0), atol=1e-10, rtol=0)
    assert float((reverse_chain_law(plain) - reverse_chain_law(plain).flip(0)).abs().max()) > 0.1
    bits = diffusion(kind, unit=Bit())
    noise = plain.noise(16, rng("noise"))
    torch.testing.assert_close(bits.elbo((spins(4) + 1) / 2, noise), plain.elbo(spins(4), noise))
    assert torch.equal(bits.draw(50, rng("x")), (plain.draw(50, rng("x")) + 1) / 2)


@pytest.mark.parametrize("kind", KINDS)
def test_convolutions_follow_translations(kind):
    network = {"kind": "convolutional", "shape": [3, 4], "channels": [6, 6], "kernel": 3}
    model = kind(12, 5, network, rng=rng("conv"), device="cpu")
    x = torch.where(torch.rand(7, 12, generator=rng("x")) < 0.5, -1.0, 1.0)
    if kind is AbsorbingDiffusion:
        x[:, ::3] = 0
    moved = x.reshape(7, 3, 4).roll((1, 2), (1, 2)).reshape(7, 12)
    out, shifted = (model.transition(v, 3, 2)[..., 1] for v in (x, moved))
    torch.testing.assert_close(out.reshape(7, 3, 4).roll((1, 2), (1, 2)).reshape(7, 12), shifted)
    assert float((out - shifted).abs().max()) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_training_lowers_the_exact_divergence_and_resumes_bit_for_bit(kind, tmp_path):
    target, beta = ferromagnet((2, 3), device="cpu"), 0.44
    p = torch.softmax(log_weights(target, beta), 0)
    data = states((-1.0, 1.0), 6)[torch.multinomial(p, 2000, replacement=True, generator=rng("data"))]

    def trained(epochs, resume=False):
        model = kind(6, 12, {"kind": "mlp", "hidden": [32]}, rng=rng("w"), device="cpu")
        settings = Training(epochs=epochs, batch_size=250, learning_rate=1e-2, schedule="constant")
        place = {"checkpoint": tmp_path / f"{epochs}.pt" if not resume else tmp_path / "15.pt", "resume": resume}
        flip = [GlobalFlip(model.visible_unit)]
        history = fit(model, data, DenoisingBound(rng("o")), settings, rng=rng("fit"), augment=flip, **place)
        return model, history

    whole, history = trained(30)
    assert kl_divergence(p.log(), reverse_chain_law(whole)) < 0.1 < history[0]["loss"] - history[-1]["loss"]
    trained(15)
    again, resumed = trained(30, resume=True)
    assert [record["loss"] for record in history] == [record["loss"] for record in resumed]
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in whole.state_dict().items())
    back = load_model(tmp_path / "30.pt", "cpu")
    assert torch.equal(back.draw(20, rng("x")), whole.draw(20, rng("x")))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [9, None])
def test_config_gives_the_model_back(kind, steps, tmp_path):
    steps = 9 if kind is BitFlipDiffusion else steps
    model = kind(6, steps, {"kind": "mlp", "hidden": [5]}, Bit(), symmetric=True, rng=rng("w"), device="cpu")
    twin = GENERATORS[model.config["model"]].from_config(json.loads(json.dumps(model.config)))
    assert twin.config == model.config and type(twin.visible_unit) is Bit
    save(tmp_path / "a.pt", Checkpoint(model.config, dict(model.state_dict())))
    assert load_model(tmp_path / "a.pt", "cpu").config == model.config


@pytest.mark.parametrize("kind", KINDS)
def test_the_monitor_is_the_bound_with_noise_that_is_always_the_same(kind):
    model, v = diffusion(kind, strength=1.0).float(), spins(4).float().repeat(400, 1)
    monitor = mean_denoising_bound(v)
    value = monitor(model, None)
    assert value == monitor(model, None)
    weights = model.log_weights(v, rng("monitor")).double()
    assert abs(value - float(weights.mean())) < 4.5 * 2 * float(weights.std()) / len(v) ** 0.5
    assert value < float(reverse_chain_law(model).mean()) - 0.02
    with pytest.raises(ValueError, match="VAE has no denoising bound"):
        monitor(VAE(4, device="cpu"), None)


def test_bad_input_is_refused_and_no_global_generator_is_read():
    before = torch.get_rng_state()
    model = BitFlipDiffusion(4, 6, device="cpu")
    assert math.isfinite(float(DenoisingBound(rng("o"), 3)(model, spins(4).float()).detach()))
    model.draw(3, rng("x"))
    assert torch.equal(torch.get_rng_state(), before)
    for wrong, message in (
        (lambda: BitFlipDiffusion(4, 0), "1 or more sites and steps"),
        (lambda: AbsorbingDiffusion(4, unit=Gaussian()), "two-valued units, got gaussian"),
        (lambda: AbsorbingDiffusion(4, network={"kind": "mlp"}), "of kind mlp with hidden sizes"),
        (lambda: model.draw(0, rng()), "draws must be 1 or more"),
        (lambda: model.draw(2, rng(), 7), "steps must be 1 to 6, got 7"),
        (lambda: model.bound(spins(4), rng(), 0), "1 or more draws"),
        (lambda: DenoisingBound(rng(), 0), "draws must be 1 or more"),
        (lambda: DenoisingBound(rng())(VAE(4, device="cpu"), spins(4)), "diffusion models, VAE is none"),
        (lambda: reverse_chain_law(BitFlipDiffusion(17, 2, device="cpu")), "65536 states"),
        (lambda: trajectory_bound(model, spins(4), 0, rng()), "1 or more draws"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()
