"""Laws averaged over symmetries, against the average taken by hand over every configuration."""

import json
import math

import pytest
import torch

from ebmphys.checkpoint import Checkpoint, load_model, save
from ebmphys.energies import ferromagnet
from ebmphys.exact.enumeration import kl_divergence, log_weights, states
from ebmphys.generators import MADE, FrontierNetwork, PixelCNN, Symmetrised
from ebmphys.generators.autoregressive.symmetrised import lattice_moves
from ebmphys.lattice import Lattice
from ebmphys.likelihood import visible_law
from ebmphys.units import Bit
from tests.generators.test_autoregressive import chi_square_p, randomised, rng

SQUARE, OBLONG = Lattice((3, 3)), Lattice((2, 4))


def laws():
    made = MADE(9, (12,), device="cpu")
    return {
        "point group": Symmetrised(made, SQUARE),
        "flip": Symmetrised(MADE(8, (12,), Bit(), device="cpu"), OBLONG, point_group=False, flip=True),
        "everything": Symmetrised(PixelCNN(SQUARE, 3, 1, device="cpu"), SQUARE, translations=1, flip=True),
        "some translations": Symmetrised(
            FrontierNetwork(OBLONG, (5,), symmetric=True, device="cpu"), OBLONG, translations=2
        ),
        "triangular": Symmetrised(made, Lattice((3, 3), "triangular"), point_group=False, translations=1),
    }


LAWS = {name: randomised(model).double() for name, model in laws().items()}
every_law = pytest.mark.parametrize("name", LAWS)


@every_law
@torch.no_grad()
def test_the_law_is_the_average_over_images_and_has_the_symmetries(name):
    model = LAWS[name]
    v = states(model.visible_unit.values, model.n_visible, dtype=torch.float64)
    law, turned = model.log_prob(v).exp(), sum(model.visible_unit.values) - v
    assert float(law.sum()) == pytest.approx(1, abs=1e-10)
    images = [w[:, move] for move in model.moves for w in ([v, turned] if model.flip else [v])]
    torch.testing.assert_close(law, sum(model.model.log_prob(w).exp() for w in images) / len(images))
    for image in images[1::5][:4]:
        torch.testing.assert_close(model.log_prob(image).exp(), law)
    assert float((model.model.log_prob(images[-1]).exp() - model.model.log_prob(v).exp()).abs().max()) > 1e-4


@every_law
def test_draws_follow_the_averaged_law_and_not_the_law_itself(name):
    model = LAWS[name]
    x = model.draw(60_000, rng("draws"))
    assert set(x.unique().tolist()) == set(model.visible_unit.values)
    assert chi_square_p(x, visible_law(model)) > 1e-4
    assert chi_square_p(x, visible_law(model.model)) < 1e-8


def test_draws_are_moved_by_inverses():
    """A move that is not its own inverse tells the two apart: all weight on one configuration."""
    chain = Lattice((5,))
    made = MADE(5, (), device="cpu")
    with torch.no_grad():
        made.last.bias.copy_(torch.tensor([30.0, 30.0, -30.0, -30.0, -30.0]))
    model = Symmetrised(made, chain, point_group=False, translations=1)
    model.moves = model.moves[1:2]
    assert float(model.log_prob(model.draw(3, rng("x"))).min().detach()) > -1e-6


@pytest.mark.parametrize(
    ("lattice", "options", "count"),
    [
        (Lattice((4, 4)), (True, None), 8),
        (Lattice((4, 4)), (True, 2), 32),
        (Lattice((4, 4)), (True, 1), 128),
        (Lattice((4, 4)), (False, 1), 16),
        (Lattice((3, 4)), (True, None), 4),
        (Lattice((4, 4), periodic=(True, False)), (True, 1), 16),
        (Lattice((3, 3, 3)), (True, None), 48),
        (Lattice((2, 2)), (True, 1), 8),
        (Lattice((4, 6), "triangular"), (False, 2), 6),
        (Lattice((2, 2), "honeycomb"), (False, 1), 4),
    ],
)
def test_moves_are_the_symmetries_each_once(lattice, options, count):
    moves = lattice_moves(lattice, *options)
    assert moves.shape == (count, lattice.n_sites)
    assert len({tuple(move) for move in moves.tolist()}) == count
    bonds = sorted(tuple(sorted(bond)) for bond in lattice.bonds.tolist())
    for move in moves:
        assert sorted(tuple(sorted(bond)) for bond in move[lattice.bonds].tolist()) == bonds


def test_averaging_brings_the_law_nearer_to_one_that_has_the_symmetries():
    """KL(p || average) is at most the average KL(p || image), by convexity, and here well below it."""
    log_p = log_weights(ferromagnet((3, 3), device="cpu"), 0.3)
    for name in ("point group", "everything"):
        model = LAWS[name]
        alone, averaged = (kl_divergence(log_p, visible_law(q)) for q in (model.model, model))
        assert averaged < 0.9 * alone


def test_gradients_pass_through_the_average_and_rows_are_taken_a_few_at_a_time():
    model = LAWS["everything"]
    v = model.draw(60, rng("v")).double()
    model.zero_grad()
    model.log_prob(v.reshape(3, 20, 9)).mean().backward()
    found = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    images = torch.cat([v[:, model.moves], -v[:, model.moves]], 1)
    (model.model.log_prob(images).logsumexp(1) - math.log(144)).mean().backward()
    for one, p in zip(found, model.parameters(), strict=True):
        torch.testing.assert_close(one, p.grad)


@every_law
def test_config_and_parameters_come_back_from_a_checkpoint(name, tmp_path):
    model = LAWS[name]
    assert type(model).from_config(json.loads(json.dumps(model.config))).config == model.config
    parameters = {key: value.float() for key, value in model.state_dict().items()}
    save(tmp_path / "model.pt", Checkpoint(config=model.config, parameters=parameters))
    twin = load_model(tmp_path / "model.pt", "cpu")
    torch.testing.assert_close(visible_law(twin), visible_law(model), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Symmetrised(MADE(8), SQUARE), "has 9 sites and the model 8"),
        (lambda: Symmetrised(MADE(8), OBLONG, translations=3), "must divide"),
        (lambda: Symmetrised(MADE(9), Lattice((3, 3), "triangular")), "hypercubic"),
        (
            lambda: Symmetrised.from_config({"graph": SQUARE.config, "of": {"model": "vae"}}),
            "made, frontier, pixelcnn",
        ),
    ],
)
def test_bad_input_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
