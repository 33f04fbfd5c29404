"""The history of a training: one plain record an epoch, and any column of it as an array."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Record = dict[str, Any]

_POSITIVE = {"chain_positive": "chains", "draw_positive": "draws"}  # shares with m > 0, and what of
_SHARE = 0.05  # of the data, that a sign must have to count as there
_LONG = 20.0  # steps; a tenth of the run that tau is measured in
_STUCK = 0.05  # of the trades between two rungs of a ladder
_OPEN = 1.0  # nats between the two ends of a bracketed likelihood
_SURE = 4.0  # standard errors
_FAR = 8.0  # standard errors between chains and data, that no noise and no lag of the chains accounts for
_DEVIATIONS = {"energy_per_site_deviation": "the energy per site", "abs_magnetization_deviation": "|m|"}
# Which way is better, and the least gain over independent sites, as a share of what they reach: of a divergence, where
# all is there to be learned, and of a likelihood, where most is the entropy of single sites.
_LEAST_GAIN = dict.fromkeys(("kl", "kl_estimate", "kl_bound"), (-1, 0.05))
_LEAST_GAIN |= dict.fromkeys(("log_likelihood", "elbo"), (1, 0.001))


class History(list[Record]):
    """Records of an epoch each: ``epoch``, ``updates``, ``seconds`` (of CPU, monitors apart), ``learning_rate``,
    ``loss``, and what was monitored where it was; a list of plain data, so that it is JSON as it stands.

    ``stopped`` says why the training ended: ``finished``, ``budget`` (of CPU seconds), ``early``, ``interrupted``,
    or is empty while it runs.
    """

    def __init__(self, records: Iterable[Record] = (), stopped: str = "") -> None:
        super().__init__(records)
        self.stopped = stopped

    def column(self, name: str) -> NDArray[np.float64]:
        """One quantity against epochs, NaN where it was not measured; -> (epochs,).

        Raises ValueError for a name that no record has.
        """
        if not any(name in record for record in self):
            names = sorted({key for record in self for key in record})
            raise ValueError(f"the history has no {name!r}; it has {', '.join(names)}")
        return np.array([record.get(name, np.nan) for record in self], dtype=np.float64)

    @property
    def columns(self) -> dict[str, NDArray[np.float64]]:
        """Every quantity against epochs; name -> (epochs,)."""
        names = dict.fromkeys(key for record in self for key in record)
        return {name: self.column(name) for name in names}

    @property
    def doubts(self) -> dict[str, str]:
        """``doubts`` of the latest measurement of each quantity."""
        return doubts({name: value for record in self for name, value in record.items()})


def doubts(record: Record) -> dict[str, str]:
    """What a record says against the model, in words: a missing ``sign``, ``averages`` far from the data's, a long
    ``tau``, a ladder without ``swaps``, an open ``bracket``, ``nothing`` learned."""
    found = {
        "sign": _signs(record),
        "averages": _far(record),
        "tau": _slow(record),
        "swaps": _stuck(record),
        "bracket": _open(record),
        "nothing": _nothing(record),
    }
    return {name: words for name, words in found.items() if words}


def _signs(record: Record) -> str:
    own = next((name for name in _POSITIVE if name in record), None)
    if own is None or "data_positive" not in record:
        return ""
    chains, data = record[own], record["data_positive"]
    if not _SHARE < data < 1 - _SHARE:
        return ""
    for share, wanted, sign in ((chains, data, ">"), (1 - chains, 1 - data, "<")):
        if share < wanted / 4:
            return (
                f"m {sign} 0 in {share:.1%} of the {_POSITIVE[own]} but {wanted:.1%} of the data: a model with one "
                f"sign can have every observable right and the KL wrong by nats"
            )
    return ""


def _far(record: Record) -> str:
    for name, word in _DEVIATIONS.items():
        z = record.get(name, 0.0)
        if abs(z) > _FAR:
            return f"{word} of the chains is {z:+.1f} standard errors from the data's: the model has not learned it"
    return ""


def _slow(record: Record) -> str:
    tau = record.get("chain_tau", 0.0)
    if tau < _LONG:
        return ""
    return f"the chains need {tau:.0f} steps or more to forget (tau): the gradient may be that of another model"


def _stuck(record: Record) -> str:
    rate = record.get("swap_rate", 1.0)
    if not rate < _STUCK:
        return ""
    return f"two rungs of the ladder trade {rate:.1%} of the time: no chain travels past them, take more rungs"


def _open(record: Record) -> str:
    for name in ("log_likelihood", "kl_estimate"):
        low, high = record.get(f"{name}_low"), record.get(f"{name}_high")
        if low is None or high is None:
            continue
        if high - low > _OPEN:
            return f"{name} lies between {low:.4g} and {high:.4g}: annealing does not close on log Z"
        noise = math.hypot(*(record.get(f"{name}_{end}_error", 0.0) for end in ("low", "high")))
        if low - high > max(_OPEN, _SURE * noise):
            return f"the ends of {name} have changed places ({low:.4g}, {high:.4g}): the chains are not of the model"
    return ""


def _nothing(record: Record) -> str:
    for name, (sign, share) in _LEAST_GAIN.items():
        value, independent = record.get(name), record.get(f"{name}_independent")
        if value is None or independent is None:
            continue
        gain = sign * (value - independent)
        if not gain > share * abs(independent):
            how = "hardly better" if gain > 0 else "no better" if gain == 0 else "worse"
            return (
                f"{name} is {value:.4g}, {how} than the {independent:.4g} of sites that know nothing of each other: "
                f"nothing was learned, by too few updates, a learning_rate too high or a prior too strong"
            )
    return ""
