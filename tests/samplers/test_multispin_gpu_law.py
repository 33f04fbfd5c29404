"""The law of plain numbers, and of the Triton kernels that equal them, is the enumerated one."""

import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
pytest.importorskip("triton")

from ebmphys.samplers.multispin import MultiSpin
from ebmphys.samplers.multispin.gpu import SHARED, STRICT, advance
from tests.samplers.laws import exact_draws, p_value
from tests.samplers.plain_numbers import DEVICE, MODELS, THRESHOLD, UPDATES, WIDE, Plain, philox, started


def test_the_plain_generator_gives_the_published_words():
    assert [f"{int(w):08x}" for w in philox((0, 0, 0, 0), (0, 0))] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]
    full = 2**32 - 1
    assert [f"{int(w):08x}" for w in philox((full,) * 4, (full,) * 2)] == [
        "408f276d",
        "41c83b0e",
        "a20bc7c6",
        "6d5451fd",
    ]


@pytest.mark.parametrize("tuning", [STRICT, SHARED], ids=["strict", "shared ties"])
@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("name", MODELS)
def test_plain_numbers_keep_exact_draws_exact(name, update, tuning):
    model = MODELS[name]
    for beta in (0.2, 0.4406868, 1.0):
        assert (
            p_value(model, beta, swept(model, update, exact_draws(model, beta, 20_000, seed=1), beta, 3, tuning))
            > THRESHOLD
        )


@pytest.mark.parametrize("update", UPDATES)
def test_five_percent_of_beta_are_noticed(update):
    model, beta = MODELS["2x4"], 0.4
    x = swept(model, update, exact_draws(model, beta, 20_000, seed=1), 1.05 * beta, 5, STRICT)
    assert p_value(model, beta, x) < THRESHOLD


def swept(model, update, x, beta, sweeps, tuning):
    plain = Plain(started(MultiSpin(model, update), len(x), beta), update, tuning=tuning)
    x = x.to(DEVICE)
    for _ in range(sweeps):
        x = plain(x)
    return x.cpu()


@pytest.mark.parametrize(("name", "update"), [("2x4", "heat_bath"), ("chain field", "metropolis")])
def test_kernels_keep_exact_draws_exact(name, update):
    model, beta = MODELS[name], 0.4
    count = 60_000 if DEVICE == "cuda" else 1024
    sampler = MultiSpin(model, update)
    chains = started(sampler, count, beta)
    chains.x = exact_draws(model, beta, count, seed=4).to(DEVICE)
    advance(chains, sampler.rule, sampler.attempt, 1, WIDE)
    assert p_value(model, beta, chains.x.cpu()) > THRESHOLD
    assert p_value(model, 1.5 * beta, chains.x.cpu()) < THRESHOLD
