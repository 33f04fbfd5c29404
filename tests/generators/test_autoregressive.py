"""Autoregressive networks: their law over every configuration, what each site sees, and draws that follow the law."""

import json

import numpy as np
import pytest
import torch
from scipy import stats

from ebmphys.checkpoint import Checkpoint, load_model, save
from ebmphys.exact.enumeration import states
from ebmphys.generators import GENERATORS, MADE, Autoregressive, FrontierNetwork, PixelCNN
from ebmphys.lattice import Lattice
from ebmphys.likelihood import visible_law
from ebmphys.rng import generator
from ebmphys.units import Bit, Gaussian, Spin

TORUS, STRIP = Lattice((3, 4)), Lattice((2, 4))
SHUFFLED = torch.randperm(12, generator=generator(1, "order", device="cpu")).tolist()


def rng(*path):
    return generator(5, "autoregressive", *path, device="cpu")


def randomised(model, scale=0.5):
    """Every parameter from N(0, scale^2), those that masks hide too: nothing may depend on them."""
    noise = rng("parameters")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=noise) * scale)
    return model


def networks(**options):
    options |= {"device": "cpu"}
    made = {
        "made": MADE(12, (20, 15), **options),
        "made shuffled": MADE(12, (7,), order=SHUFFLED, **options),
        "made wide and narrow": MADE(8, (5, 30, 3), **options),
        "regressions": MADE(12, (), **options),
        "one site": MADE(1, (3,), **options),
    }
    on_lattices = {
        "frontier": FrontierNetwork(TORUS, (6, 5), **options),
        "frontier strip": FrontierNetwork(STRIP, (7,), **options),
        "frontier open": FrontierNetwork(Lattice((3, 3), periodic=(False, True)), (6,), **options),
        "frontier chain": FrontierNetwork(Lattice((9,)), (6, 5, 4), **options),
        "frontier cubic": FrontierNetwork(Lattice((2, 2, 3)), (6,), **options),
        "frontier triangular": FrontierNetwork(Lattice((3, 4), "triangular"), (6,), **options),
        "pixelcnn": PixelCNN(TORUS, 4, 2, **options),
        "pixelcnn strip": PixelCNN(STRIP, 3, 3, **options),
        "pixelcnn open": PixelCNN(Lattice((3, 4), periodic=False), 4, 1, **options),
        "pixelcnn half open": PixelCNN(Lattice((4, 2), periodic=(True, False)), 3, 1, **options),
    }
    return {name: randomised(model).double() for name, model in {**made, **on_lattices}.items()}


NETWORKS = {
    f"{name}, {kind}": network
    for kind, options in {
        "spins": {},
        "symmetric": {"symmetric": True},
        "symmetric bits": {"symmetric": True, "unit": Bit()},
    }.items()
    for name, network in networks(**options).items()
}
every_network = pytest.mark.parametrize("name", NETWORKS)


def all_states(model):
    return states(model.visible_unit.values, model.n_visible, dtype=torch.float64)


@every_network
@torch.no_grad()
def test_the_law_sums_to_one_and_is_even_where_it_should_be(name):
    model = NETWORKS[name]
    law = model.log_prob(all_states(model))
    assert float(law.exp().sum()) == pytest.approx(1, abs=1e-10)
    assert float(law.std()) > 0.5 or model.n_visible == 1, "nearly uniform: this would test nothing"
    unevenness = float((law - law.flip(0)).abs().max())  # the last state is the first turned over
    assert unevenness < 1e-12 if model.symmetric else unevenness > 0.1


def sensitivity(model):
    """[i, j]: by how much the log-odds of site i change, at most, when site j is turned over."""
    v = all_states(model)
    v = v[torch.randint(len(v), (200,), generator=rng("configurations"))]
    before, columns = model.logits(v), []
    for j in range(model.n_visible):
        turned = v.clone()
        turned[:, j] = sum(model.visible_unit.values) - v[:, j]
        columns.append((model.logits(turned) - before).abs().max(0).values)
    return torch.stack(columns, 1)


def leaks(model):
    later = model.rank[:, None] <= model.rank
    return float(sensitivity(model)[later].max())


@every_network
@torch.no_grad()
def test_no_site_sees_itself_or_a_later_one(name):
    assert leaks(NETWORKS[name]) < 1e-12


@torch.no_grad()
def test_a_leak_is_seen():
    model = randomised(MADE(6, (8,), device="cpu")).double()
    model.last.mask[3, -1] = 1
    assert leaks(model) > 1e-3
    model = randomised(PixelCNN(TORUS, 4, 2, device="cpu")).double()
    model.direct.mask[5, 5] = 1
    assert leaks(model) > 1e-3


@torch.no_grad()
def test_rows_taken_a_few_at_a_time_give_the_same():
    model = randomised(FrontierNetwork(TORUS, device="cpu")).double()
    v = model.draw(7, rng("parts")).double()
    whole, model.width = model.logits(v), 2**18
    torch.testing.assert_close(model.logits(v), whole, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_a_made_sees_every_earlier_site():
    seen = sensitivity(NETWORKS["made shuffled, spins"])
    rank = NETWORKS["made shuffled, spins"].rank
    assert bool((seen[rank[:, None] > rank] > 1e-4).all())


@every_network
@torch.no_grad()
def test_uniform_numbers_decide_each_site_at_its_conditional_probability(name):
    """For every state: u just below q(upper) where it is upper, just above where not, gives that state back."""
    model = NETWORKS[name]
    v = all_states(model)
    up, p = v == model.visible_unit.values[1], torch.sigmoid(model.logits(v))
    assert torch.equal(model.at(torch.where(up, p - 1e-9, p + 1e-9)).double(), v)
    last = model.order[-1]
    other = model.at(torch.where(up, p - 1e-9, p + 1e-9).index_copy(1, last[None], v.new_full((len(v), 1), 0.0)))
    assert bool((other[:, last] == model.visible_unit.values[1]).all())


def chi_square_p(x, law):
    numbers = ((x > 0).long() @ (2 ** torch.arange(x.shape[-1] - 1, -1, -1))).numpy()
    expected = law.exp().numpy() * len(x)
    observed = np.bincount(numbers, minlength=len(expected))
    rare = expected < 5
    counts = [np.append(c[~rare], c[rare].sum()) for c in (observed, expected)]
    return float(stats.chisquare(*[c[counts[1] > 0] for c in counts]).pvalue)


@pytest.mark.parametrize("name", ["made shuffled", "frontier", "pixelcnn"])
@pytest.mark.parametrize("kind", ["spins", "symmetric bits"])
def test_draws_follow_the_law_and_a_wrong_law_is_rejected(name, kind):
    model = NETWORKS[f"{name}, {kind}"]
    x = model.draw(80_000, rng("draws"))
    assert set(x.unique().tolist()) == set(model.visible_unit.values)
    assert chi_square_p(x, visible_law(model)) > 1e-4
    wrong = type(model).from_config(model.config).to("cpu").double()
    wrong.load_state_dict({key: value * 1.05 for key, value in model.state_dict().items()})
    assert chi_square_p(x, visible_law(wrong)) < 1e-8


def test_a_new_network_is_uniform_and_equal_streams_give_equal_ones():
    before = torch.get_rng_state()
    for kind in (MADE(8, device="cpu"), FrontierNetwork(STRIP, device="cpu"), PixelCNN(STRIP, device="cpu")):
        torch.testing.assert_close(kind.log_prob(states((-1.0, 1.0), 8)), torch.full((256,), -8 * np.log(2)).float())
        one, two, other = (type(kind)(kind.n_visible if isinstance(kind, MADE) else STRIP, rng=rng(s)) for s in "aab")
        weights = [torch.cat([p.detach().cpu().flatten() for p in m.parameters()]) for m in (one, two, other)]
        assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
        assert torch.equal(kind.draw(9, rng("x")), kind.draw(9, rng("x")))
    assert torch.equal(torch.get_rng_state(), before)


@every_network
def test_config_and_parameters_come_back_from_a_checkpoint(name, tmp_path):
    model = NETWORKS[name]
    single = type(model).from_config(json.loads(json.dumps(model.config))).to("cpu")
    assert isinstance(single, Autoregressive) and GENERATORS[model.config["model"]] is type(model)
    parameters = {key: value.float() for key, value in model.state_dict().items()}
    save(tmp_path / "model.pt", Checkpoint(config=model.config, parameters=parameters))
    twin = load_model(tmp_path / "model.pt", "cpu")
    assert twin.config == model.config
    torch.testing.assert_close(visible_law(twin), visible_law(model), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: MADE(4, unit=Gaussian(1.0)), "two-valued units, got gaussian"),
        (lambda: MADE(4, order=[0, 1, 1, 2]), "name each of the 4 sites once"),
        (lambda: MADE(4, (8, 0)), "1 or more units"),
        (lambda: MADE(0), "one site or more"),
        (lambda: FrontierNetwork(TORUS, ()), "hidden layers"),
        (lambda: FrontierNetwork(Lattice((2, 2), "honeycomb")), "one site a cell"),
        (lambda: PixelCNN(Lattice((4,))), "square lattice"),
        (lambda: PixelCNN(TORUS, 4, 0), "channels and blocks"),
        (lambda: MADE(4, device="cpu").draw(0, rng()), "1 or more"),
        (lambda: FrontierNetwork.from_config({"graph": {"n_sites": 2, "bonds": [[0, 1]]}}), "needs a lattice"),
        (lambda: PixelCNN.from_config({"graph": {"n_sites": 2, "bonds": [[0, 1]]}}), "needs a lattice"),
    ],
)
def test_bad_input_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_spins_and_bits_take_data_in_either_convention():
    spin, bit = NETWORKS["made, symmetric"], NETWORKS["made, symmetric bits"]
    s = spin.draw(20, rng("s"))
    assert isinstance(spin.visible_unit, Spin) and isinstance(bit.visible_unit, Bit)
    for model, v in ((spin, (s + 1) / 2), (bit, s), (bit, (s + 1) / 2)):
        torch.testing.assert_close(model.log_prob(v), spin.log_prob(s), rtol=1e-12, atol=0)
    torch.testing.assert_close(spin.draw(50, rng("x")), 2 * bit.draw(50, rng("x")) - 1)
