"""Every block of the README is executed, in order, in a folder of its own."""

import re
import shlex
import subprocess
import warnings
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser

from ebmphys.cli.verbs import main

ROOT = Path(__file__).parent.parent


def shell(example):
    """Run a bash block; commands of make are only looked at, as running the tests from the tests would not end."""
    for line in filter(None, example.parsed.splitlines()):
        command = shlex.split(line, comments=True)
        if command[0] == "make":
            subprocess.run(["make", "--dry-run", command[1]], cwd=ROOT, check=True, capture_output=True)
            continue
        assert command[0] == "ebmphys"
        with warnings.catch_warnings():
            warnings.simplefilter("default")  # these are of five epochs, and rightly doubted
            assert main(command[1:]) == 0, line


PARSERS = [CodeBlockParser("python", PythonEvaluator()), CodeBlockParser("bash", shell)]
DOCUMENT = Sybil(PARSERS, path=str(ROOT), pattern="README.md").parse(ROOT / "README.md")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for all blocks: later ones read the files of earlier ones."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "data").mkdir()
    return folder


def test_every_block(folder, monkeypatch):
    monkeypatch.chdir(folder)
    examples = list(DOCUMENT.examples())
    fences = re.findall(r"^```\w+$", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    assert len(examples) == len(fences) == 10
    for example in examples:
        example.evaluate()
    assert (folder / "data/report-4/report.html").exists()


def test_figures_are_there():
    for page in (ROOT / "README.md", ROOT / "experiments" / "README.md"):
        for target in re.findall(r"!\[.*?\]\((.*?)\)", page.read_text()):
            assert (page.parent / target).is_file()


def test_the_demo_recipe_is_valid():
    from ebmphys.experiment.recipe import steps_of

    verbs = [verb for verb, _ in steps_of(ROOT / "experiments" / "demo.toml")]
    assert verbs == ["generate", "generate", "fit", "fit", "sample", "sample", "compare"]


@pytest.mark.slow
def test_the_demo_says_that_the_rbm_learned_it(tmp_path, monkeypatch):
    from ebmphys.experiment import Run, run

    monkeypatch.chdir(tmp_path)
    result = run(Run(recipe=ROOT / "experiments" / "demo.toml", quiet=True))
    table = result["steps"][-1]["result"]
    assert table["ranking"][0]["sample"] == "rbm"
