"""Autoencoders against principal components and the best denoiser there is, which is known exactly."""

import json

import pytest
import torch

from ebmphys.checkpoint import Checkpoint, load_model, save
from ebmphys.energies import ferromagnet
from ebmphys.exact.enumeration import log_weights, states
from ebmphys.generators import GENERATORS, RESTORERS, Autoencoder, IndependentModel, SingleLayer
from ebmphys.likelihood import flip_posterior
from ebmphys.objectives import BitFlip, Reconstruction
from ebmphys.rng import generator
from ebmphys.train import GlobalFlip, LatticeMoves, Training, fit, pretrain
from ebmphys.units import Bit, Gaussian, Potts, Spin

BETA_C, FLIPPED = 0.44068679350977147, 0.15
COUPLED = ferromagnet((4, 4), device="cpu")


def rng(*path):
    return generator(38, "autoencoder", *path, device="cpu")


def data(count):
    law = torch.softmax(log_weights(COUPLED, BETA_C), 0)
    return states((-1.0, 1.0), 16)[torch.multinomial(law, count, replacement=True, generator=rng("data"))]


@pytest.mark.parametrize("tied", [False, True])
def test_one_linear_layer_is_principal_component_analysis(tied):
    """The least error of any linear code is that of the discarded eigenvalues (Baldi and Hornik 1989)."""
    n, sigma = 6, 0.7
    x = torch.randn(500, n, generator=rng("x")) @ torch.randn(n, n, generator=rng("mix"))
    discarded = torch.linalg.eigvalsh((x - x.mean(0)).T.cov(correction=0))[: n - 2]
    best = float(discarded.sum() / (2 * sigma**2))
    model = Autoencoder(n, (2,), Gaussian(sigma), tied=tied, rng=rng("pca"), device="cpu")
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = Reconstruction()(model, x)
        value.backward()
        return value.detach()

    optimizer.step(loss)
    reached = float(loss())
    assert best * (1 - 1e-5) < reached < best * (1 + 1e-3)
    assert sum(p.numel() for p in model.parameters()) == (n * 2 + n + 2 if tied else 2 * n * 2 + n + 2)


def exact_quality(upper):
    """Of probabilities of the upper value given every noisy y: <cross-entropy> in nats and <share of wrong sites>."""
    noisy, best = flip_posterior(log_weights(COUPLED, BETA_C), FLIPPED)
    cross_entropy = -(best * upper.log() + (1 - best) * (1 - upper).log()).sum(-1)
    wrong = torch.where(upper > 0.5, 1 - best, best).mean(-1)
    return float(noisy @ cross_entropy), float(noisy @ wrong)


@pytest.fixture(scope="module")
def denoiser():
    model = Autoencoder(16, (64, 16), rng=rng("weights"), device="cpu")
    objective = Reconstruction(BitFlip(model.visible_unit, FLIPPED), rng("noise"))
    settings = Training(epochs=60, batch_size=250, learning_rate=1e-2)
    augment = [GlobalFlip(Spin()), LatticeMoves(COUPLED.graph)]
    fit(model, data(5000), objective, settings, rng=rng("fit"), augment=augment)
    return model


def test_a_denoiser_approaches_the_best_one_and_never_beats_it(denoiser):
    """Averages over all 65,536 noisy configurations: nothing is drawn."""
    y = states((-1.0, 1.0), 16)
    with torch.no_grad():
        learned = denoiser.decode(denoiser.encode(y)).sigmoid().double()
    neighbours = torch.as_tensor(COUPLED.graph.neighbours)
    majority = ((y + y[:, neighbours].sum(-1)).sign() * 0.499 + 0.5).double()
    best = exact_quality(flip_posterior(log_weights(COUPLED, BETA_C), FLIPPED)[1])
    found, vote, as_it_is = exact_quality(learned), exact_quality(majority), exact_quality((y * 0.499 + 0.5).double())
    assert as_it_is[1] == pytest.approx(FLIPPED, abs=1e-9)
    assert best[1] < found[1] < best[1] + 0.01 and found[1] < vote[1] - 0.005
    assert best[0] < found[0] < best[0] + 0.3
    for beta, p in ((0.42, FLIPPED), (BETA_C, 0.14)):  # nor does a posterior of another law
        assert exact_quality(flip_posterior(log_weights(COUPLED, beta), p)[1])[0] > best[0] + 1e-3


def test_what_is_restored_has_the_energy_back(denoiser):
    v = data(4000)
    y = BitFlip(Spin(), FLIPPED)(v, rng("test"))
    restored = denoiser.denoise(y)
    assert set(restored.unique().tolist()) == {-1.0, 1.0}
    clean, noisy, after = (float(COUPLED.energy(x).mean()) / 16 for x in (v, y, restored))
    # Flips leave (1 - 2p)^2 of the energy; taking likeliest values leaves too little disorder.
    assert noisy == pytest.approx(clean * (1 - 2 * FLIPPED) ** 2, abs=0.03)
    assert after < clean < noisy - 0.5
    expected = float(
        exact_quality(denoiser.decode(denoiser.encode(states((-1.0, 1.0), 16))).detach().sigmoid().double())[1]
    )
    wrong = (restored != v).double().mean(-1)
    assert abs(float(wrong.mean()) - expected) < 4.5 * float(wrong.std()) / 4000**0.5


@pytest.mark.parametrize("tied", [False, True])
def test_greedy_layers_are_a_start_for_the_whole(tied):
    model = Autoencoder(16, (24, 12, 6), tied=tied, rng=rng("stack"), device="cpu")
    v, objective = data(2000), Reconstruction()
    settings = Training(epochs=12, batch_size=200, learning_rate=1e-2)
    before = float(objective(model, v).detach())
    start = {name: p.clone() for name, p in model.state_dict().items()}
    first = SingleLayer(model, 0)
    fit(first, v, objective, settings, rng=rng("first"))
    moved = {name for name, p in model.state_dict().items() if not torch.equal(p, start[name])}
    assert moved == {name for name in start if name.startswith("layers.0.")}
    histories = pretrain(model, v, objective, settings, rng=rng("fit"))
    after = float(objective(model, v).detach())
    assert len(histories) == 3 and all(h[-1]["loss"] < h[0]["loss"] for h in histories)
    assert after < 0.75 * before
    history = fit(model, v, objective, settings, rng=rng("fine"))
    assert history[-1]["loss"] < after


def test_a_single_layer_is_the_whole_of_a_model_that_has_one():
    model, v = Autoencoder(5, (3,), rng=rng("one"), device="cpu"), states((-1.0, 1.0), 5)
    layer = SingleLayer(model, 0)
    torch.testing.assert_close(layer.reconstruction_error(v, v.flip(0)), model.reconstruction_error(v, v.flip(0)))
    real, x = Autoencoder(5, (3,), Gaussian(0.5), rng=rng("one"), device="cpu"), torch.randn(9, 5, generator=rng("x"))
    torch.testing.assert_close(SingleLayer(real, 0).reconstruction_error(x, x), real.reconstruction_error(x, x))
    deep = Autoencoder(5, (4, 3), rng=rng("two"), device="cpu")
    hidden = deep.stack[0].upwards(v).tanh()
    lowest = (2 * v * deep.stack[0].downwards(hidden)).sigmoid().log()  # its code is what the next layer reads
    torch.testing.assert_close(SingleLayer(deep, 0).reconstruction_error(v, v), -lowest.sum(-1))
    fields = deep.stack[1].downwards(deep.stack[1].upwards(hidden)).double()
    p, q = (1 + hidden.double()) / 2, (2 * fields).sigmoid()
    by_hand = -(p * q.log() + (1 - p) * (1 - q).log()).sum(-1)
    torch.testing.assert_close(SingleLayer(deep, 1).reconstruction_error(v, v).double(), by_hand, atol=1e-5, rtol=0)
    assert deep.encode(v).shape == (32, 3) and deep.decode(deep.encode(v)).shape == (32, 5)


def test_tied_weights_serve_both_ways_and_free_ones_start_alike():
    free, tied = (Autoencoder(5, (4, 3), tied=tied, rng=rng("w"), device="cpu") for tied in (False, True))
    v = states((-1.0, 1.0), 5)
    torch.testing.assert_close(free.reconstruct(v), tied.reconstruct(v))
    with torch.no_grad():
        for model in (free, tied):
            model.stack[0].up.weight *= 1.5
    code = torch.randn(4, 3, generator=rng("code"))
    assert float((free.decode(code) - tied.decode(code)).detach().abs().max()) > 0.01


def test_spins_and_bits_are_one_model_and_what_is_midway_is_not_known():
    spin, bit = (Autoencoder(5, (4, 3), unit, rng=rng("w"), device="cpu") for unit in (Spin(), Bit()))
    v = states((-1.0, 1.0), 5)
    torch.testing.assert_close(bit.encode((v + 1) / 2), spin.encode(v))
    torch.testing.assert_close(bit.reconstruct((v + 1) / 2), (spin.reconstruct(v) + 1) / 2)
    assert torch.equal(bit.denoise((v + 1) / 2), (spin.denoise(v) + 1) / 2)
    assert float(bit.features(torch.full((1, 5), 0.5)).abs().max()) == 0
    assert set(spin.denoise(torch.zeros(1, 5)).unique().tolist()) <= {-1.0, 1.0}


@pytest.mark.parametrize("unit", [Spin(), Bit(), Gaussian(0.7)])
def test_config_and_checkpoint_give_the_model_back_and_it_draws_nothing(unit, tmp_path):
    model = Autoencoder(6, (5, 2), unit, tied=True, rng=rng("w"), device="cpu")
    assert not isinstance(model, IndependentModel) and not hasattr(model, "draw") and not hasattr(model, "log_prob")
    assert model.config["model"] in RESTORERS and model.config["model"] not in GENERATORS
    twin = RESTORERS["autoencoder"].from_config(json.loads(json.dumps(model.config)))
    assert twin.config == model.config
    stored = Checkpoint(model.config, dict(model.state_dict()))
    assert stored.kind == "restorer"
    save(tmp_path / "a.pt", stored)
    back, v = load_model(tmp_path / "a.pt", "cpu"), torch.randn(4, 6, generator=rng("v"))
    torch.testing.assert_close(back.reconstruct(v), model.reconstruct(v), atol=0, rtol=0)


def test_bad_input_is_refused():
    model = Autoencoder(4, (3,), device="cpu")
    for wrong, message in (
        (lambda: Autoencoder(4, ()), "1 or more layers"),
        (lambda: Autoencoder(4, (3, 0)), "1 or more layers of 1 or more units"),
        (lambda: Autoencoder(4, (3,), Potts(3)), "got potts"),
        (lambda: SingleLayer(model, 1), "layer must be 0 to 0, got 1"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()
