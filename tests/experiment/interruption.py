"""Runs of ``generate`` that are cut off, and what is in their files."""

import pytest

from ebmphys.dataset import Dataset, Writer
from ebmphys.experiment import Generate, generate


def contents(path):
    data = Dataset(path)
    return {
        t: (data.packed(t).tobytes(), data.energy(t).tobytes(), data.magnetization(t).tobytes())
        for t in data.temperatures
    }


def cut_off(whole: Generate, path, blocks: int, monkeypatch) -> Generate:
    """The same run into another file, interrupted after so many blocks."""
    cut = whole.model_copy(update={"out": path})
    written, write = [], Writer.write_packed

    def interrupted(self, *values):
        if len(written) == blocks:
            raise KeyboardInterrupt
        written.append(1)
        write(self, *values)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Writer, "write_packed", interrupted)
        generate(cut)
    return cut
