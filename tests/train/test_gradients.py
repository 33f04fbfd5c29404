"""What gradients go through: coordinates in which bits are spins, the Fisher information, bounds."""

import copy

import pytest
import torch

from ebmphys.checkpoint import load, save
from ebmphys.energies import RBM, BoltzmannMachine, ConvolutionalRBM, DeepBoltzmannMachine, as_spins, ferromagnet
from ebmphys.exact.enumeration import log_weights, visible_states
from ebmphys.lattice import Lattice
from ebmphys.likelihood import kl_to_exact
from ebmphys.objectives import Clamped, ContrastiveDivergence, Exact, TwoPhase
from ebmphys.rng import generator
from ebmphys.train import Centred, Clipped, NaturalGradient, Training, fit, suited_transforms
from ebmphys.train.gradients.natural import energy_gradients, solve
from ebmphys.train.gradients.pairs import pairs_of, statistics_of
from ebmphys.units import Bit, Gaussian, Potts, Spin

N = 5


def rng(*path):
    return generator(7, "gradients", *path, device="cpu")


def randomised(model, scale=0.5):
    noise = rng("model")
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=noise) * scale)
    return model.double()


def bit_machines():
    ring = Lattice((N,))
    return {
        "rbm": randomised(RBM(N, 3, Bit(), Bit(), device="cpu")),
        "rbm of bits and spins": randomised(RBM(N, 3, Bit(), Spin(), device="cpu")),
        "boltzmann": randomised(BoltzmannMachine(N, unit=Bit(), device="cpu")),
        "boltzmann with hidden": randomised(BoltzmannMachine(N + 3, 3, Bit(), device="cpu")),
        "boltzmann, tied": randomised(BoltzmannMachine.translation_invariant(ring, unit=Bit(), device="cpu")),
        "deep": randomised(DeepBoltzmannMachine(N, (3, 2), Bit(), device="cpu")),
    }


def law_of_data():
    return torch.softmax(1.5 * torch.randn(2**N, generator=rng("law"), dtype=torch.float64), 0)


class KL:
    """The exact KL from a law over visible states, whatever the batch."""

    def __init__(self, law):
        self.law = law

    def __call__(self, model, v):
        energies = model.free_energy(visible_states(model).double())
        return (self.law * energies).sum() + torch.logsumexp(-energies, 0)


def turned_over(model):
    """The same law with every visible bit called by its other name, x -> 1 - x, in place."""
    flip = torch.zeros(model.n_sites, dtype=torch.float64)
    flip[: model.n_visible] = 1
    pairs = pairs_of(model)
    sign = 1 - 2 * statistics_of(pairs, flip)  # -1 where a site is flipped
    with torch.no_grad():
        fields = pairs.fields([w.clone() for w in pairs.weights], flip)
        for bias, field in zip(pairs.biases, fields, strict=True):
            bias.add_(field)  # what a flipped neighbour leaves
        spans = pairs.spans(sign)[0] if not isinstance(model, BoltzmannMachine) else [bond_signs(model, sign)]
        for w, s in zip(pairs.weights, spans, strict=True):
            w.mul_(s)
        for bias, s in zip(pairs.biases, split_like(sign, pairs.biases), strict=True):
            bias.mul_(s)
    return model


def bond_signs(model, sign):
    left, right = torch.from_numpy(model.graph.bonds).unbind(-1)
    return torch.zeros_like(model.weights).index_copy_(0, model.ties[0], sign[left] * sign[right])


def split_like(sign, biases):
    tied = len(biases) == 1 and len(biases[0]) == 1
    return [sign[:1]] if tied else sign.split([len(bias) for bias in biases])


def log_law(model):
    return torch.log_softmax(-model.free_energy(visible_states(model).double()).detach(), 0)


def descend(model, objective, v, transforms, steps=15, optimizer="adam", rate=0.05):
    kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[optimizer]
    stepper = kind(model.parameters(), lr=rate)
    for _ in range(steps):
        stepper.zero_grad()
        objective(model, v).backward()
        for each in transforms:
            each.before_step(model, v, getattr(objective, "draws", None))
        stepper.step()
        for each in reversed(transforms):
            each.after_step(model)
    return model


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("name", bit_machines())
def test_centred_learning_does_not_know_which_value_of_a_bit_is_called_one(name, optimizer):
    one = bit_machines()[name]
    other = turned_over(copy.deepcopy(one))
    v, law = visible_states(one).double()[:9], law_of_data()  # a batch with means far from 1/2
    torch.testing.assert_close(log_law(other).flip(0), log_law(one))  # x -> 1 - x turns the order of states round
    start = log_law(one)
    for transforms in ([Centred()], []):
        a, b = copy.deepcopy(one), copy.deepcopy(other)
        descend(a, KL(law), v, transforms, optimizer=optimizer)
        descend(b, KL(law.flip(0)), 1 - v, [Centred()] if transforms else [], optimizer=optimizer)
        gap = (log_law(b).flip(0) - log_law(a)).abs().max()
        moved = (log_law(a) - start).abs().max()
        assert moved > 0.1 and (gap < 1e-9 if transforms else gap > 1e-3)


class Middle(Centred):
    """Centred at the middle of every unit's values, whatever the data."""

    def _follow(self, machine, v):
        self.means = statistics_of(machine.pairs, torch.full((machine.model.n_sites,), 0.5).to(v))
        return self.means


def spin_twin(bits, spins):
    """``spins``, a machine of the same shape, with the law of ``bits``: x = (1 + s) / 2 put into the energy by hand."""
    middle = torch.full((bits.n_sites,), 0.5, dtype=torch.float64)
    fields = pairs_of(bits).fields([w.detach() for w in pairs_of(bits).weights], middle)
    with torch.no_grad():
        for own, given in zip(pairs_of(spins).weights, pairs_of(bits).weights, strict=True):
            own.copy_(given / 4)
        for own, given, field in zip(pairs_of(spins).biases, pairs_of(bits).biases, fields, strict=True):
            own.copy_((given + field) / 2)
    return spins


TWINS = {
    "rbm": RBM(N, 3, device="cpu"),
    "boltzmann": BoltzmannMachine(N, device="cpu"),
    "boltzmann with hidden": BoltzmannMachine(N + 3, 3, device="cpu"),
    "boltzmann, tied": BoltzmannMachine.translation_invariant(Lattice((N,)), device="cpu"),
    "deep": DeepBoltzmannMachine(N, (3, 2), device="cpu"),
}


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("name", TWINS)
def test_centred_at_the_middle_bits_learn_as_spins_do(name, optimizer):
    bits = bit_machines()[name]
    spins, law = spin_twin(bits, copy.deepcopy(TWINS[name]).double()), law_of_data()
    start = log_law(spins)
    torch.testing.assert_close(log_law(bits), start)
    descend(bits, KL(law), visible_states(bits).double(), [Middle()], optimizer=optimizer)
    descend(spins, KL(law), visible_states(spins).double(), [], optimizer=optimizer)
    torch.testing.assert_close(log_law(bits), log_law(spins), atol=1e-9, rtol=0)
    assert (log_law(spins) - start).abs().max() > 0.1


@pytest.mark.parametrize("name", bit_machines())
def test_pulling_is_the_transpose_of_the_fields(name):
    pairs = pairs_of(bit_machines()[name])
    dice = rng("transpose")
    draw = lambda like: torch.randn(like.shape, generator=dice, dtype=torch.float64)  # noqa: E731
    weights, along = [draw(w) for w in pairs.weights], [draw(b) for b in pairs.biases]
    means = torch.rand(sum(s.stop - s.start for _, s in pairs.layers), generator=dice, dtype=torch.float64)
    dot = lambda a, b: float(sum((x * y).sum() for x, y in zip(a, b, strict=True)))  # noqa: E731
    fields = pairs.fields(weights, means)
    assert dot(along, fields) == pytest.approx(dot(pairs.pull(along, means), weights), abs=1e-12)
    assert abs(dot(along, fields)) > 0.01


@pytest.mark.parametrize("name", bit_machines())
def test_fields_are_what_the_conditionals_say(name):
    model = bit_machines()[name]
    pairs, x = pairs_of(model), torch.rand(model.n_sites, generator=rng("x"), dtype=torch.float64)
    if name == "boltzmann, tied":
        x = x.mean().expand(N)  # a shared bias follows the mean over its sites
    fields = pairs.fields([w.detach() for w in pairs.weights], x)
    found = torch.cat([f + b.detach() for f, b in zip(fields, pairs.biases, strict=True)])
    found = found.expand(model.n_sites) if len(found) == 1 else found
    for block, sites in model.blocks.items():
        eta = model.conditional(x[None], block)[0].detach()
        scale = 2 if model.units[block] == Spin() else 1
        torch.testing.assert_close(found[sites] * scale, eta)


def test_only_machines_with_bits_or_potts_units_and_biases_are_centred_unasked():
    for machine in bit_machines().values():
        assert [type(t) for t in suited_transforms(machine)] == [Centred]
    lattice = Lattice((2, 3))
    for other in [
        RBM(4, 3, device="cpu"),
        RBM(4, 3, Bit(), Bit(), biases=False, device="cpu"),
        RBM(4, 3, Spin(), Potts(3), device="cpu"),
        RBM(4, 3, Gaussian(), Spin(), device="cpu"),
        ConvolutionalRBM(lattice, 2, visible=Bit(), device="cpu"),
        ferromagnet((2, 3), device="cpu"),
        torch.nn.Linear(3, 1),
    ]:
        assert suited_transforms(other) == []
    assert len(suited_transforms(RBM(4, 3, Potts(3), Spin(), device="cpu"))) == 1
    with pytest.raises(ValueError, match="this ConvolutionalRBM is none"):
        Centred().before_step(ConvolutionalRBM(lattice, 2, device="cpu"), torch.ones(2, 6), None)


def test_visible_potts_units_can_be_centred():
    states = torch.cartesian_prod(*[torch.arange(3.0)] * 3)
    law = torch.softmax(torch.randn(27, generator=rng("potts")), 0)
    data = states[torch.multinomial(law, 4000, replacement=True, generator=rng("draws"))]
    found = (data[:, None] == states).all(-1).double().mean(0)

    def likelihood(model, v):
        return model.free_energy(v).mean() + torch.logsumexp(-model.free_energy(states), 0)

    def kl(transforms):
        model = RBM(3, 4, Potts(3), Spin(), rng=rng("init"), device="cpu")
        settings = Training(epochs=15, batch_size=200, learning_rate=5e-3)
        fit(model, data, likelihood, settings, rng=rng("fit"), transforms=transforms)
        q = torch.log_softmax(-model.free_energy(states).detach().double(), 0)
        return float((found * (found.log() - q)).sum())

    assert kl(None) < 0.7 * kl(())


def fisher(model, draws, count=0):
    slopes = energy_gradients(model, draws.x).double()
    share = torch.full((len(slopes),), 1 / len(slopes), dtype=torch.float64) if draws.weights is None else draws.weights
    middle = slopes - share @ slopes
    return middle.T @ (middle * share[:, None])


def test_the_exact_fisher_information_is_the_curvature_of_log_z():
    model = bit_machines()["boltzmann"]
    shapes = [(name, p.shape, p.numel()) for name, p in model.named_parameters()]
    v = visible_states(model).double()

    def log_z(flat):
        parts = flat.split([size for *_, size in shapes])
        values = {name: part.reshape(shape) for (name, shape, _), part in zip(shapes, parts, strict=True)}
        return torch.logsumexp(-torch.func.functional_call(Energies(model), values_of(values), (v,)), 0)

    values_of = lambda values: {f"model.{name}": value for name, value in values.items()}  # noqa: E731
    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    curvature = torch.autograd.functional.hessian(log_z, flat)
    exact = fisher(model, Exact().draw(model, v))
    torch.testing.assert_close(exact, curvature, atol=1e-10, rtol=0)
    assert exact.abs().max() > 0.05
    uniform = Exact().draw(model, v)
    wrong = fisher(model, type(uniform)(uniform.x))  # control: without the weights it is another matrix
    assert (wrong - curvature).abs().max() > 1e-2


class Energies(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, v):
        return self.model.free_energy(v)


@pytest.mark.parametrize("name", ["rbm", "boltzmann", "deep"])
def test_slopes_are_those_of_autograd_row_by_row(name):
    model = bit_machines()[name]
    x = Exact().draw(model, visible_states(model).double()).x[::7]
    found = energy_gradients(model, x)
    for row, slope in zip(x, found, strict=True):
        energy = model.free_energy(row[: model.n_visible]) if model.sums_out_hidden else model.energy(row)
        one = torch.autograd.grad(energy, list(model.parameters()))
        torch.testing.assert_close(slope, torch.cat([g.flatten() for g in one]))


@pytest.mark.parametrize("n, p", [(40, 7), (7, 40)])
@pytest.mark.parametrize("weighted", [False, True])
def test_both_ways_of_solving_agree_with_the_dense_matrix(n, p, weighted):
    dice = rng("solve")
    slopes = torch.randn(n, p, generator=dice, dtype=torch.float64) + 3
    weights = torch.rand(n, generator=dice, dtype=torch.float64).softmax(0) if weighted else None
    g = torch.randn(p, generator=dice, dtype=torch.float64)
    share = torch.full((n,), 1 / n, dtype=torch.float64) if weights is None else weights
    middle = slopes - share @ slopes
    dense = middle.T @ torch.diag(share) @ middle + 0.1 * torch.eye(p, dtype=torch.float64)
    torch.testing.assert_close(solve(slopes, weights, 0.1, g), torch.linalg.solve(dense, g))


def test_natural_steps_move_the_law_alike_in_any_parameters():
    bits, law = randomised(RBM(N, 2, Bit(), Bit(), device="cpu"), 1.0), law_of_data()
    spins = as_spins(bits.float()).double()
    bits = bits.double()

    def moved(model, transforms):
        model = copy.deepcopy(model)
        start = log_law(model)
        descend(model, KL(law), visible_states(model).double(), transforms, steps=1, optimizer="sgd", rate=1e-6)
        return (log_law(model) - start) / 1e-6

    natural = lambda: [NaturalGradient(1e-9, Exact())]  # noqa: E731
    torch.testing.assert_close(moved(bits, natural()), moved(spins, natural()), atol=0.02, rtol=0.02)
    assert (moved(bits, []) - moved(spins, [])).abs().max() > 0.5  # control


def test_natural_gradient_needs_few_steps():
    model, law = bit_machines()["boltzmann"], law_of_data()
    model = randomised(model, 0.1)
    v = visible_states(model).double()
    plain = copy.deepcopy(model)
    descend(model, KL(law), v, [NaturalGradient(1e-6, Exact())], steps=12, optimizer="sgd", rate=0.7)
    descend(plain, KL(law), v, [], steps=12, optimizer="sgd", rate=0.7)
    left = [
        max(float(p.abs().max()) for p in torch.autograd.grad(KL(law)(m, v), list(m.parameters())))
        for m in (model, plain)
    ]
    assert left[0] < 1e-4 < 1e-2 < left[1]


@pytest.mark.parametrize("name", ["rbm", "deep"])
def test_the_fisher_information_of_draws_is_near_the_exact_one(name):
    model = bit_machines()[name].float()
    v = visible_states(model)
    objective = TwoPhase(ContrastiveDivergence(20, rng("fisher", name), n_chains=30_000).negative, Clamped(1, rng("p")))
    objective(model, v)
    objective(model, v)
    sampled, exact = fisher(model, objective.draws), fisher(model, Exact().draw(model, v))
    spread = (exact.diagonal()[:, None] * exact.diagonal()).sqrt()
    assert ((sampled - exact) / spread).abs().max() < 0.05 and exact.abs().max() > 0.1
    g = torch.cat([torch.randn(p.numel(), generator=rng("g")) for p in model.parameters()])
    by_draws = NaturalGradient(0.05)
    for p, part in zip(model.parameters(), g.split([p.numel() for p in model.parameters()]), strict=True):
        p.grad = part.reshape(p.shape).clone()
    by_draws.before_step(model, v, objective.draws)
    found = torch.cat([p.grad.flatten() for p in model.parameters()]).double()
    wanted = torch.linalg.solve(exact + 0.05 * torch.eye(len(exact)), g.double())
    assert (found - wanted).norm() < 0.05 * wanted.norm()


def test_clipping_bounds_the_norm_of_all_gradients_together():
    model = bit_machines()["rbm"]
    for factor in (10.0, 0.001):
        for p in model.parameters():
            p.grad = torch.full_like(p, factor)
        before = torch.cat([p.grad.flatten() for p in model.parameters()])
        Clipped(1.0).before_step(model, None, None)
        after = torch.cat([p.grad.flatten() for p in model.parameters()])
        torch.testing.assert_close(after, before * min(1.0, 1 / float(before.norm())), atol=1e-6, rtol=1e-5)


def exact_draws(target, n):
    law = torch.softmax(log_weights(target, 0.44), 0)
    return (visible_states(target)[torch.multinomial(law, n, replacement=True, generator=rng("draws"))] + 1) / 2


def bit_case(**options):
    target = ferromagnet((3, 3), device="cpu")
    model = RBM(9, 9, Bit(), Bit(), rng=rng("init"), device="cpu")
    return target, model, exact_draws(target, 3000), ContrastiveDivergence(2, rng("chains"), n_chains=200)


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
