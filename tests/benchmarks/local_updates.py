"""Flips per nanosecond and effective samples a second of every sampler beside its peers, at sizes that matter.

python -m tests.benchmarks.local_updates --threads 1
"""

from __future__ import annotations

import argparse

from ebmphys.cli import tables
from ebmphys.experiment import Bench, bench

TASKS = (("64x64", 1), ("64x64", 64), ("64x64", 1024), ("1024x1024", 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    for size, chains in TASKS:
        tables.show("bench", bench(Bench(size=size, chains=chains, threads=options.threads)))


if __name__ == "__main__":
    main()
