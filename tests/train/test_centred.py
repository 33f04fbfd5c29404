"""Centred gradients: coordinates in which bits are spins."""

import copy

import pytest
import torch

from ebmphys.energies import RBM, BoltzmannMachine, ConvolutionalRBM, DeepBoltzmannMachine, ferromagnet
from ebmphys.exact.enumeration import visible_states
from ebmphys.lattice import Lattice
from ebmphys.train import Centred, Training, fit, suited_transforms
from ebmphys.train.gradients.pairs import pairs_of, statistics_of
from ebmphys.units import Bit, Gaussian, Potts, Spin
from tests.train.bits import KL, N, bit_machines, descend, law_of_data, log_law, rng


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
