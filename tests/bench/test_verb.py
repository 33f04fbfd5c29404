"""``ebmphys bench`` from the command line: its table, its JSON, and what it refuses."""

import json

import pytest
import torch

from ebmphys.cli.verbs import main
from ebmphys.experiment import Bench, bench

TINY = "bench --size 8x8 --chains 4 --repeats 2 --seconds 0.01 --tau-seconds 0.05 --device cpu --quiet --threads 1"


def test_json_has_the_machine_the_task_and_a_row_each(capsys):
    threads = torch.get_num_threads()
    assert main(f"{TINY} --samplers block-gibbs wolff multispin-sites-metropolis --no-peers --json".split()) == 0
    assert torch.get_num_threads() == threads
    result = json.loads(capsys.readouterr().out)
    assert result["machine"]["threads"] == 1 and result["machine"]["vector"] in ("avx512", "avx2", "none")
    assert result["machine"]["versions"]["torch"] and result["machine"]["cpu"]
    assert result["settings"]["temperature"] == pytest.approx(2.269185314213)
    rows = {row["name"]: row for row in result["rows"]}
    assert list(rows) == ["multispin-sites-metropolis", "block-gibbs", "wolff"]
    assert rows["multispin-sites-metropolis"]["flips_per_ns"] is None
    assert "lattice" in rows["multispin-sites-metropolis"]["note"]
    for name in ("block-gibbs", "wolff"):
        assert rows[name]["flips_per_ns"]["min"] > 0 and rows[name]["over_peer"] is None


def test_the_table_names_every_row_and_the_best_peer(capsys):
    assert main(f"{TINY} --samplers metropolis,multispin-heat-bath".split()) == 0
    printed = capsys.readouterr().out
    for name in ("metropolis", "multispin-heat-bath", "numba-loop *", "torch-roll *", "peapods *", "thrml *"):
        assert name in printed
    assert "4 chain(s) of 8x8 at T = 2.26919, median of 2 turns" in printed and "flips/ns" in printed


def test_critical_temperatures_are_known_in_two_and_three_dimensions():
    settings = {"chains": 1, "repeats": 1, "seconds": 0.001, "tau_seconds": 0.001, "samplers": ["block-gibbs"]}
    cube = bench(Bench(size="2x2x2", peers=False, quiet=True, device="cpu", **settings))
    assert cube["settings"]["temperature"] == pytest.approx(1 / 0.221654626)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("bench --size 8by8", ("--size", "8by8")),
        ("bench --size 8x8 --chains 0", ("--chains", "0")),
        ("bench --size 8x8 --temperature -1", ("--temperature", "-1")),
        ("bench --size 8x8 --samplers gibs", ("--samplers", "block-gibbs", "gibs")),
        ("bench --size 8x8 --samplers wolff wolff", ("--samplers", "once")),
        ("bench --size 8x8 --seconds 0", ("--seconds",)),
        ("bench --size 64 --no-peers", ("--temperature", "1 dimension")),
        ("bench --size 8x8 --threads 0", ("--threads",)),
    ],
)
def test_bad_input_is_one_line_and_code_2(capsys, line, words):
    assert main(line.split()) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and captured.out == ""
    assert all(word in captured.err for word in words), captured.err
