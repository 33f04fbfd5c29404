"""Ensembles from dataset files, one temperature at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ebmphys.compare.ensemble import Ensemble, same_temperature
from ebmphys.dataset import Dataset
from ebmphys.energies import ENERGIES, EnergyModel

_MOST_SPINS = 1 << 28  # spins of one ensemble held at once, 1 GiB; beyond it every k-th draw is looked at


def build_hamiltonian(config: Mapping[str, Any] | None) -> EnergyModel | None:
    """The Hamiltonian that a config describes, None where there is none. Raises ValueError for an unknown model."""
    if config is None:
        return None
    name = config.get("model")
    if name not in ENERGIES:
        raise ValueError(f"unknown Hamiltonian {name!r}: known are {', '.join(ENERGIES)}")
    return ENERGIES[name].from_config(dict(config))


def read_ensembles(
    reference: Path, samples: Sequence[Path], names: Sequence[str]
) -> Iterator[tuple[Ensemble, list[Ensemble]]]:
    """The reference and the samples that have a temperature, for each temperature of the reference in ascending order.

    names: of the reference and then of the samples. Energies that a sample file measured with another Hamiltonian are
    measured again with the reference's. Raises ValueError for files that do not fit the reference.
    """
    base, others = Dataset(reference), [Dataset(path) for path in samples]
    for path, data in zip(samples, others, strict=True):
        _check(path, data, reference, base)
    for temperature in sorted(base.temperatures.tolist()):
        found = [
            _ensemble(name, data, temperature, base.model)
            for name, data in zip(names[1:], others, strict=True)
            if any(same_temperature(temperature, t) for t in data.temperatures)
        ]
        yield _ensemble(names[0], base, temperature, base.model), found


def _check(path: Path, data: Dataset, reference: Path, base: Dataset) -> None:
    if data.n_sites != base.n_sites:
        raise ValueError(f"{path} has {data.n_sites} sites, the reference {reference} has {base.n_sites}")
    if base.model is None and data.model is not None:
        raise ValueError(f"{reference} holds no Hamiltonian to measure energies with: use one as reference that does")
    if not any(same_temperature(a, b) for a in data.temperatures for b in base.temperatures):
        theirs, ours = (", ".join(f"{t:g}" for t in d.temperatures) for d in (data, base))
        raise ValueError(f"{path} has temperatures {theirs}, the reference has {ours}: none in common")


def _ensemble(name: str, data: Dataset, temperature: float, hamiltonian: Mapping[str, Any] | None) -> Ensemble:
    draws = data.draws
    if draws * data.chains < 2:
        raise ValueError(f"{data.path} holds {draws} complete draws: nothing to compare yet")
    energy = data.energy(temperature)
    if data.model != hamiltonian:
        energy = _measured(data, temperature, hamiltonian, energy.shape)
    every = max(1, -(-draws * data.chains * data.n_sites // _MOST_SPINS))
    return Ensemble(
        name,
        temperature,
        data.n_sites,
        energy / data.n_sites,
        data.magnetization(temperature) if data.unit != "bit" else 2 * data.magnetization(temperature) - 1,
        _spins(data, temperature, slice(None, None, every)),
        hamiltonian,
    )


def _spins(data: Dataset, temperature: float, draws: slice) -> torch.Tensor:
    return data.x(temperature, unit="spin" if data.unit == "bit" else None, draws=draws)


def _measured(data: Dataset, temperature: float, config: Mapping[str, Any] | None, shape: tuple[int, ...]) -> Any:
    """Energies of a file's configurations by another Hamiltonian than its own, a stretch of draws at a time."""
    model = build_hamiltonian(config)
    assert model is not None  # _check has refused a reference without a Hamiltonian
    step = max(1, _MOST_SPINS // (16 * data.chains * data.n_sites))
    parts = []
    for start in range(0, shape[0], step):
        x = _spins(data, temperature, slice(start, start + step))
        parts.append(model.energy(x.to(model.device)).cpu().numpy().astype(np.float64))
    return np.concatenate(parts).reshape(shape)
