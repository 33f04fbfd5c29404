"""Multi-spin coding: Ising spins as bits, updated 512 at a time behind the ``init`` and ``step`` of any sampler."""

from ebmphys.samplers.multispin.chains import BitChains, PackedChains
from ebmphys.samplers.multispin.sampler import MultiSpin, Packing, Update

__all__ = ["BitChains", "MultiSpin", "PackedChains", "Packing", "Update"]
