"""What compiled sweeps of two layers share: chains in bits, a stream of random words each, and who takes part."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ebmphys.energies import TwoLayers
from ebmphys.samplers.compiled import Words, seeds, torch_threads
from ebmphys.samplers.two_valued import PER_NAT
from ebmphys.units import Bit, Spin

Floats = NDArray[np.float32]

CHUNK = 256  # chains that share a stream of random words
_WORTH_THREADS = 2**18  # units


def two_valued_layers(model: TwoLayers, x: Tensor) -> bool:
    """Spins and bits in float32 on the CPU, chains in one piece."""
    units = isinstance(model.visible, Spin | Bit) and isinstance(model.hidden, Spin | Bit)
    place = x.device.type == "cpu" and x.is_contiguous() and x.ndim > 1 and x.numel() > 0
    return units and place and x.dtype == torch.float32


class PackedSweeps(ABC):
    """Sweeps of the chains of two layers, hidden layer first: prepared once, x packed before and written after.

    P(upper value) = 1 / (1 + exp(-beta eta)) to 2^-24, each decision with random bits of its own. x: (*batch, n_sites);
    beta broadcasts against the batch.
    """

    def __init__(self, model: TwoLayers, beta: Tensor, x: Tensor) -> None:
        self.tensor, self.x, self.split = x, x.detach().flatten(0, -2).numpy(), model.n_visible
        self.rates = PER_NAT * np.ascontiguousarray(beta.expand(x.shape[:-1]).reshape(len(self.x)).float().numpy())
        self.ends = tuple(np.float32(value) for unit in (model.visible, model.hidden) for value in unit.values)

    def advance(self, steps: int, rng: torch.Generator) -> None:
        """So many sweeps."""
        keys = seeds((steps, 4), rng)
        if self.x.size < _WORTH_THREADS or torch.get_num_threads() == 1:
            self._sweep(keys, threaded=False)
        else:
            with torch_threads():
                self._sweep(keys, threaded=True)
        if not self.tensor.is_inference():
            torch.autograd.graph.increment_version(self.tensor)  # numpy writes past autograd

    @abstractmethod
    def _sweep(self, keys: Words, threaded: bool) -> None:
        """One sweep of every row of x for each key, in place."""
