"""The natural gradient: the Fisher information, and steps that no choice of parameters changes."""

import copy

import pytest
import torch

from ebmphys.energies import RBM, as_spins
from ebmphys.exact.enumeration import visible_states
from ebmphys.objectives import Clamped, ContrastiveDivergence, Exact, TwoPhase
from ebmphys.train import NaturalGradient
from ebmphys.train.gradients.natural import energy_gradients, solve
from ebmphys.units import Bit
from tests.train.bits import KL, N, bit_machines, descend, law_of_data, log_law, randomised, rng


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
