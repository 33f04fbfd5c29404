"""Peers that are packages of their own, each run on the same task through what it offers; none is required."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ebmphys.bench.task import Entrant, Real, Task, observed

_THRML_SITES = 2**18


@contextmanager
def _as_many_cores() -> Iterator[None]:
    """Threads that are made inside keep to as many cores as torch has threads.

    A peer makes its pool at its first call and keeps it, so the first task of a process decides.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(every)[: torch.get_num_threads()]))
    try:
        yield
    finally:
        os.sched_setaffinity(0, every)


def _on_cpu(task: Task, name: str) -> None:
    if task.device.type != "cpu":
        raise ValueError(f"{name} runs on the CPU here")


class Peapods:
    """``peapods``: compiled single-spin Metropolis, one simulation for each chain."""

    def __init__(self, task: Task) -> None:
        _on_cpu(task, "peapods")
        self.task = task
        temperatures = np.full(task.chains, 1 / task.beta)
        self.model = importlib.import_module("peapods").Ising(task.shape, temperatures=temperatures)
        with _as_many_cores():
            self.advance(1)

    def advance(self, steps: int) -> None:
        # It divides by moments that vanish where a short run ends with m = 0.
        with np.errstate(all="ignore"):
            self.model.sample(steps, warmup_ratio=0.0, sequential=torch.get_num_threads() == 1)

    def observe(self) -> tuple[Real, Real]:
        return observed(self.task, np.asarray(self.model._sim.get_spins(), dtype=np.int8))


class Dwave:
    """``dwave-samplers``: the compiled core of its simulated annealing at one beta, without packing up the result."""

    def __init__(self, task: Task) -> None:
        _on_cpu(task, "dwave-samplers")
        self.task = task
        self.anneal = importlib.import_module("dwave.samplers.sa.simulated_annealing").simulated_annealing
        self.rng = np.random.default_rng(task.seed)
        self.spins = self.rng.choice(np.array([-1, 1], dtype=np.int8), (task.chains, task.n_sites))
        self.bonds = np.ascontiguousarray(task.model.graph.bonds.T, dtype=np.int32)
        # Its energy is + sum J s s'.
        self.couplings, self.fields = np.full(self.bonds.shape[1], -1.0), np.zeros(task.n_sites)

    def advance(self, steps: int) -> None:
        starts, ends = self.bonds
        seed = int(self.rng.integers(1, 2**31))
        schedule = np.array([self.task.beta])
        self.spins, _ = self.anneal(
            self.task.chains, self.fields, starts, ends, self.couplings, steps, schedule, seed, self.spins
        )

    def observe(self) -> tuple[Real, Real]:
        return observed(self.task, self.spins)


class Thrml:
    """``thrml``: block Gibbs sampling of the two colours in JAX, one chain for each key."""

    def __init__(self, task: Task) -> None:
        _on_cpu(task, "thrml")
        if task.n_sites > _THRML_SITES:
            raise ValueError(f"thrml takes too long to compile beyond {_THRML_SITES} sites")
        jax, thrml = importlib.import_module("jax"), importlib.import_module("thrml")
        models, sampling = importlib.import_module("thrml.models"), importlib.import_module("thrml.block_sampling")
        self.task, self.jax = task, jax
        graph = task.model.graph
        nodes = [thrml.SpinNode() for _ in range(task.n_sites)]
        edges = [(nodes[i], nodes[j]) for i, j in graph.bonds]
        numbers = jax.numpy
        model = models.IsingEBM(
            nodes, edges, numbers.zeros(len(nodes)), numbers.ones(len(edges)), numbers.array(task.beta)
        )
        blocks = [thrml.Block([nodes[i] for i in colour]) for colour in graph.colours]
        self.order = np.concatenate(graph.colours)
        with _as_many_cores():
            program = models.IsingSamplingProgram(model, blocks, clamped_blocks=[])
            resting = [None] * len(blocks)

            def sweeps(key: Any, state: Any, steps: Any) -> Any:
                def one(i: Any, now: Any) -> Any:
                    fresh = jax.random.fold_in(key, i)
                    return sampling.sample_blocks(fresh, now, [], program, resting)[0]

                return jax.lax.fori_loop(0, steps, one, state)

            self.run = jax.jit(jax.vmap(sweeps, in_axes=(0, 0, None)))
            self.key = jax.random.key(task.seed)
            self.state = [numbers.ones((task.chains, len(colour)), dtype=bool) for colour in graph.colours]
            self.advance(1)

    def advance(self, steps: int) -> None:
        self.key, fresh = self.jax.random.split(self.key)
        self.state = self.run(self.jax.random.split(fresh, self.task.chains), self.state, steps)
        self.jax.block_until_ready(self.state)

    def observe(self) -> tuple[Real, Real]:
        up = np.concatenate([np.asarray(block) for block in self.state], axis=-1)
        spins = np.empty(up.shape, dtype=np.int8)
        spins[:, self.order] = 2 * up.astype(np.int8) - 1
        return observed(self.task, spins)


PACKAGES: tuple[Entrant, ...] = (
    Entrant("peapods", Peapods, peer=True),
    Entrant("dwave-samplers", Dwave, peer=True),
    Entrant("thrml", Thrml, peer=True),
)
