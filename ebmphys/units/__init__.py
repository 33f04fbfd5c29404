"""What a site may be: an exponential family each, with how it is drawn and what summing it out leaves.

A unit in a local field h carries the energy -h . statistics(x) plus its own free energy term ``energy(x)``.
``natural(h)`` turns the field into natural parameters eta at beta = 1; at inverse temperature beta they are beta * eta,
all of them, so a sampler multiplies and draws and never needs to know what the unit is. For two-valued units eta is
the log-odds of the upper value: 2h for +-1 spins, h for 0/1 units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields

from ebmphys.units.base import Unit, no_field
from ebmphys.units.discrete import Bit, Potts, Spin
from ebmphys.units.real import Gaussian, Quadratic, ReLU

KINDS: dict[str, type[Spin] | type[Bit] | type[Potts] | type[Gaussian] | type[ReLU]] = {
    kind.name: kind for kind in (Spin, Bit, Potts, Gaussian, ReLU)
}

__all__ = [
    "KINDS",
    "Bit",
    "Gaussian",
    "Potts",
    "Quadratic",
    "ReLU",
    "Spin",
    "Unit",
    "build_unit",
    "mirrors",
    "no_field",
    "unit_config",
]


def mirrors(unit: Unit) -> bool:
    """Whether a free unit is as likely at -x as at x: spins and Gaussian units."""
    return isinstance(unit, Spin | Gaussian)


def unit_config(unit: Unit) -> dict[str, object]:
    """The unit as plain data, from which ``build_unit`` makes it again."""
    return {"unit": unit.name} | asdict(unit)  # type: ignore[call-overload]


def build_unit(config: Mapping[str, object] | str) -> Unit:
    """The unit that a configuration or a name describes: ``"spin"``, ``{"unit": "potts", "q": 3}``.

    Raises ValueError for a name or a setting that it does not know, and where one is missing.
    """
    options = {"unit": config} if isinstance(config, str) else dict(config)
    name = options.pop("unit", None)
    if not isinstance(name, str) or name not in KINDS:
        raise ValueError(f"unit must be one of {', '.join(KINDS)}, got {name!r}")
    known = {f.name: f.default for f in fields(KINDS[name])}
    needed = {setting for setting, default in known.items() if default is MISSING}
    if not needed <= options.keys() <= known.keys():
        raise ValueError(
            f"a {name} unit is set by {', '.join(known) or 'nothing'}, got {', '.join(options) or 'nothing'}"
        )
    return KINDS[name](**options)
