"""The variational free energy against enumeration: its value, its gradient, its bound, and a training without data."""

import pytest
import torch

from ebmphys.energies import RBM, Ising, ferromagnet, gaussian_couplings
from ebmphys.exact.enumeration import kl_divergence, log_partition, log_weights, states
from ebmphys.generators import MADE, VAE, FrontierNetwork
from ebmphys.lattice import Graph, Lattice
from ebmphys.likelihood import visible_law
from ebmphys.objectives import MaximumLikelihood, VariationalFreeEnergy, variational_free_energy
from ebmphys.train import Training, anneal, reverse_kl
from ebmphys.units import Bit, Gaussian, Spin
from tests.objectives.exactly import randomised, rng, small_rbm

TARGET, BETA = Ising(Lattice((6,)), field=0.2, device="cpu"), 0.7


def network(n=6, name="q", **options):
    return randomised(MADE(n, (8,), device="cpu", **options), 0.4, name)


def enumerated(model, target=TARGET, beta=BETA):
    """beta F_q = sum over v of q (beta E + log q), by autograd differentiable."""
    every = states(model.visible_unit.values, model.n_visible, dtype=torch.float64)
    log_q = model.log_prob(every)
    return (log_q.exp() * (log_q - log_weights(target, beta))).sum()


def deviations(model, objective, batches=400, size=500, factor=1.0):
    """Of the mean gradient over batches from the enumerated one, in standard errors, all parameters in a row."""
    parameters = list(model.parameters())
    exact = torch.cat([g.flatten() for g in torch.autograd.grad(enumerated(model), parameters)])
    rows, found = torch.zeros(size, 6), []
    for _ in range(batches):
        gradient = torch.autograd.grad(objective(model, rows), parameters)
        found.append(torch.cat([g.flatten() for g in gradient]))
    sample = torch.stack(found)
    error = sample.std(0) / batches**0.5
    seen = error > 1e-9  # what masks hide has no gradient at all
    assert bool((exact[~seen].abs() < 1e-12).all()) and int(seen.sum()) > 50
    return ((sample.mean(0) - factor * exact) / error)[seen]


def test_the_gradient_is_that_of_the_enumerated_free_energy():
    model = network().double()
    z = deviations(model, VariationalFreeEnergy(TARGET, BETA, rng("draws")))
    assert float(z.abs().max()) < 4.5 and 0.7 < float(z.std()) < 1.3


def test_the_gradient_of_tiny_batches_has_no_bias_and_faults_show():
    """The baseline is the mean of the other draws: with the draw's own in it, batches of 2 would lose half."""
    model = network().double()
    z = deviations(model, VariationalFreeEnergy(TARGET, BETA, rng("few")), batches=2000, size=2)
    assert float(z.abs().max()) < 4.5
    z = deviations(model, VariationalFreeEnergy(TARGET, BETA, rng("draws")), factor=0.95)
    assert float(z.abs().max()) > 6
    z = deviations(model, VariationalFreeEnergy(TARGET, 1.05 * BETA, rng("draws")))
    assert float(z.abs().max()) > 6


def test_the_value_is_beta_f_and_the_bound_holds_by_the_reverse_divergence():
    model = network()
    exact = float(enumerated(model.double()).detach())
    model.float()
    log_z = log_partition(TARGET, BETA)
    assert exact > -log_z
    assert exact + log_z == pytest.approx(kl_divergence(visible_law(model), log_weights(TARGET, BETA)), abs=1e-6)
    found = variational_free_energy(model, TARGET, BETA, 100_000, rng("value"))
    assert abs(found.value - exact / BETA) < 4 * found.error < 0.1
    other = variational_free_energy(model, TARGET, 1.1 * BETA, 100_000, rng("value"))
    assert abs(other.value - exact / BETA) > 10 * other.error
    value = float(VariationalFreeEnergy(TARGET, BETA, rng("loss"))(model, torch.zeros(100_000, 6)).detach())
    assert abs(value - exact) < 4 * BETA * found.error
    assert reverse_kl(TARGET, BETA, 100_000)(model, MaximumLikelihood()) == pytest.approx(
        exact + log_z, abs=4 * BETA * found.error
    )


def test_at_the_target_itself_every_draw_has_the_same_reward_and_nothing_moves():
    """One spin with a field: q = p is in the family, and R = -log Z without scatter."""
    target = Ising(Graph(1, []), field=0.4, device="cpu")
    model = MADE(1, (), device="cpu")
    with torch.no_grad():
        model.last.bias.fill_(2 * 0.4 * BETA)
    found = variational_free_energy(model, target, BETA, 1000, rng("one"))
    assert found.value == pytest.approx(-log_partition(target, BETA) / BETA, abs=1e-6) and found.error < 1e-6
    (gradient,) = torch.autograd.grad(
        VariationalFreeEnergy(target, BETA, rng("one"))(model, torch.zeros(50, 1)), [model.last.bias]
    )
    assert float(gradient.abs()) < 1e-6


@pytest.mark.parametrize("unit", [Spin(), Bit()])
def test_hidden_units_are_summed_out_and_units_need_not_agree(unit):
    target, model = small_rbm(Bit(), Spin()), network(unit=unit)
    found = variational_free_energy(model, target, 0.8, 50_000, rng("rbm"))
    assert abs(found.value - float(enumerated(model.double(), target, 0.8).detach()) / 0.8) < 4 * found.error


def test_beta_rises_linearly_and_stays():
    objective = VariationalFreeEnergy(TARGET, 0.8, rng("draws"), annealing=4)
    betas = []
    for _ in range(6):
        betas.append(objective.beta)
        objective(network(), torch.zeros(2, 6))
    assert betas == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])
    assert VariationalFreeEnergy(TARGET, 0.8, rng("draws")).beta == 0.8


def train(model, epochs, target=TARGET, beta=BETA, rate=1e-2, batch=100, **options):
    objective = VariationalFreeEnergy(target, beta, rng("objective"), annealing=30)
    settings = Training(epochs=epochs, batch_size=batch, learning_rate=rate, schedule="constant", monitor_every=2)
    return anneal(model, objective, settings, rng=rng("fit"), updates=10, **options)


def test_a_resumed_annealing_is_the_uninterrupted_one_bit_for_bit(tmp_path):
    whole, parts = network(), network()
    history = train(whole, 6, checkpoint=tmp_path / "whole.pt", monitors={"kl": reverse_kl(TARGET, BETA)})
    train(parts, 2, checkpoint=tmp_path / "parts.pt", monitors={"kl": reverse_kl(TARGET, BETA)})
    again = network(name="another")
    resumed = train(again, 6, checkpoint=tmp_path / "parts.pt", resume=True, monitors={"kl": reverse_kl(TARGET, BETA)})
    assert all(torch.equal(p, q) for p, q in zip(whole.parameters(), again.parameters(), strict=True))
    assert [r["loss"] for r in resumed] == [r["loss"] for r in history]
    assert [r["updates"] for r in resumed] == [10, 20, 30, 40, 50, 60]
    assert not torch.equal(next(whole.parameters()), next(parts.parameters()))


def test_an_interrupted_annealing_keeps_its_last_whole_epoch(tmp_path):
    def stop(record):
        if record["epoch"] == 3:
            raise KeyboardInterrupt

    history = train(network(), 6, checkpoint=tmp_path / "run.pt", on_epoch=stop)
    assert history.stopped == "interrupted" and len(history) == 3
    whole, again = network(), network()
    train(whole, 6)
    train(again, 6, checkpoint=tmp_path / "run.pt", resume=True)
    assert all(torch.equal(p, q) for p, q in zip(whole.parameters(), again.parameters(), strict=True))


def glass(n):
    graph = Graph(n, [(i, j) for i in range(n) for j in range(i)])
    return Ising(graph, gaussian_couplings(graph, rng("glass"), 0.0, n**-0.5), device="cpu")


@pytest.mark.parametrize("kind", ["lattice", "glass"])
def test_without_data_a_network_finds_the_free_energy_to_one_in_a_thousand(kind):
    if kind == "lattice":
        target, beta = ferromagnet((3, 4), device="cpu"), 0.44
        model = FrontierNetwork(Lattice((3, 4)), (16, 16), symmetric=True, rng=rng("w"), device="cpu")
    else:
        target, beta = glass(10), 1.0
        model = MADE(10, (40,), symmetric=True, rng=rng("w"), device="cpu")
    train(model, 40, target, beta, batch=200)
    exact = -log_partition(target, beta) / beta
    found = variational_free_energy(model, target, beta, 20_000, rng("judged"))
    assert -4 * found.error < found.value - exact < 1e-3 * abs(exact)
    assert -beta * exact + float(enumerated(model.double(), target, beta).detach()) > 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: VariationalFreeEnergy(TARGET, -1.0, rng()), "beta"),
        (lambda: VariationalFreeEnergy(TARGET, 1.0, rng(), annealing=-1), "annealing"),
        (lambda: VariationalFreeEnergy(TARGET, 1.0, rng())(network(), torch.zeros(1, 6)), "2 or more"),
        (lambda: VariationalFreeEnergy(TARGET, 1.0, rng())(VAE(6), torch.zeros(2, 6)), "VAE has no exact likelihood"),
        (lambda: VariationalFreeEnergy(TARGET, 1.0, rng())(network(5), torch.zeros(2, 5)), "6 visible sites"),
        (lambda: variational_free_energy(network(), TARGET, 0.0, 10, rng()), "beta above 0"),
        (
            lambda: variational_free_energy(network(), RBM(6, 2, Gaussian(1.0), Spin(), device="cpu"), 1.0, 10, rng()),
            "two-valued",
        ),
        (lambda: reverse_kl(TARGET, 1.0)(VAE(6, device="cpu"), MaximumLikelihood()), "VAE has no exact likelihood"),
        (
            lambda: anneal(network(), VariationalFreeEnergy(TARGET, 1.0, rng()), Training(), rng=rng(), updates=0),
            "1 update or more",
        ),
    ],
)
def test_bad_input_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
