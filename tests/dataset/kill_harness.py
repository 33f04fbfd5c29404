"""Writes one dataset in children that are killed (SIGKILL) at random moments; prints what was seen as JSON.

usage: kill_harness.py PATH KILLS SEED. Run as a program: it forks, which a test process with threads should not.
A child continues from the file alone: configurations come from a generator whose state travels in the file.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch

from ebmphys.dataset import Dataset, Writer

torch.set_num_threads(1)
TEMPERATURES, DRAWS, CHAINS, N_SITES, BLOCK = (1.0, 2.0, 3.0), 603, 16, 2001, 4


def start(path: str) -> Writer:
    state = {"x": np.zeros((3, CHAINS, N_SITES), np.int8), "rng": generator().get_state().numpy()}
    size = {"draws": DRAWS, "chains": CHAINS, "n_sites": N_SITES, "block": BLOCK}
    return Writer.create(path, temperatures=TEMPERATURES, state=state, force=True, **size)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def write(writer: Writer, blocks: int) -> None:
    """The next blocks of a Markov chain: each draw flips some sites of the one before."""
    state, rng = writer.state(), torch.Generator()
    rng.set_state(torch.from_numpy(state["rng"]))
    bits = torch.from_numpy(state["x"])
    while writer.next_block and blocks:
        block = []
        for _ in range(writer.next_block):
            bits = bits ^ torch.randint(0, 2, bits.shape, dtype=torch.int8, generator=rng)
            block.append(bits)
        x = 2.0 * torch.stack(block, dim=1) - 1
        writer.write(x, x.sum(-1), x.mean(-1), {"x": bits.numpy(), "rng": rng.get_state().numpy()})
        blocks -= 1


def contents(path: str) -> list[np.ndarray]:
    data = Dataset(path)
    return [read(t) for t in TEMPERATURES for read in (data.packed, data.energy, data.magnetization)]


def life(path: str, wait: float, from_resume: bool) -> int:
    """One child that resumes and is killed ``wait`` seconds after its start or its resume. -> its signal, or 0."""
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        with Writer.resume(path) as writer:
            os.write(tell, b".")
            write(writer, -1)
        os._exit(0)
    if from_resume:
        os.read(ready, 1)
    time.sleep(wait)
    os.kill(child, signal.SIGKILL)
    os.close(ready)
    os.close(tell)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(path: str, kills: int, seed: int) -> dict[str, object]:
    chance = random.Random(seed)
    began = time.perf_counter()
    with start(path + ".whole") as writer:
        write(writer, -1)
    duration = time.perf_counter() - began
    whole, size = contents(path + ".whole"), Path(path + ".whole").stat().st_size

    def right(draws: int) -> bool:
        return all(np.array_equal(now, then[:draws]) for now, then in zip(contents(path), whole, strict=True))

    start(path).close()
    seen = {"kills": 0, "wrong": 0, "size_changed": 0, "runs": 1, "completed": []}
    while seen["kills"] < kills:
        if life(path, chance.uniform(0, 0.2 * duration), chance.random() < 0.8) == 0:
            seen["wrong"] += not right(DRAWS)
            seen["runs"] += 1
            start(path).close()
            continue
        seen["kills"] += 1
        seen["completed"].append(Dataset(path).draws)
        seen["wrong"] += not right(seen["completed"][-1])
        seen["size_changed"] += Path(path).stat().st_size != size
    with Writer.resume(path) as writer:
        write(writer, -1)
    seen["resumed_equals_whole"] = Dataset(path).complete and right(DRAWS)
    return seen


if __name__ == "__main__":
    json.dump(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])), sys.stdout)
