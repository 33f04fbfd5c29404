"""The history of a training: one plain record an epoch, and any column of it as an array."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Record = dict[str, Any]


class History(list[Record]):
    """Records of an epoch each: ``epoch``, ``updates``, ``seconds`` (of CPU), ``learning_rate``, ``loss``, and what was
    monitored where it was; a list of plain data, so that it is JSON as it stands.

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
