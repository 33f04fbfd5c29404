"""What compiled kernels share with torch: threads, and seeds."""

import os
import subprocess
import sys

import numpy as np

from ebmphys.rng import generator
from ebmphys.samplers.compiled import seeds

ONE_STEP = """
import torch
torch.set_num_threads(1)
assert torch.get_num_threads() == 1  # any work of torch's settles its threads, and this does
from ebmphys.energies import ferromagnet
from ebmphys.rng import generator
from ebmphys.samplers.cluster import SwendsenWang
sampler = SwendsenWang(ferromagnet((4, 4), device="cpu"))
sampler.step(sampler.init(2, rng=generator(1, device="cpu")))
print(torch.get_num_threads())
"""


def test_the_first_parallel_kernel_leaves_torch_its_threads():
    # In a process of its own: numba starts its threads once, and where it shares OpenMP with torch it sets both.
    free = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")}
    done = subprocess.run([sys.executable, "-c", ONE_STEP], env=free, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_seeds_are_whole_words_in_the_order_of_the_shape():
    words = seeds((50, 40, 4), generator(1, device="cpu"))
    assert words.shape == (50, 40, 4) and words.dtype == np.uint64 and len(np.unique(words)) == words.size
    bits = np.unpackbits(words.view(np.uint8).reshape(-1, 8), axis=1).mean(0)
    assert np.abs(bits - 0.5).max() < 5 * 0.5 / 8000**0.5  # the sign bit too
    rng = generator(1, device="cpu")
    assert np.array_equal(np.concatenate([seeds((20, 40, 4), rng), seeds((30, 40, 4), rng)]), words)
