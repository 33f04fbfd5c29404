"""The conditional VAE against enumerated laws, hand-made sums over labels, and temperatures that it never saw."""

import json
import math

import pytest
import torch

from ebmphys.checkpoint import Checkpoint, load_model, save
from ebmphys.energies import ferromagnet
from ebmphys.exact.enumeration import kl_divergence, log_weights, states
from ebmphys.generators import GENERATORS, ConditionalVAE, Convolutions, Label, Number, Temperature
from ebmphys.generators.gaussian import Posterior, gaussian_kl
from ebmphys.likelihood import enumerated_log_law, log_likelihood
from ebmphys.objectives import ELBO, Conditional, ImportanceWeighted, SemiSupervised
from ebmphys.objectives.conditional import log_joint
from ebmphys.rng import generator
from ebmphys.train import GlobalFlip, LatticeMoves, OnVisible, Training, fit
from ebmphys.units import Bit, Gaussian, Spin
from tests.generators.laws import chi_square_p, strong

KINDS = {
    "mlp": {},
    "convolutional": {"convolutions": Convolutions((2, 3), (3,), stride=1)},
    "autoregressive": {"decoder_hidden": (12,)},
    "symmetric": {"symmetric": True},
    "bits": {"unit": Bit()},
    "standard prior": {"learned_prior": False},
}
RANGE = Temperature(1.5, 3.5)


def rng(*path):
    return generator(17, *path, device="cpu")


THREE = (RANGE, Number(-1.0, 1.0), Label(3))


def cvae(n=6, told=THREE, **options):
    model = strong(ConditionalVAE(n, told, (12, 10), rng=rng("weights"), device="cpu", **options))
    if model.prior is not None:  # one that depends on its condition
        torch.nn.init.normal_(model.prior.layers[-1].weight, std=0.7, generator=rng("prior"))
    return model


def spins(count, n=6):
    return torch.where(torch.rand(count, n, generator=rng("spins")) < 0.5, -1.0, 1.0)


def conditions(count):
    u = torch.rand(3, count, generator=rng("conditions"))
    return torch.stack([1.5 + 2 * u[0], 2 * u[1] - 1, (3 * u[2]).floor()], -1)


def test_a_temperature_enters_as_beta_scaled_to_its_range():
    t = torch.tensor([1.5, 3.5, 2 / (1 / 1.5 + 1 / 3.5), 2.0], dtype=torch.float64)
    scaled = RANGE.features(t).squeeze(-1)
    torch.testing.assert_close(scaled[:3], torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64))
    assert float(scaled[3]) == pytest.approx(-1 + 2 * (1 / 2 - 1 / 3.5) / (1 / 1.5 - 1 / 3.5))
    assert Number(-1.0, 3.0).features(torch.tensor([-1.0, 0.0, 3.0])).squeeze(-1).tolist() == [-1.0, -0.5, 1.0]
    assert Label(3).features(torch.tensor([2.0, 0.0])).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_networks_are_shown_the_conditions_after_the_sites_and_after_the_latents():
    model, v, z = cvae(learned_prior=False), spins(4), torch.randn(4, 2, generator=rng("z"))
    held = model.at([2.0, 0.5, 1.0])
    beta = -1 + 2 * (1 / 2 - 1 / 3.5) / (1 / 1.5 - 1 / 3.5)
    shown = torch.tensor([beta, 0.5, 0.0, 1.0, 0.0]).expand(4, 5)
    torch.testing.assert_close(held.encode(v).mean, model.encoder.layers(torch.cat([v, shown], 1))[:, :2])
    torch.testing.assert_close(held.decode(z), model.decoder(torch.cat([z, shown], 1)))


def test_a_learned_prior_is_what_the_posterior_is_measured_from_and_what_draws_begin_with():
    model, v, z = cvae(), spins(4), torch.randn(4, 2, generator=rng("z"))
    held = model.at([2.0, 0.5, 1.0])
    mean, log_variance = model.prior(held.condition)
    assert float(mean.detach().abs().max()) > 0.1 and float(log_variance.detach().abs().max()) > 0.1
    plain = Posterior.from_outputs(model.encoder(held.features(v), held.condition), 2)
    expected = gaussian_kl(plain.mean, plain.log_variance, mean.expand(4, 2), log_variance.expand(4, 2))
    torch.testing.assert_close(held.encode(v).kl_per_latent().sum(-1), expected)
    shown = torch.cat([mean + (0.5 * log_variance).exp() * z, held.condition.expand(4, 5)], 1)
    torch.testing.assert_close(held.decode(z), model.decoder(shown))
    # The same point of the latent space by either way: the posterior's own, and that of whitened latents.
    torch.testing.assert_close(model.prior.colour(held.encode(v).at(z), held.condition), plain.at(z))
    began = ConditionalVAE(6, THREE, rng=rng("weights"), device="cpu").prior(held.condition)
    assert not began[0].any() and not began[1].any()


def test_a_file_from_before_priors_were_learned_is_read_as_it_was_written():
    model = cvae(learned_prior=False)
    config = {name: value for name, value in model.config.items() if name != "learned_prior"}
    twin = ConditionalVAE.from_config(config)
    twin.load_state_dict(model.state_dict())
    noise = torch.randn(4, 2, generator=rng("noise"))
    c = [2.0, 0.5, 1.0]
    torch.testing.assert_close(twin.at(c).elbo(spins(4), noise), model.at(c).elbo(spins(4), noise))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_with_conditions_of_their_own_count_as_each_alone(kind):
    model, v, c = cvae(**KINDS[kind]), spins(5), conditions(5)
    noise = torch.randn(4, 5, 2, generator=rng("noise"))
    together = model.at(c).elbo(v, noise).detach()
    alone = [model.at(c[k]).elbo(v[k : k + 1], noise[:, k : k + 1])[:, 0].detach() for k in range(5)]
    torch.testing.assert_close(together, torch.stack(alone, 1))
    wrong = model.at(c.roll(1, 0)).elbo(v, noise).detach()
    assert float((wrong - together).abs().min()) > 1e-3
    bound, weighted = Conditional(ELBO(rng("elbo"), 4)), Conditional(ImportanceWeighted(rng("elbo"), 4))
    drawn = torch.randn(20, 2, generator=rng("elbo")).reshape(4, 5, 2)
    rows = torch.cat([v, c], 1)
    torch.testing.assert_close(bound(model, rows), -model.at(c).elbo(v, drawn).mean())
    log_w = model.at(c).log_importance_weights(v, drawn)
    torch.testing.assert_close(weighted(model, rows), math.log(4) - log_w.logsumexp(0).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_draws_follow_the_law_at_their_condition_and_at_no_other(kind):
    model = cvae(told=[RANGE], **KINDS[kind])
    law = enumerated_log_law(model.at(2.0), 1e-6)
    assert float(law.exp().sum()) == pytest.approx(1, abs=1e-6)
    mirrored = torch.allclose(law, law.flip(0), atol=1e-4)
    assert mirrored == (kind == "symmetric")
    n = 4000 if kind == "autoregressive" else 100_000
    x = model.at(2.0).draw(n, rng("draws"))
    assert chi_square_p(x, law) > 1e-3
    assert chi_square_p(model.at(3.4).draw(n, rng("draws")), law) < 1e-6
    own = model.at(torch.full((n, 1), 2.0)).draw(n, rng("draws"))
    assert torch.equal(own, x)


def test_draws_without_a_condition_are_of_the_mean_over_conditions():
    model = cvae(told=[Label(3)])
    laws = torch.stack([enumerated_log_law(model.at(y), 1e-6) for y in (0, 1, 2)])
    x = model.draw(100_000, rng("draws"))
    assert chi_square_p(x, laws.logsumexp(0) - math.log(3)) > 1e-3
    assert chi_square_p(x, laws[:2].logsumexp(0) - math.log(2)) < 1e-6


@pytest.mark.parametrize(
    ("options", "epochs", "reached", "least"),
    [({"symmetric": True}, 40, 0.27, 0.02), ({"decoder_hidden": (48,)}, 20, 0.05, 0.2)],
)
def test_a_temperature_it_never_saw(options, epochs, reached, least):
    """4 x 4 at five temperatures: at 2.25, which is none of them, close to the exact law, and closest when told so."""
    ising, every, seen = ferromagnet((4, 4), device="cpu"), states((-1.0, 1.0), 16), (1.5, 2.0, 2.5, 3.0, 3.5)
    rows = []
    for t in seen:
        law = torch.softmax(log_weights(ising, 1 / t), 0)
        v = every[torch.multinomial(law, 2000, replacement=True, generator=rng("data", f"{t}"))]
        rows.append(torch.cat([v, torch.full((2000, 1), t)], 1))
    model = ConditionalVAE(16, [RANGE], (48,), rng=rng("weights"), device="cpu", **options)
    moves = [OnVisible(GlobalFlip(Spin()), 16), OnVisible(LatticeMoves(ising.graph), 16)]
    settings = Training(epochs=epochs, batch_size=250, learning_rate=1e-2)
    fit(model, torch.cat(rows), Conditional(ELBO(rng("objective"))), settings, rng=rng("fit"), augment=moves)

    def divergence(t):
        return kl_divergence(log_weights(ising, 1 / 2.25), enumerated_log_law(model.at(t), 3e-2))

    told = divergence(2.25)
    assert told < reached
    wrong = (2.0, 2.5, 3.0) if options.get("symmetric") else (1.5, 3.0)
    assert all(divergence(t) > told + least for t in wrong)


def unsupervised(n=6):
    return cvae(n, [Label(3)], classifier=True)


def test_the_loss_sums_over_the_labels_that_are_not_known():
    model, v = unsupervised(), spins(8)
    y = torch.tensor([0.0, 1.0, 2.0, 2.0, *[math.nan] * 4])[:, None]
    with torch.no_grad():
        loss = SemiSupervised(rng("loss"), 3, weight=0.7)(model, torch.cat([v, y], 1))
        noise = torch.randn(3, 8, 2, generator=rng("loss"))
        r = torch.softmax(model.classifier(v, torch.zeros(8, 0)), -1)
        bounds = torch.stack([model.at(k).elbo(v, noise).mean(0) - math.log(3) for k in (0, 1, 2)], 1)
    expected = sum(bounds[i, int(y[i])] for i in range(4))
    expected += sum(r[i, k] * (bounds[i, k] - r[i, k].log()) for i in range(4, 8) for k in range(3))
    known = -sum(r[i, int(y[i])].log() for i in range(4)) / 4
    torch.testing.assert_close(loss, 0.7 * known - expected / 8)
    assert abs(float(loss - (0.7 * known - expected / 8 - math.log(3)))) > 0.5


def test_the_sum_over_labels_bounds_the_exact_likelihood_and_is_tight_at_the_posterior():
    model, v = unsupervised(4), states((-1.0, 1.0), 4)
    exact = torch.stack([log_likelihood(model.at(y), v) for y in (0, 1, 2)], 1).logsumexp(1) - math.log(3)
    c, noise = torch.full((16, 1), math.nan), torch.randn(4000, 16, 2, generator=rng("noise"))
    with torch.no_grad():
        joint = log_joint(model, v, torch.zeros(16, 1), noise).double()
        log_r = model.log_labels(v, c).double()
    bound = (log_r.exp() * (joint - log_r)).sum(1)
    assert bool((bound < exact + 0.05).all())
    torch.testing.assert_close(exact.exp().sum(), torch.ones((), dtype=torch.float64), atol=1e-6, rtol=0)
    best = torch.log_softmax(joint, 1)
    torch.testing.assert_close((best.exp() * (joint - best)).sum(1), joint.logsumexp(1))
    assert bool((bound < joint.logsumexp(1)).all())


def test_few_labels_and_many_configurations_teach_the_classifier_more_than_the_few_alone():
    """Independent spins in the fields of two patterns, two of each known: the best classifier is a scalar product."""
    patterns = torch.where(torch.rand(2, 16, generator=rng("patterns")) < 0.5, -1.0, 1.0)
    truth = torch.arange(2).repeat_interleave(1500)
    v = Spin().draw(1.2 * patterns[truth], torch.rand(3000, 16, generator=rng("v")))
    y = torch.full((3000, 1), math.nan)
    y[[0, 1, 1500, 1501], 0] = torch.tensor([0.0, 0.0, 1.0, 1.0])

    def accuracy(rows, epochs):
        model = ConditionalVAE(16, [Label(2)], (16,), 1, classifier=True, rng=rng("weights"), device="cpu")
        settings = Training(epochs=epochs, batch_size=300, learning_rate=1e-2)
        fit(model, rows, SemiSupervised(rng("objective")), settings, rng=rng("fit"))
        with torch.no_grad():
            return float((model.log_labels(v, y).argmax(1) == truth).double().mean())

    rows = torch.cat([v, y], 1)
    best = float((((v @ (patterns[1] - patterns[0])) > 0).long() == truth).double().mean())
    assert best - 0.02 < accuracy(rows, 30)
    assert accuracy(rows[[0, 1, 1500, 1501]], 200) < best - 0.04


@pytest.mark.parametrize("kind", KINDS)
def test_config_and_parameters_give_the_model_back_and_so_they_do_at_one_condition(kind, tmp_path):
    model = cvae(classifier=True, **KINDS[kind])
    v, noise, c = spins(5), torch.randn(5, 2, generator=rng("noise")), [2.0, 0.5, 1.0]
    for one, held in ((model, lambda m: m.at(c)), (model.at(c), lambda m: m)):
        config = json.loads(json.dumps(one.config))
        assert GENERATORS[config["model"]].from_config(config).config == one.config
        save(tmp_path / "model", Checkpoint(config, one.state_dict()))
        twin = load_model(tmp_path / "model", "cpu")
        torch.testing.assert_close(held(twin).elbo(v, noise), held(one).elbo(v, noise), rtol=0, atol=0)
    torch.testing.assert_close(
        twin.model.log_labels(v, conditions(5)), model.log_labels(v, conditions(5)), rtol=0, atol=0
    )


@pytest.mark.parametrize("known", [True, False])
def test_a_training_is_resumed_bit_for_bit(known, tmp_path):
    """With every label known, by an objective of the law at each; with some unknown, by the sum over them."""
    y = torch.tensor([0.0, 1.0, 1.0 if known else math.nan]).repeat(20)
    rows = torch.cat([spins(60), y[:, None]], 1)

    def run(epochs, resume=False, path=tmp_path / "run"):
        model, stream = cvae(told=[Label(2)], classifier=True), rng("fit")
        objective = Conditional(ELBO(rng("objective"))) if known else SemiSupervised(rng("objective"))
        settings = Training(epochs=epochs, batch_size=20, schedule="constant")
        fit(model, rows, objective, settings, rng=stream, checkpoint=path, resume=resume)
        return model.state_dict()

    run(3)
    resumed, whole = run(6, resume=True), run(6, path=tmp_path / "other")
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_symmetries_move_the_configuration_and_leave_its_conditions():
    rows = torch.cat([spins(50), conditions(50)], 1)
    moved = OnVisible(GlobalFlip(Spin()), 6)(rows, rng("flip"))
    assert torch.equal(moved[:, 6:], rows[:, 6:])
    assert torch.equal(moved[:, :6], GlobalFlip(Spin())(rows[:, :6], rng("flip")))
    assert not torch.equal(GlobalFlip(Spin())(rows, rng("flip"))[:, 6:], rows[:, 6:])


def test_no_global_generator_is_read():
    before = torch.get_rng_state()
    model = ConditionalVAE(6, [RANGE], (8,), device="cpu")
    model.at(2.0).draw(3, rng("x"))
    model.draw(3, rng("x"))
    Conditional(ELBO(rng("elbo")))(model, torch.cat([spins(4), torch.full((4, 1), 2.0)], 1))
    assert torch.equal(torch.get_rng_state(), before)


def test_bad_input_is_refused():
    model = cvae()
    with pytest.raises(ValueError, match="without one take VAE"):
        cvae(told=[])
    with pytest.raises(ValueError, match="two-valued"):
        cvae(unit=Gaussian())
    with pytest.raises(ValueError, match="continuous ones must all be known"):
        cvae(told=[RANGE], classifier=True)
    with pytest.raises(ValueError, match="has not 6 sites"):
        cvae(convolutions=Convolutions((4, 4)))
    with pytest.raises(ValueError, match="two values or more must be trained on"):
        Temperature(2.0, 2.0)
    with pytest.raises(ValueError, match="has 3 conditions"):
        model.at(2.0)
    for c in ([-1.0, 0, 0], [2.0, math.nan, 0], [2.0, 0, 3], [2.0, 0, 0.5], [2.0, 0, math.nan]):
        with pytest.raises(ValueError, match="cannot be"):
            model.at(c)
    with pytest.warns(RuntimeWarning, match="outside the range of the training"):
        model.at([4.0, 0, 0])
    with pytest.raises(ValueError, match="for 5 rows and got 4"):
        model.at(conditions(5)).draw(4, rng("x"))
    with pytest.raises(ValueError, match="no classifier"):
        SemiSupervised(rng())(model, torch.cat([spins(4), conditions(4)], 1))
    rows = torch.cat([spins(4), conditions(4)], 1)
    model.check_rows(rows)
    with pytest.raises(ValueError, match="6 visible sites and 3 conditions"):
        model.check_rows(rows[:, :6])
    rows[0, 8] = math.nan
    with pytest.raises(ValueError, match="with a classifier"):
        model.check_rows(rows)
    cvae(classifier=True).check_rows(rows)
    rows[0, 6] = math.nan
    with pytest.raises(ValueError, match="hold a temperature that cannot be"):
        cvae(classifier=True).check_rows(rows)
    with pytest.raises(ValueError, match="told no conditions"):
        Conditional(ELBO(rng()))(torch.nn.Linear(2, 2), rows)
