"""The objective of autoencoders by hand and by enumeration, and its noise."""

import math

import pytest
import torch

from ebmphys.exact.enumeration import states
from ebmphys.generators import VAE, Autoencoder
from ebmphys.objectives import BitFlip, Masking, Reconstruction
from ebmphys.rng import generator
from ebmphys.units import Bit, Gaussian, Potts, Spin


def rng(*path):
    return generator(37, "reconstruction", *path, device="cpu")


def autoencoder(n=5, layers=(4, 3), unit=None):
    return Autoencoder(n, layers, unit, rng=rng("weights"), device="cpu")


@pytest.mark.parametrize("n", [1, 9, 40])
@pytest.mark.parametrize("unit", [Spin(), Bit()])
def test_the_error_is_summed_over_sites(n, unit):
    model = autoencoder(n, (3,), unit)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    v = unit.draw(torch.zeros(20, n), torch.rand(20, n, generator=rng("v")))
    assert float(Reconstruction()(model, v).detach()) == pytest.approx(n * math.log(2), rel=1e-6)


def test_cross_entropy_and_squared_error_by_hand():
    model, v = autoencoder(), states((-1.0, 1.0), 5)
    eta = model.decode(model.encode(v)).double()
    by_hand = -torch.where(v > 0, eta.sigmoid(), 1 - eta.sigmoid()).log().sum(-1)
    torch.testing.assert_close(model.reconstruction_error(v, v).double(), by_hand, atol=1e-5, rtol=0)
    real = autoencoder(unit=Gaussian(0.5))
    x = torch.randn(20, 5, generator=rng("x"))
    squares = ((x - real.reconstruct(x)) ** 2).sum(-1) / (2 * 0.25)
    torch.testing.assert_close(real.reconstruction_error(x, x), squares)
    assert float(Reconstruction()(real, x).detach()) == pytest.approx(float(squares.mean().detach()), rel=1e-5)


@pytest.mark.parametrize("kind", [BitFlip, Masking])
def test_noise_is_averaged_over_and_what_is_restored_is_the_clean_configuration(kind):
    """Over all 2^5 noises, each with its probability, against the objective's own draws."""
    p, v = 0.3, torch.tensor([[1.0, -1.0, 1.0, 1.0, -1.0]])
    model, patterns = autoencoder(), states((0.0, 1.0), 5).bool()
    seen = torch.where(patterns, -v if kind is BitFlip else 0.0, v)
    weights = (p ** patterns.sum(-1) * (1 - p) ** (5 - patterns.sum(-1))).double()
    with torch.no_grad():
        exact = float(weights @ model.reconstruction_error(v.expand(32, 5), seen).double())
        backwards = float(weights @ model.reconstruction_error(v.expand(32, 5), v.expand(32, 5)).double())
        objective = Reconstruction(kind(Spin(), p), rng("noise"))
        found = torch.stack([objective(model, v.expand(500, 5)) for _ in range(40)]).double()
    error = float(found.std()) / 40**0.5
    assert abs(float(found.mean()) - exact) < 4.5 * error < abs(backwards - exact)


def test_noise_keeps_to_the_units_values():
    spins, bits = torch.ones(20_000, 3), torch.zeros(20_000, 3)
    for v, unit, turned, hidden in ((spins, Spin(), -1.0, 0.0), (bits, Bit(), 1.0, 0.5)):
        flipped, masked = BitFlip(unit, 0.25)(v, rng("a")), Masking(unit, 0.25)(v, rng("a"))
        assert set(flipped.unique().tolist()) == {float(v[0, 0]), turned}
        assert set(masked.unique().tolist()) == {float(v[0, 0]), hidden}
        for noisy in (flipped, masked):
            assert abs(float((noisy != v).float().mean()) - 0.25) < 4.5 * (0.25 * 0.75 / 60_000) ** 0.5
    assert float(Masking(Gaussian(), 1.0)(torch.ones(1, 3), rng("a")).abs().max()) == 0


def test_the_noise_goes_on_where_it_was():
    model, v = autoencoder(), states((-1.0, 1.0), 5)
    objective, twin = (Reconstruction(BitFlip(Spin(), 0.2), rng(name)) for name in ("one", "two"))
    objective(model, v)
    twin.load_state_dict(objective.state_dict())
    assert torch.equal(objective(model, v), twin(model, v))
    assert Reconstruction().state_dict() == {}


def test_bad_input_is_refused():
    for wrong, message in (
        (lambda: BitFlip(Gaussian(), 0.1), "two-valued units, got gaussian"),
        (lambda: BitFlip(Spin(), 0.6), "0 to 0.5"),
        (lambda: Masking(Spin(), 1.1), "0 to 1, got 1.1"),
        (lambda: Masking(Potts(3), 0.1), "Gaussian units, got potts"),
        (lambda: Reconstruction(BitFlip(Spin(), 0.1)), "needs a generator"),
        (lambda: Reconstruction(None, rng()), "a generator a noise"),
        (lambda: Reconstruction()(VAE(4, device="cpu"), torch.ones(1, 4)), "VAE reconstructs nothing"),
        (lambda: Reconstruction()(autoencoder(), torch.zeros(1, 5)), r"values \[-1.0, 1.0\]"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()
