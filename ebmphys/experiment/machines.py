"""The settings of Boltzmann machines, and the machine that they name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from ebmphys.energies import (
    RBM,
    BoltzmannMachine,
    ConvolutionalRBM,
    DeepBoltzmannMachine,
    NeuralEnergy,
)
from ebmphys.energies.displacements import displacement_classes
from ebmphys.experiment.choice import Choice
from ebmphys.experiment.settings import Flag
from ebmphys.experiment.starts import Start
from ebmphys.lattice import Graph, Lattice
from ebmphys.units import Bit, Unit, build_unit

_KERNEL = 3


class Machine(Choice, group="Boltzmann machines"):
    """Which Boltzmann machine is fitted."""

    hidden_unit: Literal["spin", "bit", "gaussian", "relu"] = "spin"
    """What a hidden unit of an RBM, a deep machine or a belief net is (relu: a Gaussian cut off at 0)."""
    reach: float | None = Field(default=None, gt=0)
    """The longest coupling of a bm, or the size of a filter, in lattice spacings (default: any)."""
    start: Start | None = None
    """Where the couplings of a bm's visible sites begin (default: small and random): at zero, or as an inverse Ising
    fit finds them, by mean-field, tap or pseudo-likelihood."""
    pretrain: Flag = False
    """Learn the pairs of a dbm's layers, or the layers of an ae or dae, one upon the other before all together."""

    @model_validator(mode="after")
    def _fits(self) -> Machine:
        layers = self.layers
        if self.model in ("bm", "rbm") and len(layers) > 1:
            raise ValueError(f"--hidden of a {self.model} is one number, got {', '.join(map(str, layers))}")
        if self.model == "dbn" and len(layers) < 2:
            raise ValueError("--hidden of a dbn is two layers or more, such as 64,64")
        if self.invariant and self.model == "bm" and layers:
            raise ValueError("a translation-invariant bm has no hidden units: leave out --hidden, or take an rbm")
        if self.learn_sigma and self.model == "rbm" and self.invariant:
            raise ValueError("--learn-sigma is for an rbm without --invariant, or a vae")
        if self.model == "dbn" and self.hidden_unit not in ("spin", "bit"):
            raise ValueError(f"--hidden-unit of a dbn is spin or bit, got {self.hidden_unit!r}")
        if self.pretrain and self.model == "dbm" and len(layers) < 2:
            raise ValueError("--pretrain is for a dbm of two hidden layers or more")
        if self.pretrain and self.model == "dbm" and not self.visible_unit == self.hidden_unit != "gaussian":
            raise ValueError("--pretrain is for a dbm with one two-valued unit on all layers, spin or bit")
        if self.reach is not None and self.model == "rbm" and not self.invariant:
            raise ValueError("--reach is for a bm, or an rbm with --invariant")
        return self


def build_machine(
    settings: Machine, lattice: Lattice | None, n_visible: int, even: bool, rng: torch.Generator, device: torch.device
) -> nn.Module:
    """The model of the settings, for data on a lattice where there is one; ``even`` where they have the Z2 symmetry.

    Raises ValueError for a model that the data do not allow.
    """
    if (settings.invariant or settings.reach is not None) and lattice is None:
        raise ValueError("--invariant and --reach need data on a lattice: these do not say which")
    return _BUILDERS[settings.model](settings, lattice, n_visible, even, rng, device)


def _units(settings: Machine) -> tuple[Unit, Unit]:
    return build_unit(settings.visible_unit), build_unit(settings.hidden_unit)


def _biases(even: bool, *units: Unit) -> bool:
    # Bits without biases favour no sign of themselves, but are not symmetric: only spins and Gaussians are.
    return not even or any(isinstance(unit, Bit) or unit.name == "relu" for unit in units)


def _rbm(
    settings: Machine, lattice: Lattice | None, n_visible: int, even: bool, rng: torch.Generator, device: torch.device
) -> nn.Module:
    units = _units(settings)
    biases = _biases(even, *units)
    if settings.invariant:
        assert lattice is not None
        return ConvolutionalRBM(
            lattice, settings.layers[0], settings.reach, *units, biases=biases, rng=rng, device=device
        )
    return RBM(
        n_visible, settings.layers[0], *units, biases=biases, learn_sigma=settings.learn_sigma, rng=rng, device=device
    )


def _bm(
    settings: Machine, lattice: Lattice | None, n_visible: int, even: bool, rng: torch.Generator, device: torch.device
) -> nn.Module:
    unit = build_unit(settings.visible_unit)
    biases = _biases(even, unit)
    if settings.invariant:
        assert lattice is not None
        return BoltzmannMachine.translation_invariant(
            lattice, settings.reach, unit, biases=biases, rng=rng, device=device
        )
    n_hidden = sum(settings.layers)
    if settings.reach is None:
        return BoltzmannMachine(n_visible + n_hidden, n_hidden, unit, biases=biases, rng=rng, device=device)
    if n_hidden:
        raise ValueError("--reach is for a bm without hidden units, which have no place on the lattice")
    assert lattice is not None
    pairs, _, _ = displacement_classes(lattice, settings.reach)
    return BoltzmannMachine(Graph(n_visible, pairs), 0, unit, biases=biases, rng=rng, device=device)


def _dbm(
    settings: Machine, lattice: Lattice | None, n_visible: int, even: bool, rng: torch.Generator, device: torch.device
) -> nn.Module:
    visible, hidden = _units(settings)
    units = (visible, *(hidden for _ in settings.layers))
    biases = _biases(even, *units)
    return DeepBoltzmannMachine(n_visible, settings.layers, units, biases=biases, rng=rng, device=device)


def _neural(
    settings: Machine, lattice: Lattice | None, n_visible: int, even: bool, rng: torch.Generator, device: torch.device
) -> nn.Module:
    network: dict[str, object] = {"kind": "mlp", "hidden": list(settings.layers)}
    if settings.invariant:
        assert lattice is not None
        network = {
            "kind": "convolutional",
            "shape": list(lattice.shape),
            "channels": list(settings.layers),
            "kernel": _KERNEL,
        }
    unit = build_unit(settings.visible_unit)
    return NeuralEnergy(n_visible, network, unit, symmetric=even, rng=rng, device=device)


_Builder = Callable[[Machine, Lattice | None, int, bool, torch.Generator, torch.device], nn.Module]
_BUILDERS: dict[str, _Builder] = {"rbm": _rbm, "bm": _bm, "dbm": _dbm, "neural": _neural}
