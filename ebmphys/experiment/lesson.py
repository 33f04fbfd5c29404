"""What a fit has to go by: the data of one temperature, what is held back of them, and what their Hamiltonian says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ebmphys.checkpoint import build
from ebmphys.dataset import Dataset
from ebmphys.energies import EnergyModel, Ising
from ebmphys.lattice import Lattice
from ebmphys.rng import generator
from ebmphys.train import Augmentation, GlobalFlip, LatticeMoves, held_chains, split_chains
from ebmphys.units import Unit, build_unit

Stream = tuple[int, tuple[str, ...]]  # a seed and a path of names


@dataclass(frozen=True)
class Lesson:
    """Data to learn and data held back, (n, n_visible); the symmetries that may be used; streams of random numbers.

    ``chains``: how many Markov chains the data held back are of, rows in the order (draw, chain). ``target`` is the
    Hamiltonian that the data were made for, ``beta`` its inverse temperature, ``lattice`` its lattice, where they
    are known; ``uniform``: whether its couplings and fields are the same everywhere. ``learned``: whether the data
    are not draws of it but of a model that was fitted to them.
    """

    learn: Tensor
    held: Tensor
    chains: int
    augment: Sequence[Augmentation]
    target: EnergyModel | None
    lattice: Lattice | None
    uniform: bool
    learned: bool
    beta: float
    stream: Stream
    device: torch.device
    origin: dict[str, Any]

    @property
    def n_visible(self) -> int:
        return self.learn.shape[-1]

    @property
    def law(self) -> EnergyModel | None:
        """The target where the data are draws of it."""
        return None if self.learned else self.target

    @property
    def even(self) -> bool:
        """Whether the data have the Z2 symmetry."""
        return any(isinstance(symmetry, GlobalFlip) for symmetry in self.augment)

    def rng(self, *path: str | int) -> torch.Generator:
        """A stream of this fit's own, by name."""
        return generator(self.stream[0], *self.stream[1], *path, device=self.device)


def prepare(
    source: Dataset,
    temperature: float,
    unit: str,
    symmetries: str,
    validation: float,
    stream: Stream,
    device: torch.device,
    origin: dict[str, Any],
) -> Lesson:
    """Read one temperature of a dataset and hold back a fraction of it. Raises ValueError as the dataset does."""
    hamiltonian = None if source.model is None else build(source.model).to(device)
    # A Gaussian unit sees spins as -1 and +1.
    data = source.x(temperature, unit=unit if unit in ("spin", "bit") else None, device=device)
    # Not of the fit's own stream: whatever the model, the same rows are held back, so that likelihoods compare.
    split = generator(stream[0], "held back", f"{temperature:.9g}", device=device)
    learn, held = split_chains(data, source.chains, validation, split)
    verb, corrected = source.settings.get("verb"), source.settings.get("correct")
    learned = verb == "sample" and not corrected
    known = symmetries == "all" or (symmetries == "auto" and verb != "import" and not learned)
    graph = hamiltonian.graph if isinstance(hamiltonian, Ising) else None
    return Lesson(
        learn=learn,
        held=held,
        chains=held_chains(source.chains, validation),
        augment=symmetries_of(hamiltonian if known else None, build_unit(unit)),
        target=hamiltonian if isinstance(hamiltonian, EnergyModel) else None,
        lattice=graph if isinstance(graph, Lattice) else None,
        uniform=isinstance(hamiltonian, Ising) and is_uniform(hamiltonian),
        learned=learned,
        beta=1 / temperature,
        stream=stream,
        device=device,
        origin=origin,
    )


def symmetries_of(hamiltonian: nn.Module | None, unit: Unit) -> list[Augmentation]:
    """The symmetries that the Hamiltonian of the data has: none where it is not known."""
    if not isinstance(hamiltonian, Ising):
        return []
    found: list[Augmentation] = [] if bool(hamiltonian.fields.any()) else [GlobalFlip(unit)]
    if is_uniform(hamiltonian) and isinstance(hamiltonian.graph, Lattice):
        found.append(LatticeMoves(hamiltonian.graph))
    return found


def is_uniform(model: Ising) -> bool:
    """Whether couplings and fields are the same everywhere."""
    same = bool((model.couplings == model.couplings[:1]).all())
    return same and bool((model.fields == model.fields[0]).all())
