"""Two-valued sites as bits: the upper value of a unit is a set bit."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

VALUES: dict[str, tuple[float, float]] = {"spin": (-1.0, 1.0), "bit": (0.0, 1.0)}
"""The lower and the upper value of each two-valued unit."""

Packed = NDArray[np.uint8]


def site_bytes(n_sites: int) -> int:
    """Bytes that hold one configuration of ``n_sites`` bits."""
    return -(-n_sites // 8)


def pack(x: torch.Tensor | NDArray[np.generic], unit: str = "spin") -> Packed:
    """Configurations of a two-valued unit as bits: (..., n_sites) -> (..., ceil(n_sites / 8)) uint8.

    Site i is bit 7 - i % 8 of byte i // 8 (the order of ``numpy.packbits``); unused bits of the last byte are 0.

    Raises ValueError if a value is neither of the unit's two.
    """
    lower, upper = VALUES[unit]
    if isinstance(x, torch.Tensor) and x.device.type == "cpu":
        x = x.detach().numpy()  # numpy compares four times faster on one thread
    high = x == upper
    low = x == lower
    if not bool((high | low).all()):
        raise ValueError(f"a configuration of unit '{unit}' holds only {lower:g} and {upper:g}, other values found")
    bits = high.cpu().numpy() if isinstance(high, torch.Tensor) else high
    return np.packbits(bits, axis=-1)


def unpack(
    packed: torch.Tensor | Packed, n_sites: int, unit: str = "spin", device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Bits as configurations: (..., ceil(n_sites / 8)) uint8 -> (..., n_sites) float32 with the unit's values.

    The bits travel to ``device`` packed and are spread out there. The order is that of ``pack``.
    """
    device = torch.device(device)
    table = _values_of_byte(unit)
    if device.type == "cpu":
        index = packed.cpu().numpy() if isinstance(packed, torch.Tensor) else packed
        # "clip" skips numpy's bounds check: a byte cannot leave a table of 256 rows.
        x = torch.from_numpy(np.take(table, index, axis=0, mode="clip"))
    else:
        x = _spread(torch.as_tensor(packed).to(device), torch.from_numpy(table).to(device))
    return x.flatten(-2)[..., :n_sites].contiguous()


def _spread(packed: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """The row of ``table`` for each byte, on the device of both."""
    return torch.nn.functional.embedding(packed.int(), table)


def _values_of_byte(unit: str) -> NDArray[np.float32]:
    lower, upper = VALUES[unit]
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    return np.where(bits == 1, upper, lower).astype(np.float32)
