"""The samplers of this package as entrants."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ebmphys.bench.task import Entrant, Real, Task
from ebmphys.energies import Ising
from ebmphys.rng import generator
from ebmphys.samplers import BlockGibbs, Metropolis, Sampler
from ebmphys.samplers.base import advance
from ebmphys.samplers.cluster import SwendsenWang, Wolff
from ebmphys.samplers.multispin import MultiSpin, Packing, Update


class Ours:
    """A sampler of this package and its chains."""

    def __init__(self, sampler: Sampler, task: Task) -> None:
        self.sampler, self.task = sampler, task
        rng = generator(task.seed, "bench", device=task.device)
        self.chains = sampler.init(task.chains, beta=task.beta, rng=rng)

    def advance(self, steps: int) -> None:
        advance(self.sampler, self.chains, steps)
        if self.task.device.type == "cuda":
            torch.cuda.synchronize()

    def observe(self) -> tuple[Real, Real]:
        n = self.task.n_sites
        energy = self.chains.energy(self.task.model).double() / n
        return energy.cpu().numpy(), self.chains.magnetization(n).double().cpu().numpy()


def _entrant(name: str, build: Callable[[Ising], Sampler], *, one_cluster: bool = False) -> Entrant:
    return Entrant(name, lambda task: Ours(build(task.model), task), one_cluster=one_cluster)


def _multispin(update: Update, packing: Packing) -> Callable[[Ising], Sampler]:
    return lambda model: MultiSpin(model, update, packing)


SAMPLERS: tuple[Entrant, ...] = (
    _entrant("multispin-heat-bath", _multispin(Update.HEAT_BATH, Packing.REPLICAS)),
    _entrant("multispin-metropolis", _multispin(Update.METROPOLIS, Packing.REPLICAS)),
    _entrant("multispin-sites-heat-bath", _multispin(Update.HEAT_BATH, Packing.SITES)),
    _entrant("multispin-sites-metropolis", _multispin(Update.METROPOLIS, Packing.SITES)),
    _entrant("block-gibbs", BlockGibbs),
    _entrant("metropolis", Metropolis),
    _entrant("swendsen-wang", SwendsenWang),
    _entrant("wolff", Wolff, one_cluster=True),
)
