"""Independent random streams from a seed and a path of names.

A stream belongs to what it is for ("generate", "train", a temperature), never to a rank or a worker index,
so adding a stream leaves every other one as it was and results do not depend on how the work was split.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch

_MT19937_WORDS = 624
_MT19937_OFFSET = 24  # bytes of torch's CPU generator state before the Mersenne Twister's words


def default_device() -> torch.device:
    """The device on which models and generators are made unless told: ``cuda`` where it is there, else ``cpu``."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def generator(seed: int, *path: str | int, device: torch.device | str | None = None) -> torch.Generator:
    """A random generator whose stream is determined by ``(seed, *path)`` alone.

    The pair is hashed (SHA-256). On CUDA the hash seeds Philox with 64 bits. On the CPU all 624 words of the
    Mersenne Twister are filled from it, because ``torch.Generator.manual_seed`` keeps only the low 32 bits of
    a seed there and two of 65,000 streams would more likely than not be the same.

    Raises ValueError for a negative or non-integer seed.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be a non-negative integer, got {seed!r}")
    digest = hashlib.sha256(repr((seed, *path)).encode()).digest()
    rng = torch.Generator(device=default_device() if device is None else torch.device(device))
    rng.manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    if rng.device.type == "cpu":
        state = rng.get_state().numpy().copy()
        words = state[_MT19937_OFFSET : _MT19937_OFFSET + 8 * _MT19937_WORDS].view(np.uint64)
        entropy = np.random.SeedSequence(int.from_bytes(digest, "little"))
        words[:] = np.random.MT19937(entropy).state["state"]["key"]
        rng.set_state(torch.from_numpy(state))
    return rng


def uniforms(shape: tuple[int, ...] | torch.Size, rng: torch.Generator) -> torch.Tensor:
    """Uniform float32 numbers in [0, 1) on a grid of 2^-24, on the generator's device."""
    return torch.rand(shape, generator=rng, device=rng.device, dtype=torch.float32)
