"""Every entrant, peers where they are installed, really samples the law of its task: energy against Kaufman."""

import importlib.util
import math

import numpy as np
import pytest
import torch

from ebmphys.bench import PEERS, SAMPLERS, Task
from ebmphys.exact import kaufman

PACKAGE = {"peapods": "peapods", "dwave-samplers": "dwave.samplers", "thrml": "thrml"}
SHAPE, CHAINS, BETA, SWEEPS, DRAWS = (8, 6), 128, 0.35, 60, 60


def installed(name):
    try:
        return name not in PACKAGE or importlib.util.find_spec(PACKAGE[name]) is not None
    except ModuleNotFoundError:
        return False


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def deviation(entrant, sweeps=1, beta=BETA):
    """Mean energy from Kaufman's in standard errors over the chains, after a start that is forgotten."""
    running = entrant.start(Task(SHAPE, CHAINS, beta, torch.device("cpu")))
    running.advance(10 * SWEEPS if entrant.one_cluster else SWEEPS)
    energies = []
    for _ in range(DRAWS):
        running.advance(sweeps)
        energy, m = running.observe()
        assert energy.shape == m.shape == (CHAINS,)
        energies.append(energy)
    means = np.mean(energies, axis=0)
    return (means.mean() - kaufman(SHAPE, BETA).energy_per_site) / (means.std(ddof=1) / math.sqrt(CHAINS))


@pytest.mark.parametrize("entrant", [*PEERS, *SAMPLERS], ids=lambda entrant: entrant.name)
def test_energy(entrant):
    if not installed(entrant.name):
        pytest.skip(f"{entrant.name} is not installed")
    if "sites" in entrant.name:
        pytest.skip("sites are packed on larger lattices only")
    assert abs(deviation(entrant)) < 4


@pytest.mark.parametrize("entrant", PEERS, ids=lambda entrant: entrant.name)
def test_a_beta_that_is_off_by_three_percent_shows(entrant):
    if not installed(entrant.name):
        pytest.skip(f"{entrant.name} is not installed")
    assert deviation(entrant, beta=1.03 * BETA) < -4


@pytest.mark.parametrize("entrant", PEERS, ids=lambda entrant: entrant.name)
def test_many_sweeps_are_as_many_as_are_asked_for(entrant):
    """From all spins up or at random, the energy after 1 + 3 sweeps in two calls is that after 4 in one."""
    if not installed(entrant.name):
        pytest.skip(f"{entrant.name} is not installed")
    task = Task((16, 16), 512, 0.4406868, torch.device("cpu"))
    once, twice = entrant.start(task), entrant.start(task)
    once.advance(4)
    twice.advance(1)
    twice.advance(3)
    early = twice.observe()[0]
    assert abs(once.observe()[0].mean() - early.mean()) < 5 * early.std() * math.sqrt(2 / task.chains)
    # A sweep more or less would have been seen: relaxation is that fast at first.
    twice.advance(4)
    assert abs(twice.observe()[0].mean() - early.mean()) > 5 * early.std() * math.sqrt(2 / task.chains)


def test_tasks_that_a_peer_cannot_do_are_refused():
    plain = {entrant.name: entrant for entrant in PEERS}
    with pytest.raises(ValueError, match="two dimensions"):
        plain["numba-loop"].start(Task((4, 4, 4), 1, 0.2, torch.device("cpu")))
    with pytest.raises(ValueError, match="even sides"):
        plain["torch-roll"].start(Task((4, 5), 1, 0.2, torch.device("cpu")))
