"""Imports point downwards only, and the check would notice if one did not."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [command, "--no-cache"], cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": str(folder)}
    )


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(ROOT / "ebmphys", tmp_path / "ebmphys", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_tree_keeps_its_layers(copy):
    outcome = lint(copy)
    assert outcome.returncode == 0, outcome.stdout


@pytest.mark.parametrize(
    ("module", "planted"),
    [
        ("stats/mean.py", "import ebmphys.energies"),
        ("energies/ising.py", "from ebmphys.samplers import BlockGibbs"),
        ("samplers/gibbs.py", "import ebmphys.train"),
        ("figures/style.py", "import torch"),
        ("energies/rbm.py", "import h5py"),
    ],
)
def test_a_planted_upward_import_is_found(copy, module, planted):
    path = copy / "ebmphys" / module
    path.write_text(path.read_text() + f"\n{planted}\n")
    outcome = lint(copy)
    assert outcome.returncode != 0
    assert "BROKEN" in outcome.stdout


def test_a_room_outside_the_plan_is_found(copy):
    (copy / "ebmphys" / "utils.py").write_text("")
    assert lint(copy).returncode != 0
