"""Reading a dataset: one temperature at a time, as tensors, while a writer may still be at work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from ebmphys.dataset.bits import VALUES, Packed, unpack
from ebmphys.dataset.commit import read_commit
from ebmphys.dataset.header import FORMAT, TOLERANCE, VERSION, Header, read_header
from ebmphys.dataset.layout import check_layout
from ebmphys.dataset.safety import member, opened, reading
from ebmphys.rng import default_device

if TYPE_CHECKING:
    import xarray

Device = torch.device | str | None
ALL = slice(None)


class Dataset:
    """Configurations, energies and magnetizations of a file, at the temperatures it holds.

    ``Dataset(path).x(temperature=2.269)`` is a tensor (draw * chain, n_sites). The file is opened for each read and
    closed after it, so an object can be pickled, and shows the draws that a running writer has completed by now.
    ``temperature`` may be left out where the file has only one.

    Raises FileNotFoundError or ValueError, with one line, for what is not a dataset or is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with opened(self.path) as file:
            self.header: Header = read_header(file)
            check_layout(file, self.header)
            read_commit(file, self.header)

    def __repr__(self) -> str:
        head = self.header
        return (
            f"Dataset('{self.path}': {len(head.temperatures)} temperatures, {self.draws} of {head.draws} draws, "
            f"{head.chains} chains, {head.n_sites} sites, unit '{head.unit}')"
        )

    @property
    def temperatures(self) -> NDArray[np.float64]:
        """Temperatures k_B T / J, in the order of the file."""
        return np.asarray(self.header.temperatures)

    @property
    def draws(self) -> int:
        """Draws completed by now, per temperature and chain."""
        with self._opened() as file:
            return read_commit(file, self.header).completed

    @property
    def draws_planned(self) -> int:
        """Draws that the file has room for."""
        return self.header.draws

    @property
    def complete(self) -> bool:
        """Whether all planned draws are there."""
        return self.draws == self.header.draws

    @property
    def chains(self) -> int:
        """Independent chains per temperature."""
        return self.header.chains

    @property
    def n_sites(self) -> int:
        """Sites of a configuration."""
        return self.header.n_sites

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Shape of the lattice, if it has one."""
        return self.header.shape

    @property
    def unit(self) -> str:
        """Values of a site: "spin" (-1, +1), "bit" (0, 1) or "gaussian" (real)."""
        return self.header.unit

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the run that made the file."""
        return dict(self.header.settings)

    @property
    def model(self) -> dict[str, Any] | None:
        """Configuration of the Hamiltonian that the energies belong to, if there is one."""
        return None if self.header.model is None else dict(self.header.model)

    @property
    def provenance(self) -> dict[str, Any]:
        """Version, commit, command and inputs of the run that made the file."""
        return dict(self.header.provenance)

    def x(
        self, temperature: float | None = None, *, unit: str | None = None, device: Device = None, draws: slice = ALL
    ) -> torch.Tensor:
        """Configurations at one temperature: -> (draw * chain, n_sites) float32, chains of a draw side by side.

        ``unit`` "spin" or "bit" gives the values (default: the file's); ``draws`` selects completed draws.

        Raises ValueError if there is no such temperature (to 1e-6 relative), naming those there are, for a unit
        that the file's values cannot be given in, or if the data fail their checksum.
        """
        unit = self._unit(unit)
        return self._decode(self._rows("x", temperature, draws), unit, _device(device)).flatten(0, 1)

    def packed(self, temperature: float | None = None, *, draws: slice = ALL) -> Packed:
        """Configurations at one temperature as they are stored: -> (draw, chain, ceil(n_sites / 8)) uint8.

        Raises ValueError as ``x`` does, and for a unit that is not two-valued.
        """
        if not self.header.packed:
            raise ValueError(f"unit '{self.unit}' is not stored as bits: use x")
        return self._rows("x", temperature, draws)

    def energy(self, temperature: float | None = None, *, draws: slice = ALL) -> NDArray[np.float64]:
        """Total energies E (without beta) at one temperature: -> (draw, chain). Raises ValueError as ``x`` does."""
        return self._rows("energy", temperature, draws)

    def magnetization(self, temperature: float | None = None, *, draws: slice = ALL) -> NDArray[np.float64]:
        """Signed m = sum x / N at one temperature: -> (draw, chain). Raises ValueError as ``x`` does."""
        return self._rows("magnetization", temperature, draws)

    def batches(
        self,
        batch_size: int,
        *,
        temperature: float | None = None,
        rng: torch.Generator | None = None,
        unit: str | None = None,
        device: Device = None,
        draws: slice = ALL,
    ) -> Iterator[torch.Tensor]:
        """One epoch of minibatches -> (batch_size, n_sites), the last one shorter, in an order drawn from ``rng``.

        Each configuration comes once; without ``rng`` in the order of ``x``. Only bits are held, on ``device``,
        and a batch is spread out when it is due.

        Raises ValueError as ``x`` does, and for a batch size below one.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        unit, target = self._unit(unit), _device(device)
        rows = torch.from_numpy(self._rows("x", temperature, draws)).flatten(0, 1).to(target)
        if rng is None:
            order = torch.arange(len(rows), device=target)
        else:
            order = torch.randperm(len(rows), generator=rng, device=rng.device).to(target)
        return (self._decode(rows[part], unit, target) for part in order.split(batch_size))

    def to_xarray(self, *, draws: slice = ALL) -> xarray.Dataset:
        """Completed draws as ``xarray.Dataset``: x (temperature, draw, chain, site), energy, magnetization.

        Two-valued x are int8 with the unit's values. Raises ImportError if xarray is not installed.
        """
        try:
            import xarray
        except ImportError:
            raise ImportError("to_xarray needs xarray: install ebmphys[xarray]") from None
        series = ("temperature", "draw", "chain")
        numbers = np.arange(self.draws)[draws]
        sites = [self.x(t, device="cpu", draws=draws).numpy() for t in self.header.temperatures]
        if self.header.packed:
            sites = [x.astype(np.int8) for x in sites]
        x = np.stack(sites).reshape(len(self.header.temperatures), len(numbers), self.chains, self.n_sites)
        energy = np.stack([self.energy(t, draws=draws) for t in self.header.temperatures])
        magnetization = np.stack([self.magnetization(t, draws=draws) for t in self.header.temperatures])
        return xarray.Dataset(
            {"x": ((*series, "site"), x), "energy": (series, energy), "magnetization": (series, magnetization)},
            coords={"temperature": self.temperatures, "draw": numbers, "chain": np.arange(self.chains)},
            attrs=self.header.attributes(),
        )

    def describe(self) -> dict[str, Any]:
        """What is in the file, as values that JSON can hold."""
        head, draws, size = self.header, self.draws, self.path.stat().st_size
        spins = len(head.temperatures) * head.draws * head.chains * head.n_sites
        return {
            "path": str(self.path),
            "format": FORMAT,
            "format_version": VERSION,
            "unit": head.unit,
            "shape": None if head.shape is None else list(head.shape),
            "n_sites": head.n_sites,
            "temperatures": list(head.temperatures),
            "draws": draws,
            "draws_planned": head.draws,
            "complete": draws == head.draws,
            "chains": head.chains,
            "block": head.block,
            "bytes": size,
            "bytes_per_site": size / spins,
            "model": self.model,
            "settings": self.settings,
            "provenance": self.provenance,
        }

    @contextmanager
    def _opened(self) -> Iterator[h5py.File]:
        with opened(self.path) as file:
            check_layout(file, self.header)
            yield file

    def _rows(self, name: str, temperature: float | None, draws: slice) -> NDArray[Any]:
        index = self._index(temperature)
        with self._opened() as file:
            start, stop, step = draws.indices(read_commit(file, self.header).completed)
            if step < 1:
                raise ValueError(f"{self.path}: draws must go forward, got {draws}")
            with reading(self.path, f"/{name} at temperature {self.header.temperatures[index]:g}"):
                return np.asarray(member(file, name)[index, start : max(start, stop) : step])

    def _index(self, temperature: float | None) -> int:
        there = ", ".join(f"{t:g}" for t in self.header.temperatures)
        if temperature is None:
            if len(self.header.temperatures) > 1:
                raise ValueError(f"{self.path}: say which temperature: {there}")
            return 0
        distance = np.abs(self.temperatures - temperature)
        index = int(np.argmin(distance))
        if not distance[index] <= TOLERANCE * self.temperatures[index]:
            raise ValueError(f"{self.path}: no temperature {temperature:.12g}, there are {there}")
        return index

    def _unit(self, unit: str | None) -> str:
        if unit is None or unit == self.unit or (self.header.packed and unit in VALUES):
            return unit or self.unit
        raise ValueError(f"{self.path}: values of unit '{self.unit}' cannot be given as {unit!r}")

    def _decode(self, rows: torch.Tensor | NDArray[Any], unit: str, device: torch.device) -> torch.Tensor:
        if self.header.packed:
            return unpack(rows, self.n_sites, unit, device)
        return torch.as_tensor(rows).to(device)


def _device(device: Device) -> torch.device:
    return default_device() if device is None else torch.device(device)
