"""``import``: a user's own configurations into the one file format."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from ebmphys.dataset import Dataset, ForeignData, Writer, load_foreign, pack
from ebmphys.energies import Ising
from ebmphys.experiment.hamiltonian import Geometry
from ebmphys.experiment.provenance import provenance
from ebmphys.experiment.settings import (
    Files,
    Flag,
    Settings,
    Size,
    Temperatures,
    check_apart,
    check_output,
    parse_size,
    parse_temperatures,
)
from ebmphys.experiment.summary import summary
from ebmphys.lattice import Lattice

_ROWS = 1 << 14


class Import(Settings):
    """Your own configurations (.npy, .npz, .h5, packed .pkl; +-1 or 0/1) into one HDF5 file, a file a temperature."""

    files: Files
    """One file a temperature: arrays (n, L, W) or (n, N), or eight sites a byte."""
    out: Path
    """The file to write."""
    temperatures: Temperatures | None = None
    """The temperature of each file, in order; read from names such as ..._T=2.25.pkl where not given."""
    size: Size | None = None
    """Sides of the lattice, where the arrays do not show them: 40x40."""
    key: str | None = None
    """The name of the array in a file that holds several."""
    chains: int = Field(default=1, ge=1)
    """Into how many chains each file's rows fall, row i belonging to chain i modulo this; one chain means one
    Markov chain in time order, and as many chains as rows that all are independent."""
    geometry: Geometry = "hypercubic"
    """The lattice that energies are measured on."""
    boundary: Literal["periodic", "open"] = "periodic"
    """Whether the lattice's bonds go round its edges."""
    coupling: float = Field(default=1.0, allow_inf_nan=False)
    """J of the energies."""
    field: float = Field(default=0.0, allow_inf_nan=False)
    """h of the energies: say it, or exact values and symmetries are those of h = 0."""
    force: Flag = False
    """Replace the output if it exists."""

    def inputs(self) -> list[Path]:
        return [*self.files]

    def written(self) -> list[Path]:
        return [self.out]


def import_files(settings: Import) -> dict[str, Any]:
    """Read, check, measure and write; the summary of what came in.

    Raises ValueError for files that do not fit together, an output that is one of them, or rows that do not divide into
    the chains.
    """
    check_apart(settings)
    check_output(settings.out, settings.force)
    shape = None if settings.size is None else parse_size(settings.size)
    files = [load_foreign(path, shape=shape, key=settings.key) for path in settings.files]
    temperatures = _temperatures(settings, files)
    order = np.argsort(temperatures)
    first = files[0]
    for path, data in zip(settings.files, files, strict=True):
        if data.shape != first.shape or len(data.x) != len(first.x):
            raise ValueError(
                f"{path} holds {len(data.x)} configurations of {data.shape}, "
                f"{settings.files[0]} {len(first.x)} of {first.shape}: they must be alike"
            )
    if len(first.x) % settings.chains:
        raise ValueError(f"{len(first.x)} rows do not divide into {settings.chains} chains")
    lattice = Lattice(first.shape, settings.geometry, settings.boundary == "periodic")
    model = Ising(lattice, settings.coupling, settings.field, device="cpu")
    draws = len(first.x) // settings.chains
    block = max(1, min(draws, _ROWS // settings.chains))
    writer = Writer.create(
        settings.out,
        temperatures=[temperatures[k] for k in order],
        draws=draws,
        chains=settings.chains,
        n_sites=model.n_sites,
        shape=first.shape,
        block=block,
        settings={"verb": "import", **settings.what()},
        model=model.config,
        provenance=provenance(settings.files),
        force=settings.force,
    )
    with writer:
        while writer.next_block:
            here = slice(writer.completed * settings.chains, (writer.completed + writer.next_block) * settings.chains)
            bits = np.stack([files[k].x[here].reshape(writer.next_block, settings.chains, -1) for k in order])
            spins = torch.from_numpy(bits).float() * 2 - 1
            writer.write_packed(pack(spins), model.energy(spins).numpy(), spins.mean(-1, dtype=torch.float64).numpy())
    return summary(Dataset(settings.out))


def _temperatures(settings: Import, files: list[ForeignData]) -> list[float]:
    if settings.temperatures is not None:
        if len(settings.temperatures) != len(files):
            raise ValueError(f"{len(files)} files need as many temperatures, got {len(settings.temperatures)}")
        return list(settings.temperatures)
    unnamed = [str(path) for path, data in zip(settings.files, files, strict=True) if data.temperature is None]
    if unnamed:
        raise ValueError(f"no temperature in the name of {unnamed[0]}: give --temperatures, one a file")
    return list(parse_temperatures([data.temperature for data in files]))
