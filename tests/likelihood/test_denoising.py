"""The posterior of a noisy configuration against Bayes' rule written out, and against noise that is drawn."""

import pytest
import torch

from ebmphys.exact.enumeration import states
from ebmphys.likelihood import flip_channel, flip_posterior
from ebmphys.objectives import BitFlip
from ebmphys.rng import generator
from ebmphys.units import Spin


def rng(*path):
    return generator(36, "denoising", *path, device="cpu")


@pytest.mark.parametrize("p", [0.05, 0.3, 0.5])
def test_the_posterior_is_bayes_rule(p):
    log_p, every = torch.randn(32, generator=rng("law"), dtype=torch.float64), states((-1.0, 1.0), 5)
    flipped = (every[:, None] != every[None]).sum(-1).double()
    joint = torch.softmax(log_p, 0)[:, None] * p**flipped * (1 - p) ** (5 - flipped)  # clean, noisy
    noisy, upper = flip_posterior(log_p + 3.0, p)
    torch.testing.assert_close(noisy, joint.sum(0))
    torch.testing.assert_close(upper, (joint / joint.sum(0)).T @ (every > 0).double())
    _, wrong = flip_posterior(log_p, 0.9 * p)
    assert float((wrong - upper).abs().max()) > 1e-3


def test_noise_that_is_drawn_has_the_channels_law():
    clean = torch.tensor([[1.0, -1.0, 1.0]]).expand(60_000, 3)
    drawn = BitFlip(Spin(), 0.2)(clean, rng("flips"))
    place = ((drawn > 0).long() * torch.tensor([4, 2, 1])).sum(-1)
    found = torch.bincount(place, minlength=8).double() / len(drawn)
    start = torch.zeros(8, dtype=torch.float64)
    start[5] = 1
    for p, agrees in ((0.2, True), (0.21, False)):
        law = flip_channel(start, p)
        deviation = (found - law) / (law * (1 - law) / len(drawn)).sqrt()
        assert bool((deviation.abs() < 4.5).all()) == agrees


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"above 0 and up to 0\.5, got 0\.7"):
        flip_posterior(torch.zeros(8), 0.7)
    with pytest.raises(ValueError, match=r"2\^n weights"):
        flip_posterior(torch.zeros(9), 0.1)
