"""Multi-spin coding on CUDA devices, in Triton; the only room that imports it, and only opened for models there."""

from ebmphys.samplers.multispin.gpu.chains import DeviceChains, advance
from ebmphys.samplers.multispin.gpu.launch import SHARED, STRICT, Tuning

__all__ = ["SHARED", "STRICT", "DeviceChains", "Tuning", "advance"]
