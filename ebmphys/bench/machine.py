"""On what a measurement was made."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from llvmlite.binding import get_host_cpu_features

PACKAGES = ("ebmphys", "torch", "numba", "numpy", "peapods", "dwave-samplers", "thrml", "jax")


def vector_width(features: dict[str, bool]) -> str:
    """The widest vectors that compiled kernels can use, from the processor's features by name."""
    if features.get("avx512f"):
        return "avx512"
    return "avx2" if features.get("avx2") else "none"


def machine(device: torch.device) -> dict[str, Any]:
    """Device, processor, vector width, threads and the versions of what is installed; JSON values."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {
        "device": name,
        "cpu": _processor(),
        "vector": vector_width(dict(get_host_cpu_features())),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {package: found for package in PACKAGES if (found := _version(package))},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
