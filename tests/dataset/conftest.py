"""A small dataset with known contents, and what its blocks are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ebmphys.dataset import VALUES, Dataset, Writer


@dataclass
class Run:
    """A run whose every number is known: x (temperature, draw, chain, site) and its series."""

    temperatures: tuple[float, ...]
    x: np.ndarray
    energy: np.ndarray
    magnetization: np.ndarray
    unit: str
    block: int

    def create(self, path: Path, **options: object) -> Writer:
        _, draws, chains, n_sites = self.x.shape
        return Writer.create(
            path,
            temperatures=self.temperatures,
            draws=draws,
            chains=chains,
            n_sites=n_sites,
            unit=self.unit,
            block=self.block,
            settings={"seed": 1},
            state=self.state(0),
            **options,
        )

    def state(self, draws: int) -> dict[str, np.ndarray]:
        """The state after ``draws`` draws: the last configuration, and bytes that stand for random numbers."""
        x = self.x[:, draws - 1] if draws else np.zeros_like(self.x[:, 0])
        return {"x": x.astype(np.float32), "rng": np.full(40, draws % 251, np.uint8)}

    def write(self, writer: Writer) -> None:
        """The next block."""
        stop = writer.completed + writer.next_block
        part = slice(writer.completed, stop)
        writer.write(self.x[:, part], self.energy[:, part], self.magnetization[:, part], self.state(stop))

    def finish(self, writer: Writer) -> None:
        with writer:
            while writer.next_block:
                self.write(writer)

    def check(self, path: Path, draws: int | None = None) -> int:
        """Asserts that the file holds exactly the first ``draws`` (default: whatever number is completed)."""
        data = Dataset(path)
        draws = data.draws if draws is None else draws
        assert data.draws == draws
        for index, temperature in enumerate(self.temperatures):
            x = data.x(temperature, device="cpu").numpy()
            assert np.array_equal(x, self.x[index, :draws].reshape(len(x), data.n_sites))
            assert np.array_equal(data.energy(temperature), self.energy[index, :draws])
            assert np.array_equal(data.magnetization(temperature), self.magnetization[index, :draws])
        return draws


@pytest.fixture
def make_run() -> Callable[..., Run]:
    def make(
        n_sites: int = 37, unit: str = "spin", draws: int = 25, block: int = 10, chains: int = 4, temperatures: int = 3
    ) -> Run:
        rng = np.random.default_rng(n_sites)
        size = (temperatures, draws, chains, n_sites)
        if unit in VALUES:
            x = rng.choice(np.array(VALUES[unit], np.float32), size=size)
        else:
            x = rng.normal(size=size).astype(np.float32)
        energy, magnetization = rng.normal(size=size[:3]), x.mean(-1, dtype=np.float64)
        return Run(tuple(1.5 + 0.5 * np.arange(temperatures)), x, energy, magnetization, unit, block)

    return make


@pytest.fixture
def run(make_run: Callable[..., Run]) -> Run:
    return make_run()


@pytest.fixture
def written(run: Run, tmp_path: Path) -> Path:
    """A complete file of ``run``."""
    path = tmp_path / "run.h5"
    run.finish(run.create(path))
    return path
