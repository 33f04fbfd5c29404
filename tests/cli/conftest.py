"""Data for machines to be fitted to."""

import pytest

from ebmphys.cli.verbs import main


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with 2,000 exact draws of the 3 x 4 lattice."""
    folder = tmp_path_factory.mktemp("machines")
    line = f"generate --size 3x4 --temperatures 2.269 --independent 2000 --sampler enumerated --out {folder}/a.h5"
    assert main([*line.split(), "--quiet", "--device", "cpu"]) == 0
    return folder
