"""Bytes a spin, and seconds to write and to read one temperature of 10,000 configurations of 32 x 32 out of 13.

python -m tests.benchmarks.dataset_io
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from ebmphys.dataset import Dataset, Writer

TEMPERATURES, DRAWS, CHAINS, SIDE, BLOCK = 13, 200, 50, 32, 20


def main() -> None:
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.h5"
        start = time.perf_counter()
        writer = Writer.create(
            path,
            temperatures=np.linspace(1.8, 3.0, TEMPERATURES).tolist(),
            draws=DRAWS,
            chains=CHAINS,
            n_sites=SIDE**2,
            shape=(SIDE, SIDE),
            block=BLOCK,
        )
        shape = (TEMPERATURES, BLOCK, CHAINS)
        bits = rng.integers(0, 256, (*shape, SIDE**2 // 8), dtype=np.uint8)
        with writer:
            while writer.next_block:
                writer.write_packed(bits, np.zeros(shape), np.zeros(shape))
        written = time.perf_counter() - start
        spins = TEMPERATURES * DRAWS * CHAINS * SIDE**2
        print(f"{path.stat().st_size / spins:.4f} bytes a spin, written at {spins / written / 1e6:.0f} Mspin/s")
        for name, read in (("packed", lambda d, t: d.packed(t)), ("tensor", lambda d, t: d.x(t, device="cpu"))):
            times = []
            for temperature in Dataset(path).temperatures:
                start = time.perf_counter()
                read(Dataset(path), temperature)
                times.append(time.perf_counter() - start)
            print(f"one temperature as {name}: {statistics.median(times) * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
