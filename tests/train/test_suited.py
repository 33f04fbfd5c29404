"""Whether what is watched can be measured, for every kind of model and unit, and what it costs."""

import math

import pytest
import torch

from ebmphys.energies import (
    RBM,
    BoltzmannMachine,
    ConvolutionalRBM,
    DeepBoltzmannMachine,
    EnergyModel,
    NeuralEnergy,
    ferromagnet,
)
from ebmphys.energies.networks import build_network
from ebmphys.experiment.sampler_names import by_gradient, suited_sampler
from ebmphys.generators import GAN, VAE, AbsorbingDiffusion, Autoencoder, BitFlipDiffusion, DeepBeliefNet, Diffusion
from ebmphys.lattice import Lattice
from ebmphys.likelihood import kl_to_exact, log_likelihood, log_partition, visible_law
from ebmphys.objectives import (
    ELBO,
    Adversarial,
    BitFlip,
    Clamped,
    DenoisingBound,
    FastPersistent,
    Persistent,
    Reconstruction,
    Tempered,
    TrajectoryTempered,
    TwoPhase,
    WakeSleep,
)
from ebmphys.rng import generator
from ebmphys.samplers import BlockGibbs
from ebmphys.samplers.gradient import GibbsWithGradients
from ebmphys.train import doubts, suited
from ebmphys.train.monitors import likelihoods, persistent
from ebmphys.train.monitors.persistent import chain_tau, copied_chains, swap_rate
from ebmphys.train.monitors.reach import affordable, enumerable, law_within_reach, log_z_within_reach
from ebmphys.units import Bit, Gaussian, Potts, ReLU, Spin

CPU = torch.device("cpu")


def rng(*path):
    return generator(33, *path, device="cpu")


def new(kind, *given, **options):
    return kind(*given, rng=rng("weights"), device="cpu", **options)


def network(*hidden):
    return {"kind": "mlp", "hidden": list(hidden)}


CHAINS = ("chain_tau", "chain_positive", "chain_energy_per_site")
KL, SUMMED = ("kl",), ("kl", "log_likelihood")
BOUNDED, ESTIMATED = ("kl_estimate", "kl_estimate_low", "kl_estimate_high"), ("kl_estimate",)
DRAWS = ("draw_positive", "data_positive")
LIKELIHOOD, BRACKET = ("log_likelihood",), ("log_likelihood", "log_likelihood_low", "log_likelihood_high")

# The model on n sites; what must be measured on 4 x 4 and on 5 x 5 sites, both with a target that is known exactly.
KINDS = {
    "rbm": (lambda n: new(RBM, n, 20), SUMMED + CHAINS, BOUNDED + CHAINS),
    "rbm of few": (lambda n: new(RBM, n, 6), SUMMED + CHAINS, ESTIMATED + CHAINS),
    "rbm of bits": (lambda n: new(RBM, n, 20, Bit(), Bit()), SUMMED + CHAINS, BOUNDED + CHAINS),
    "rbm, gaussian hidden": (lambda n: new(RBM, n, 20, Spin(), Gaussian()), SUMMED + CHAINS, CHAINS),
    "rbm, relu hidden": (lambda n: new(RBM, n, 20, Spin(), ReLU()), SUMMED + CHAINS, CHAINS),
    "rbm, gaussian": (lambda n: new(RBM, n, 20, Gaussian()), BRACKET, BRACKET),
    "rbm, widths": (lambda n: new(RBM, n, 20, Gaussian(), learn_sigma=True), BRACKET, BRACKET),
    "rbm, gaussian, few": (lambda n: new(RBM, n, 6, Gaussian()), LIKELIHOOD, LIKELIHOOD),
    "rbm, gaussian both": (lambda n: new(RBM, n, 6, Gaussian(), Gaussian()), ("chain_tau",), ("chain_tau",)),
    "rbm, relu": (lambda n: new(RBM, n, 20, ReLU()), BRACKET, BRACKET),
    "rbm, potts": (lambda n: new(RBM, n, 20, Potts(3)), BRACKET, BRACKET),
    "convolutional": (
        lambda n: new(ConvolutionalRBM, Lattice((math.isqrt(n),) * 2), 2),
        SUMMED + CHAINS,
        BOUNDED + CHAINS,
    ),
    "bm": (lambda n: new(BoltzmannMachine, n), SUMMED + CHAINS, BOUNDED + CHAINS[1:]),
    "bm, few hidden": (lambda n: new(BoltzmannMachine, n + 3, 3), KL + CHAINS[1:], CHAINS[1:]),
    "bm, hidden": (lambda n: new(BoltzmannMachine, n + 16, 16), CHAINS[1:], CHAINS[1:]),
    "dbm": (lambda n: new(DeepBoltzmannMachine, n, (64, 64)), CHAINS, CHAINS),
    "dbm of few": (lambda n: new(DeepBoltzmannMachine, n, (6, 40)), KL + CHAINS, CHAINS),
    "dbm of one": (lambda n: new(DeepBoltzmannMachine, n, (20,)), SUMMED + CHAINS, BOUNDED + CHAINS),
    "dbm, relu": (lambda n: new(DeepBoltzmannMachine, n, (6, 6), (Spin(), ReLU(), Spin())), CHAINS, CHAINS),
    "dbm, gaussian": (lambda n: new(DeepBoltzmannMachine, n, (6, 6), (Gaussian(), Spin(), Spin())), CHAINS[:1], ()),
    "neural": (lambda n: new(NeuralEnergy, n, network(4)), SUMMED + CHAINS, BOUNDED + CHAINS),
    "neural, gaussian": (lambda n: new(NeuralEnergy, n, network(4), Gaussian()), CHAINS[:1], CHAINS[:1]),
    "dbn": (lambda n: new(DeepBeliefNet, n, (20, 20)), (), ()),
    "dbn of few": (lambda n: new(DeepBeliefNet, n, (6, 40)), KL, ()),
    "vae": (lambda n: new(VAE, n, (8,), 2), (*KL, "elbo"), ("kl_bound",)),
    "diffusion": (lambda n: new(BitFlipDiffusion, n, 8, network(4)), ("kl_bound",), ("kl_bound",)),
    "diffusion, absorbing": (lambda n: new(AbsorbingDiffusion, n, None, network(4)), ("kl_bound",), ("kl_bound",)),
    "gan": (lambda n: new(GAN, n, network(4)), DRAWS, DRAWS),
    "autoencoder": (lambda n: new(Autoencoder, n, (4,)), ("restoration",), ("restoration",)),
}


def objective_of(model, kind=Persistent, step=suited_sampler):
    independent = {
        VAE: lambda: ELBO(rng("noise")),
        Diffusion: lambda: DenoisingBound(rng("noise")),
        GAN: lambda: Adversarial(build_network(network(4), model.n_visible, rng("critic"), CPU), rng("noise")),
        Autoencoder: lambda: Reconstruction(BitFlip(Spin(), 0.1), rng("noise")),
    }
    for family, objective in independent.items():
        if isinstance(model, family):
            return objective()
    negative = kind(1, rng("chains"), n_chains=8, make_sampler=step)
    if isinstance(model, DeepBeliefNet):
        return WakeSleep(negative, rng("wake"))
    return TwoPhase(negative, Clamped(1, rng("clamped")))


def data_of(model, n):
    unit = getattr(model, "visible_unit", Spin())
    if unit.values:
        return torch.tensor(unit.values)[torch.randint(len(unit.values), (12, n), generator=rng("data"))]
    return torch.randn(12, n, generator=rng("data")).abs()


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(likelihoods, "_CHAINS", 4)
    monkeypatch.setattr(likelihoods, "_STEPS", 20)
    monkeypatch.setattr(likelihoods, "_ALONE", 20)
    monkeypatch.setattr(persistent, "SIDE_CHAINS", 4)


@pytest.mark.parametrize("side", [4, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_every_monitor_of_every_model_can_be_measured(kind, side, tiny):
    build, *expected = KINDS[kind]
    model, target = build(side**2), ferromagnet((side, side), device="cpu")
    v = data_of(model, side**2)
    objective = objective_of(model)
    objective(model, v)
    monitors = suited(model, objective, v, target, 0.4)
    with torch.no_grad():
        found = {name: float(monitor(model, objective)) for name, monitor in monitors.items()}
    assert all(map(math.isfinite, found.values()))
    assert set(expected[side - 4]) <= set(found)
    judged = {*KL, *BOUNDED, *BRACKET, "elbo", "kl_bound"}
    assert judged & set(found) == judged & set(expected[side - 4])


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_in_reach_is_what_exact_sums_take(kind):
    """Each answer against the sum itself, on few sites: what is said to be in reach must not raise."""
    model = KINDS[kind][0](9)
    if law_within_reach(model):
        if not isinstance(model, VAE):
            assert float(visible_law(model).exp().sum()) == pytest.approx(1)
        assert math.isfinite(kl_to_exact(ferromagnet((3, 3), device="cpu"), 0.4, model))
    if isinstance(model, EnergyModel) and enumerable(model):
        assert log_z_within_reach(model) and math.isfinite(log_partition(model))
    if isinstance(model, EnergyModel) and log_z_within_reach(model):
        assert bool(log_likelihood(model, data_of(model, 9), log_partition=0.0).isfinite().all())


def test_chains_with_fast_weights_are_copied_with_their_own_sampler():
    model = new(NeuralEnergy, 9, network(4))
    objective = objective_of(model, FastPersistent, by_gradient)
    objective(model, data_of(model, 9))
    sampler, _ = copied_chains(model, objective, 4, rng("copies"))
    assert isinstance(sampler, GibbsWithGradients)
    plain = objective_of(model, FastPersistent, BlockGibbs)
    plain(model, data_of(model, 9))
    assert isinstance(copied_chains(model, plain, 4, rng("copies"))[0], BlockGibbs)


@pytest.mark.parametrize("kind", [Tempered, TrajectoryTempered])
def test_of_a_ladder_the_least_of_its_trades_is_watched_and_no_tau_of_chains_left_alone(kind):
    model = new(RBM, 9, 4)
    objective, v = objective_of(model, kind), data_of(new(RBM, 9, 4), 9)
    monitors = suited(model, objective, v)
    assert "chain_tau" not in monitors and monitors["swap_rate"] is swap_rate
    assert math.isnan(swap_rate(model, objective))
    objective(model, v)
    objective.negative.swap_rate = torch.tensor([0.5, 0.04, 0.3])
    assert swap_rate(model, objective) == pytest.approx(0.04)
    alone = objective_of(model)
    assert "swap_rate" not in suited(model, alone, v) and "chain_tau" in suited(model, alone, v)
    with pytest.raises(ValueError, match="keeps no ladder"):
        swap_rate(model, alone)


def test_a_ladder_that_does_not_trade_is_doubted():
    assert "trade 4.0% of the time" in doubts({"swap_rate": 0.04})["swaps"]
    assert doubts({"swap_rate": 0.05}) == doubts({"swap_rate": math.nan}) == {}


def test_steps_are_fewer_where_a_sweep_has_many_blocks():
    assert [affordable(500, blocks) for blocks in (1, 2, 4, 8, 16, 64)] == [500, 500, 500, 250, 125, 50]
    assert [affordable(50, blocks, 12) for blocks in (2, 5, 16, 64)] == [50, 40, 12, 12]


def counted(model, monkeypatch):
    """The conditionals of single blocks that are taken by models of this kind."""
    calls, conditional = [], type(model).conditional
    monkeypatch.setattr(
        type(model), "conditional", lambda self, x, block: calls.append(block) or conditional(self, x, block)
    )
    return calls


def test_a_look_at_many_blocks_draws_few_of_each(monkeypatch):
    model = new(BoltzmannMachine, 36)
    objective = objective_of(model)
    v = data_of(model, 36)
    objective(model, v)
    monitors = suited(model, objective, v)
    calls = counted(model, monkeypatch)
    monkeypatch.setattr(likelihoods, "_CHAINS", 4)
    low, high = (monitors[f"log_likelihood_{end}"](model, objective) for end in ("low", "high"))
    assert low < high
    assert "chain_tau" not in monitors and len(calls) <= 36 * (12 + 2 * 55)
    # Few blocks keep the steps that they had; Gaussian ones are drawn one by one.
    few = new(RBM, 36, 20, Spin(), Gaussian())
    objective = objective_of(few)
    objective(few, v)
    calls = counted(few, monkeypatch)
    chain_tau()(few, objective)
    assert len(calls) == 2 * (50 + 200)
