"""EM against its textbook formulas, its one theorem (it never descends), and its way through the training loop."""

import warnings

import numpy as np
import pytest
import torch

from ebmphys.checkpoint import load, load_model
from ebmphys.energies import ferromagnet
from ebmphys.exact.enumeration import kl_divergence, log_weights, states
from ebmphys.generators import VAE, BernoulliMixture
from ebmphys.likelihood import visible_law
from ebmphys.rng import generator
from ebmphys.train import (
    ExpectationMaximization,
    MixturePosterior,
    MixtureTraining,
    PseudoCounts,
    Training,
    effective_components,
    empty_components,
    fit,
    fit_mixture,
    spread_components,
    suited,
)
from ebmphys.units import Bit

BETA = 0.44068679
TARGET = ferromagnet((3, 3), device="cpu")
KINDS = {
    "plain": {},
    "even": {"even": True},
    "translations": {"shape": (3, 3)},
    "both": {"even": True, "shape": (3, 3)},
}
PRIORS = {"likelihood": PseudoCounts(), "map": PseudoCounts(2.0, 0.5)}


def rng(*path):
    return generator(43, *path, device="cpu")


def data(n=2000, *path):
    law = torch.softmax(log_weights(TARGET, BETA), 0)
    return states((-1.0, 1.0), 9)[torch.multinomial(law, n, replacement=True, generator=rng("data", *path))]


def mixture(kind="plain", k=4, scale=1.0):
    model = BernoulliMixture(9, k, **KINDS[kind], device="cpu").double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=rng("start", name)))
    return model


def textbook_step(model, v, prior):
    """Responsibilities and counts as they stand in a book, image by image; -> (weights, probabilities)."""
    b = (v > 0).numpy().astype(float)
    weights, images = model.log_weights.detach().softmax(0).numpy(), model.images().detach().numpy()
    p = 1 / (1 + np.exp(-images))  # (k, g, n)
    each = np.where(b[:, None, None, :] > 0, p, 1 - p).prod(-1) * weights[:, None]
    r = each / each.sum((1, 2), keepdims=True)
    counts = r.sum((0, 2)) + prior.weights
    places = np.argsort(model._moves.numpy(), axis=1)  # which site of v each site of the component is seen at
    ones = np.zeros((model.n_components, 9))
    for g in range(model.n_images):
        seen = b[:, places[g % len(places)]]
        ones += r[:, :, g].T @ (seen if g < len(places) else 1 - seen)
    own = r.sum((0, 2))[:, None]
    return counts / counts.sum(), (ones + prior.sites) / (own + 2 * prior.sites)


def one_step(model, v, prior, batch_size):
    posterior = MixturePosterior(len(v), prior)
    settings = MixtureTraining(epochs=1, prior=prior)
    fit(model, v, posterior, settings.training(batch_size), rng=rng("fit"), transforms=[settings.steps(posterior)])


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_size", [2000, 333])
def test_a_step_is_the_one_in_the_books_however_the_data_are_cut(kind, prior, batch_size):
    v, model = data(), mixture(kind)
    weights, p = textbook_step(model, v, PRIORS[prior])
    one_step(model, v, PRIORS[prior], batch_size)
    np.testing.assert_allclose(model.log_weights.detach().exp(), weights, rtol=1e-9)
    np.testing.assert_allclose(model.log_odds.detach().sigmoid(), p, rtol=1e-9)


def losses(kind, prior, steps=None, epochs=40):
    model, v = mixture(kind), data()
    posterior = MixturePosterior(len(v), PRIORS[prior])
    settings = MixtureTraining(epochs=epochs, prior=PRIORS[prior])
    through = settings.steps(posterior) if steps is None else steps(posterior)
    history = fit(model, v, posterior, settings.training(700), rng=rng("fit"), transforms=[through])
    return history.column("loss")


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_log_posterior_never_falls(kind, prior):
    falls = losses(kind, prior)
    assert falls[0] - falls[-1] > 0.1 and (np.diff(falls) < 1e-12).all()


class WeightsOfTheLikelihood(ExpectationMaximization):
    """A wrong M-step: the prior's pseudo-counts left out of the sites."""

    def _maximised(self, model):
        counts, uppers = self._mixed(model, [total / self.seen for total in self.slopes])
        self.slopes, self.seen = [], 0
        prior = self.posterior.prior
        p = (uppers - prior.sites) / (counts - prior.weights)[:, None]
        return torch.log_softmax(counts.log(), 0), p.clamp(1e-6, 1 - 1e-6).logit()


class TooFar(ExpectationMaximization):
    """A wrong M-step: log-odds a tenth too large."""

    def _maximised(self, model):
        weights, odds = super()._maximised(model)
        return weights, 1.1 * odds


@pytest.mark.parametrize("wrong", [WeightsOfTheLikelihood, TooFar])
def test_a_wrong_step_descends_and_is_seen(wrong):
    """The control of the test above."""
    assert (np.diff(losses("plain", "map", wrong)) > 1e-9).any()


@pytest.mark.parametrize("kind", ["plain", "both"])
def test_where_em_stands_still_the_gradient_of_the_log_posterior_is_zero(kind):
    v, model, prior = data(200), mixture(kind, k=2), PRIORS["map"]
    settings = MixtureTraining(epochs=1500, prior=prior, monitor_every=1500)
    fit_mixture(model, v, settings, rng=rng("fit"), start=False)
    gradients = torch.autograd.grad(MixturePosterior(len(v), prior)(model, v), list(model.parameters()))
    assert max(float(g.abs().max()) for g in gradients) < 1e-7
    wrong = MixturePosterior(len(v), PseudoCounts(2.0, 0.51))
    off = torch.autograd.grad(wrong(model, v), list(model.parameters()))
    assert max(float(g.abs().max()) for g in off) > 1e-6


def test_the_mixture_that_made_the_data_is_found_again():
    truth = BernoulliMixture(10, 3, device="cpu")
    with torch.no_grad():
        truth.log_weights.copy_(torch.tensor([0.5, 0.3, 0.2]).log())
        truth.log_odds.copy_(2.5 * (torch.rand(3, 10, generator=rng("truth")) < 0.5).float() * 2 - 2.5)
    v, model = truth.draw(20_000, rng("drawn")), BernoulliMixture(10, 3, device="cpu")
    fit_mixture(model, v, MixtureTraining(epochs=100), rng=rng("fit"))
    assert kl_divergence(visible_law(truth), visible_law(model)) < 3 * 32 / (2 * 20_000)  # 32 free numbers
    order = [int((model.log_odds - odds).abs().sum(-1).argmin()) for odds in truth.log_odds]
    assert sorted(order) == [0, 1, 2]
    assert (model.log_weights.exp()[order] - truth.log_weights.exp()).abs().max() < 0.02
    assert (model.log_odds[order].sigmoid() - truth.log_odds.sigmoid()).abs().max() < 0.03
    wrong = truth.draw(20_000, rng("drawn")).roll(1, -1)
    fit_mixture(model, wrong, MixtureTraining(epochs=100), rng=rng("fit"))
    assert kl_divergence(visible_law(truth), visible_law(model)) > 0.1


@pytest.mark.parametrize("kind", ["plain", "both"])
def test_sampled_responsibilities_have_the_exact_gradient_on_average(kind):
    v, model, prior = data(300), mixture(kind), PRIORS["map"]
    exact = MixturePosterior(300, prior)
    sampled = MixturePosterior(300, prior, 1, rng("sampled"))
    assert float(sampled(model, v).detach()) == pytest.approx(float(exact(model, v).detach()), abs=1e-12)
    for p in range(2):
        own = list(model.parameters())[p]
        want = torch.autograd.grad(exact(model, v), own)[0]
        runs = torch.stack([torch.autograd.grad(sampled(model, v), own)[0] for _ in range(600)])
        z = (runs.mean(0) - want) / (runs.std(0) / 600**0.5 + 1e-12)
        assert z.abs().max() < 4.5 and (runs.std(0) > 0).any()
        assert ((runs.mean(0) - 1.1 * want) / (runs.std(0) / 600**0.5)).abs().max() > 4.5


def divergence(kind, **settings):
    model = BernoulliMixture(9, 8, **KINDS[kind], device="cpu")
    history = fit_mixture(model, data(5000), MixtureTraining(**settings), rng=rng("fit"))
    return kl_divergence(log_weights(TARGET, BETA), visible_law(model)), history


def test_monte_carlo_and_stepwise_em_end_near_where_exact_em_does():
    exact, history = divergence("even", epochs=60)
    assert exact < 0.08 and history.column("loss")[-1] < history.column("loss")[0]
    many, _ = divergence("even", epochs=60, samples=20)
    averaged, _ = divergence("even", epochs=60, samples=1, decay=0.7)
    batches, _ = divergence("even", epochs=20, batch_size=250)
    for other in (many, averaged, batches):
        assert other < exact + 0.02
    _, alone = divergence("even", epochs=60, samples=1)
    assert (np.diff(alone.column("loss")) > 0).any()  # with one draw and no average it goes on fluctuating


class Watched(ExpectationMaximization):
    """Keeps every set of counts that the averages are made of."""

    def __init__(self, posterior, **options):
        super().__init__(posterior, **options)
        self.seen_counts = []

    def _counts(self, model, slopes):
        self.seen_counts.append(super()._counts(model, slopes))
        return self.seen_counts[-1]


@pytest.mark.parametrize("decay", [1.0, 0.7])
def test_with_a_decay_of_one_all_steps_weigh_alike(decay):
    """(t + 2)^-1 is the plain mean of the counts of the start and of every step, each of them a batch."""
    v, model = data(700), mixture()
    posterior = MixturePosterior(700, PRIORS["map"])
    steps, settings = Watched(posterior, every_batch=True, decay=decay), MixtureTraining(epochs=3, batch_size=70)
    fit(model, v, posterior, settings.training(1), rng=rng("fit"), transforms=[steps])
    assert len(steps.seen_counts) == 31
    for running, each in zip(steps.counts, zip(*steps.seen_counts, strict=True), strict=True):
        assert torch.allclose(running, torch.stack(each).mean(0), rtol=1e-12) is (decay == 1)


def test_the_history_holds_what_is_monitored_on_data_held_back():
    model, held = BernoulliMixture(9, 4, device="cpu"), data(400, "held")
    seen = []
    history = fit_mixture(
        model,
        data().to(torch.int8),
        MixtureTraining(epochs=30, monitor_every=10, stop_on="kl", patience=1000),
        rng=rng("fit"),
        monitors=suited(model, MixturePosterior(2000), held, TARGET, BETA),
        on_epoch=seen.append,
    )
    assert len(seen) == len(history) == 30 and history.stopped == "finished"
    assert history[-1]["kl"] == pytest.approx(kl_divergence(log_weights(TARGET, BETA), visible_law(model)))
    assert history[-1]["components"] == pytest.approx(effective_components(model))
    assert {"epoch", "seconds", "loss", "learning_rate"} <= set(history[0])
    alone = suited(model, MixturePosterior(2000), held)
    assert "log_likelihood" in alone and "kl" not in alone


WAYS = {
    "exact": MixtureTraining(epochs=8, monitor_every=3),
    "sampled": MixtureTraining(epochs=8, samples=2, decay=0.6, monitor_every=3),
    "stepwise": MixtureTraining(epochs=8, batch_size=170, monitor_every=3),
}


class Interrupt:
    """Ctrl-C after an epoch."""

    def __call__(self, record):
        if record["epoch"] == 5:
            raise KeyboardInterrupt


def timeless(history):
    return [{name: value for name, value in record.items() if name != "seconds"} for record in history]


@pytest.mark.parametrize("way", WAYS)
def test_an_interrupted_fit_goes_on_bit_for_bit(tmp_path, way):
    v, settings = data(500), WAYS[way]
    whole, part, resumed = (BernoulliMixture(9, 4, device="cpu") for _ in range(3))
    history = fit_mixture(whole, v, settings, rng=rng("fit"), checkpoint=tmp_path / "whole.pt")
    options = {"rng": rng("fit"), "checkpoint": tmp_path / "part.pt"}
    broken = fit_mixture(part, v, settings, on_epoch=Interrupt(), **options)
    assert broken.stopped == "interrupted" and len(broken) == 5
    again = fit_mixture(resumed, v, settings, **options | {"rng": rng("other")}, resume=True)
    assert timeless(again) == timeless(history)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])
        assert torch.equal(value, load_model(tmp_path / "part.pt", "cpu").state_dict()[name])
    assert load(tmp_path / "part.pt").epoch == 8


def test_another_fit_is_not_resumed(tmp_path):
    v, model = data(500), BernoulliMixture(9, 4, device="cpu")
    options = {"rng": rng("fit"), "checkpoint": tmp_path / "a.pt"}
    fit_mixture(model, v, MixtureTraining(epochs=2), **options)
    with pytest.raises(ValueError, match=r"sites was 0\.5 and is now 0\.2"):
        fit_mixture(model, v, MixtureTraining(epochs=4, prior=PseudoCounts(sites=0.2)), resume=True, **options)
    with pytest.raises(ValueError, match="decay was"):
        fit_mixture(model, v, MixtureTraining(epochs=4, decay=0.6), resume=True, **options)


def test_components_without_data_stay_where_they_are_and_are_told_of(tmp_path):
    up = torch.ones(200)
    v = torch.stack([up, -up]).repeat(50, 1)
    model, three = (BernoulliMixture(200, k, device="cpu") for k in (2, 3))
    stray = torch.tensor([9.0, -9.0]).repeat(100)  # responsible for e^-1800 of any configuration: zero in any float
    with torch.no_grad():
        model.log_odds.copy_(torch.stack([3 * up, -3 * up]))
        three.log_odds.copy_(torch.stack([3 * up, -3 * up, stray]))
    settings = MixtureTraining(epochs=5, prior=PseudoCounts(), checkpoint_seconds=0.0)
    with pytest.warns(RuntimeWarning, match="1 of 3 components hold less than one configuration of 100"):
        fit_mixture(three, v, settings, rng=rng("fit"), start=False, checkpoint=tmp_path / "a.pt")
    assert empty_components(three, 100) == 1 and effective_components(three) == pytest.approx(2, abs=1e-3)
    stored = load_model(tmp_path / "a.pt", "cpu")
    assert torch.equal(stored.log_odds[2], stray)
    assert float(stored.log_weights[2].detach().exp()) == pytest.approx(1e-8, rel=0.01)
    assert float(three.log_prob(v).mean().detach()) == pytest.approx(-np.log(2), abs=1e-3)
    with torch.no_grad():
        three.log_weights[2] = -1e4  # a weight of zero exactly
    with pytest.warns(RuntimeWarning, match="1 of 3"):
        fit_mixture(three.double(), v, settings, rng=rng("fit"), start=False)
    assert torch.equal(three.log_odds[2].float(), stray)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_mixture(model, v, settings, rng=rng("fit"), start=False)


def test_settings_say_which_steps_are_taken():
    posterior = MixturePosterior(100)
    found = [
        (steps.every_batch, steps.decay)
        for steps in (
            MixtureTraining().steps(posterior),
            MixtureTraining(samples=3, decay=0.6).steps(posterior),
            MixtureTraining(batch_size=10).steps(posterior),
        )
    ]
    assert found == [(False, 0.0), (False, 0.6), (True, 0.7)]
    assert MixtureTraining().training(123).batch_size == 123
    assert MixtureTraining(batch_size=10).training(123).batch_size == 10


def test_components_start_on_configurations_that_are_far_apart():
    corners = torch.tensor([[1.0] * 8, [-1.0] * 8, [1.0, -1] * 4, [-1.0, 1] * 4])
    v = corners.repeat_interleave(torch.tensor([500, 5, 5, 5]), 0)
    for even, k in ((False, 4), (True, 2)):
        model = BernoulliMixture(8, k, even=even, device="cpu")
        spread_components(model, v, rng("start"))
        found = {tuple(row) for row in (model.log_odds.sign() * (model.log_odds[:, :1].sign() if even else 1)).tolist()}
        assert found == {tuple(row) for row in corners.tolist() if row[0] > 0 or not even}
    model = BernoulliMixture(8, 6, device="cpu")
    spread_components(model, v, rng("start"))  # six components on four distinct rows
    assert len({tuple(row) for row in model.log_odds.tolist()}) == 6
    bits = BernoulliMixture(8, 6, Bit(), device="cpu")
    spread_components(bits, (v > 0).float(), rng("start"))
    assert torch.equal(bits.log_odds, model.log_odds)


def test_bad_input_is_refused():
    v, model = data(100), BernoulliMixture(9, 2, device="cpu")
    for counts in ((-1.0, 0.0), (0.0, float("inf"))):
        with pytest.raises(ValueError, match="pseudo-counts are finite"):
            PseudoCounts(*counts)
    with pytest.raises(ValueError, match="1 or more data"):
        MixturePosterior(0)
    with pytest.raises(ValueError, match="need a generator"):
        MixturePosterior(100, samples=1)
    with pytest.raises(ValueError, match="VAE is none"):
        MixturePosterior(100)(VAE(9, device="cpu"), v)
    for options in ({"batch_size": 10, "decay": 0.0}, {"decay": 2.0}, {"epochs": 0}):
        with pytest.raises(ValueError, match=r"decay|epochs"):
            MixtureTraining(**options)
    few = MixturePosterior(50)
    with pytest.raises(ValueError, match="more data than the 50"):
        fit(model, v, few, Training(optimizer="sgd"), rng=rng(), transforms=[ExpectationMaximization(few)])
    with pytest.raises(ValueError, match="rows of 9 visible sites"):
        fit_mixture(model, v[:, :4], MixtureTraining(), rng=rng(), start=False)
