"""Pseudo-likelihood and penalties against enumeration."""

import pytest
import torch

from ebmphys.energies import RBM, Ising
from ebmphys.exact.enumeration import log_weights, visible_states
from ebmphys.lattice import Lattice
from ebmphys.objectives import ContrastiveDivergence, Exact, Penalised, PseudoLikelihood, TwoPhase, two_phase
from ebmphys.units import Gaussian, Potts, Spin
from tests.objectives.exactly import data_of, gradient, machines, randomised, rng, small_rbm


def by_enumeration(model, v):
    """Minus sum_i log p(v_i | the rest), averaged over v, from the joint law of all visible states."""
    law, states = torch.softmax(log_weights(model), 0), visible_states(model)
    place = lambda x: (x[:, None] == states).all(-1).double().argmax(1)  # noqa: E731
    terms = []
    for i in range(model.n_visible):
        turned = v.clone()
        turned[:, i] = sum(model.visible_unit.values) - v[:, i]
        here, there = law[place(v)], law[place(turned)]
        terms.append(-(here / (here + there)).log())
    return float(torch.stack(terms).sum(0).mean())


@pytest.mark.parametrize("name", ["visible", "visible bits", "rbm", "rbm bits"])
def test_pseudo_likelihood_is_that_of_the_enumerated_law(name):
    model = machines()[name].double()
    v = visible_states(model)[::5].double()
    value = PseudoLikelihood()(model, v)
    assert float(value.detach()) == pytest.approx(by_enumeration(model, v.float()), abs=1e-9)
    assert gradient(model, value).abs().max() > 1e-3
    with torch.no_grad():
        next(model.parameters()).mul_(1.02)  # control: 2 % in the weights is seen
    assert abs(float(PseudoLikelihood()(model, v).detach()) - float(value.detach())) > 1e-5


def test_an_ising_model_in_several_blocks():
    model = Ising(Lattice((3, 2)), field=0.2, device="cpu")
    v = visible_states(model)[::3]
    assert float(PseudoLikelihood()(model, v)) == pytest.approx(by_enumeration(model, v), abs=1e-6)


def test_visible_potts_units_have_all_their_states():
    model = randomised(RBM(2, 3, Potts(3), Spin(), device="cpu")).double()
    states = torch.cartesian_prod(torch.arange(3.0), torch.arange(3.0)).double()
    law = torch.softmax(-model.free_energy(states), 0).reshape(3, 3)
    expected = -(torch.log(law / law.sum(0)) + torch.log(law / law.sum(1, keepdim=True)))
    found = torch.stack([PseudoLikelihood()(model, row[None]) for row in states])
    torch.testing.assert_close(found, expected.flatten())


@pytest.mark.parametrize("name", ["visible", "rbm bits"])
def test_it_is_stationary_at_the_law_of_the_data(name):
    model = machines()[name].double()
    law, v = torch.softmax(log_weights(model), 0), visible_states(model).double()

    def weighted(law):
        return sum(p * PseudoLikelihood()(model, row[None]) for p, row in zip(law, v, strict=True))

    assert gradient(model, weighted(law)).abs().max() < 1e-12
    assert gradient(model, weighted(torch.softmax(0.98 * law.log(), 0))).abs().max() > 1e-4  # control


def test_drawn_sites_leave_the_mean_as_it_is():
    model = small_rbm()
    v = data_of(model, 50)[0]
    every = torch.stack([PseudoLikelihood(1, rng("site", k))(model, v).detach() for k in range(100)])
    exact = float(PseudoLikelihood()(model, v).detach())
    assert len(every.unique()) == 6 and float(every.unique().mean()) == pytest.approx(exact, abs=1e-6)
    first, again = PseudoLikelihood(2, rng("a")), PseudoLikelihood(2, rng("b"))
    first(model, v)
    again.load_state_dict(first.state_dict())
    assert [float(again(model, v).detach()) for _ in range(5)] == [float(first(model, v).detach()) for _ in range(5)]


def test_models_without_a_pseudo_likelihood_say_so():
    with pytest.raises(ValueError, match="a finite number of values"):
        PseudoLikelihood()(small_rbm(Gaussian(), Spin()), torch.ones(2, 6))
    with pytest.raises(ValueError, match="cannot be summed out"):
        PseudoLikelihood()(machines()["deep"], torch.ones(2, 6))
    with pytest.raises(ValueError, match="give rng"):
        PseudoLikelihood(3)
    with pytest.raises(ValueError, match="Linear is none"):
        PseudoLikelihood()(torch.nn.Linear(6, 1), torch.ones(2, 6))


@pytest.mark.parametrize("name", ["rbm", "deep"])
def test_a_penalty_is_the_prior_of_the_weights_alone(name):
    model = machines()[name].double()
    objective = lambda model, v: model.energy(v).mean()  # noqa: E731
    v = torch.ones(3, model.n_sites, dtype=torch.float64)
    plain = gradient(model, objective(model, v))
    found = gradient(model, Penalised(objective, l1=0.5, l2=2.0, n_data=10)(model, v))
    expected = []
    for key, p in model.named_parameters():
        prior = (0.5 * p.sign() + 2.0 * p) / 10
        expected.append((prior * ("weight" in key)).flatten())
    torch.testing.assert_close(found - plain, torch.cat(expected).detach())


def test_map_is_where_prior_and_likelihood_balance():
    model = machines()["visible"].double()
    data, law = data_of(model, 500)
    objective = Penalised(TwoPhase(Exact()), l2=50.0, n_data=len(data))
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=200, tolerance_grad=1e-10, tolerance_change=1e-14)

    def closure():
        optimizer.zero_grad()
        # The two phases say nothing of log Z: an optimizer that looks at values needs it.
        value = objective(model, data.double())
        value.backward()
        energies = model.free_energy(visible_states(model).double())
        return (law * energies).sum() + torch.logsumexp(-energies, 0) + 25 * (model.weights**2).sum() / len(data)

    optimizer.step(closure)
    v = visible_states(model).double()
    pairs = (v[:, :, None] * v[:, None, :]).flatten(1)
    q = torch.softmax(-model.free_energy(v), 0).detach()
    bond = model.graph.bonds[0]
    index = int(bond[0]) * 6 + int(bond[1])
    balance = float(len(data) * ((law - q) @ pairs)[index]) - 50 * float(model.weights[0].detach())
    assert abs(balance) < 1e-3 < 1 < abs(50 * float(model.weights[0].detach()))


def test_map_by_pseudo_likelihood_of_independent_sites_is_that_of_the_likelihood():
    """Where sites do not act on each other the two are one function of the fields."""
    model = randomised(RBM(3, 1, device="cpu").double())
    with torch.no_grad():
        model.weights.zero_()
    v = visible_states(model)[1:6].double()
    objective = Penalised(PseudoLikelihood(), l2=3.0, n_data=len(v))
    pseudo = gradient(model, objective(model, v))
    energies = model.free_energy(visible_states(model).double())
    likelihood = model.free_energy(v).mean() + torch.logsumexp(-energies, 0)
    torch.testing.assert_close(objective(model, v).detach(), likelihood.detach())
    torch.testing.assert_close(pseudo, gradient(model, likelihood))


def test_penalties_pass_on_the_state_and_the_phases():
    model, (data, _) = small_rbm(), data_of(small_rbm(), 100)
    inner = ContrastiveDivergence(1, rng("inner"), n_chains=10)
    objective = Penalised(Penalised(inner, l1=0.1), l2=0.1)
    objective(model, data)
    assert two_phase(objective) is inner and two_phase(PseudoLikelihood()) is None
    again = Penalised(ContrastiveDivergence(1, rng("x"), n_chains=10), l2=0.1)
    again.load_state_dict(objective.state_dict())
    assert torch.equal(two_phase(again).negative.chains.x, inner.negative.chains.x)
    for bad in ({"l1": -1.0}, {"l2": -1.0}, {"n_data": 0}):
        with pytest.raises(ValueError, match="a penalty needs"):
            Penalised(inner, **bad)
