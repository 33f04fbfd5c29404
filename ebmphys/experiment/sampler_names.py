"""The samplers of ``generate`` by the names that its settings have for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from ebmphys.energies import Ising
from ebmphys.samplers import BlockGibbs, Enumerated, Metropolis, MultiSpin, Sampler
from ebmphys.samplers.cluster import SwendsenWang, Wolff
from ebmphys.samplers.multispin import Update

Name = Literal["gibbs", "metropolis", "packed-gibbs", "packed-metropolis", "swendsen-wang", "wolff", "enumerated"]

SAMPLERS: dict[Name, Callable[[Ising], Sampler]] = {
    "gibbs": BlockGibbs,
    "metropolis": Metropolis,
    "packed-gibbs": MultiSpin,
    "packed-metropolis": lambda model: MultiSpin(model, Update.METROPOLIS),
    "swendsen-wang": SwendsenWang,
    "wolff": Wolff,
    "enumerated": Enumerated,
}
PACKED: tuple[str, ...] = ("packed-gibbs", "packed-metropolis")
