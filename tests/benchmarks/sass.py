"""Counting machine instructions of NVIDIA devices by the pipe that they take."""

from __future__ import annotations

import re
from collections import Counter

_INSTRUCTION = re.compile(r"\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)(.*)")
_LABEL = re.compile(r"^(\.L_x_\d+):")
_PIPES = (  # the first that fits: beginnings of names
    ("wide", ("IMAD.WIDE", "IMAD.HI")),
    ("multiply", ("IMAD",)),
    ("uniform", ("U", "R2UR", "LDC", "S2R", "S2UR")),
    ("memory", ("LDG", "STG", "LDS", "STS", "BAR", "SHFL")),
    ("control", ("BRA", "NOP", "EXIT", "REDUX", "BSSY", "BSYNC", "WARPSYNC")),
)


def body(code: str) -> tuple[list[str], list[str]]:
    """Instructions of the longest loop that are not in a loop within it, and those that are."""
    labels: dict[str, int] = {}
    found: list[tuple[str, str]] = []
    for line in code.splitlines():
        if label := _LABEL.match(line):
            labels[label.group(1)] = len(found)
        elif instruction := _INSTRUCTION.search(line):
            found.append((instruction.group(1), instruction.group(2)))
    loops = []
    for place, (name, rest) in enumerate(found):
        to = re.search(r"\.L_x_\d+", rest)
        if name == "BRA" and to and labels[to.group()] < place:
            loops.append((labels[to.group()], place + 1))
    first, last = max(loops, key=lambda loop: loop[1] - loop[0])
    within = {n for a, b in loops if first < a and b < last for n in range(a, b)}
    return (
        [found[n][0] for n in range(first, last) if n not in within],
        [found[n][0] for n in sorted(within)],
    )


def pipes(instructions: list[str]) -> Counter[str]:
    """How many go to each pipe; ``integer`` are all that are not elsewhere."""
    return Counter(next((pipe for pipe, names in _PIPES if name.startswith(names)), "integer") for name in instructions)
