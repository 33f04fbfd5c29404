"""Compiled sweeps of machines of two layers of two-valued units, their states packed into bits."""

from ebmphys.samplers.layered.sweeps import PackedLayers, packs

__all__ = ["PackedLayers", "packs"]
