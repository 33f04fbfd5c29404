"""Every machine, trained for so many CPU seconds on the configurations of a lattice: what the tables compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from ebmphys.energies import (
    RBM,
    BoltzmannMachine,
    ConvolutionalRBM,
    DeepBoltzmannMachine,
    EnergyModel,
    Ising,
    NeuralEnergy,
)
from ebmphys.generators import DeepBeliefNet
from ebmphys.lattice import Lattice
from ebmphys.objectives import Clamped, ContrastiveDivergence, Objective, Persistent, TwoPhase
from ebmphys.objectives.wake_sleep import WakeSleep
from ebmphys.rng import generator, uniforms
from ebmphys.samplers import BlockGibbs, GibbsWithGradients, SwendsenWang, advance, offer_flips
from ebmphys.train import Augmentation, GlobalFlip, LatticeMoves, Training, fit

K, CHAINS = 5, 500
PACKED_K, PACKED_RATE = 20, 2e-3  # of spins in two layers, whose sweeps cost little
REACH = 2.3  # of a filter: to the third neighbours


@dataclass(frozen=True)
class Lesson:
    """Data, the lattice they live on, and how long a machine may learn from them."""

    lattice: Lattice
    data: Tensor
    seconds: float
    seed: int

    def rng(self, *path: str) -> torch.Generator:
        return generator(self.seed, *path, device="cpu")

    def teach(
        self,
        model: nn.Module,
        objective: Objective,
        rate: float = Training.learning_rate,
        batch: int = Training.batch_size,
        moves: bool = True,
    ) -> nn.Module:
        """The model after the lesson's CPU seconds, with the package's own settings but for rate and batch."""
        symmetries: list[Augmentation] = [GlobalFlip(model.visible_unit)] if isinstance(model, EnergyModel) else []
        if moves:
            symmetries.append(LatticeMoves(self.lattice))
        settings = Training(epochs=10**6, batch_size=batch, cpu_seconds=self.seconds, learning_rate=rate)
        fit(model, self.data, objective, settings, rng=self.rng("fit"), augment=symmetries)
        return model

    def pcd(self, k: int = K, n_chains: int = CHAINS) -> ContrastiveDivergence:
        return ContrastiveDivergence(k, self.rng("chains"), n_chains=n_chains)


Machine = Callable[[Lesson], nn.Module]


def independent(target: Ising, beta: float, n: int, *path: str | int) -> Tensor:
    """One draw each of n chains, 200 Swendsen-Wang updates from infinite temperature: tau is about 5."""
    sampler = SwendsenWang(target)
    chains = sampler.init(n, beta=beta, rng=generator(*path, device="cpu"))
    advance(sampler, chains, 200)
    return chains.x


@torch.no_grad()
def own_draws(model: EnergyModel, v: Tensor, steps: int, seed: int) -> Tensor:
    """All sites of the machine's chains after so many steps from configurations v, flips offered before each."""
    sampler = BlockGibbs(model)
    chains = sampler.init(len(v), rng=generator(seed, "own", device="cpu"))
    chains.x[:, : model.n_visible] = v
    for _ in range(steps):
        offer_flips(model, chains)
        sampler.step(chains)
    return chains.x


def complete_graph(lesson: Lesson) -> nn.Module:
    model = BoltzmannMachine(lesson.lattice.n_sites, biases=False, rng=lesson.rng("init"), device="cpu")
    return lesson.teach(model, lesson.pcd())


def every_displacement(lesson: Lesson) -> nn.Module:
    model = BoltzmannMachine.translation_invariant(
        lesson.lattice, point_group=True, biases=False, rng=lesson.rng("init"), device="cpu"
    )
    return lesson.teach(model, lesson.pcd())


def restricted(n_hidden: int, lesson: Lesson) -> nn.Module:
    model = RBM(lesson.lattice.n_sites, n_hidden, biases=False, rng=lesson.rng("init"), device="cpu")
    return lesson.teach(model, lesson.pcd(PACKED_K), PACKED_RATE)


def convolutional(n_filters: int, lesson: Lesson) -> nn.Module:
    model = ConvolutionalRBM(lesson.lattice, n_filters, REACH, biases=False, rng=lesson.rng("init"), device="cpu")
    return lesson.teach(model, lesson.pcd(PACKED_K), PACKED_RATE)


def deep(layers: tuple[int, ...], lesson: Lesson) -> nn.Module:
    model = DeepBoltzmannMachine(lesson.lattice.n_sites, layers, biases=False, rng=lesson.rng("init"), device="cpu")
    rng = lesson.rng("chains")
    return lesson.teach(model, TwoPhase(Persistent(K, rng, CHAINS), Clamped(K, rng)))


def belief_net(layers: tuple[int, int], lesson: Lesson) -> nn.Module:
    """Two RBMs greedily and wake-sleep after, a third of the time each."""
    part = replace(lesson, seconds=lesson.seconds / 3)
    first = RBM(lesson.lattice.n_sites, layers[0], biases=False, rng=lesson.rng("init"), device="cpu")
    part.teach(first, part.pcd())
    with torch.no_grad():
        x = torch.cat([lesson.data, lesson.data.new_zeros(len(lesson.data), layers[0])], -1)
        h = first.hidden.draw(first.conditional(x, "hidden"), uniforms((len(x), layers[0]), lesson.rng("up")))
    second = RBM(*layers, biases=False, rng=lesson.rng("init", "second"), device="cpu")
    replace(part, data=h).teach(second, part.pcd(), moves=False)
    net = DeepBeliefNet.from_rbms([first, second])
    rng = lesson.rng("wake")
    return part.teach(net, WakeSleep(Persistent(K, rng, CHAINS), rng))


def neural(hidden: tuple[int, ...], lesson: Lesson) -> nn.Module:
    network = {"kind": "mlp", "hidden": list(hidden)}
    model = NeuralEnergy(lesson.lattice.n_sites, network, symmetric=True, rng=lesson.rng("init"), device="cpu")
    flips = partial(GibbsWithGradients, proposals=lesson.lattice.n_sites)
    return lesson.teach(model, TwoPhase(Persistent(1, lesson.rng("chains"), CHAINS, make_sampler=flips)), 1e-3)


def machines(n_hidden: int, filters: int) -> dict[str, Machine]:
    """By the name in the tables; ``n_hidden`` of the larger machines, ``filters`` of the convolutional one."""
    half = n_hidden // 4
    return {
        "Boltzmann machine, all pairs": complete_graph,
        "Boltzmann machine, translation-invariant": every_displacement,
        f"RBM, {half} hidden": partial(restricted, half),
        f"RBM, {n_hidden} hidden": partial(restricted, n_hidden),
        f"convolutional RBM, {filters} filters": partial(convolutional, filters),
        f"deep Boltzmann machine, {half}-{half}": partial(deep, (half, half)),
        f"deep belief net, {half}-{half}": partial(belief_net, (half, half)),
        "neural energy, 64-64": partial(neural, (64, 64)),
    }
