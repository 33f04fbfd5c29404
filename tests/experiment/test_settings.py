"""Sizes, temperatures and what is stored of settings."""

import pytest
from pydantic import ValidationError

from ebmphys.experiment import Generate, complaint
from ebmphys.experiment.settings import parse_size, parse_temperatures


def test_sizes():
    assert parse_size("32x16") == (32, 16)
    assert parse_size("7") == (7,)
    assert parse_size("2x2x2x2") == (2, 2, 2, 2)


@pytest.mark.parametrize("text", ["", "x", "3x", "x3", "3x0", "-3", "3 x 3", "3X3", "3.0", "३x3", "9999999x9999999"])
def test_odd_characters_in_a_size_are_refused(text):
    with pytest.raises(ValueError, match=r"size|sites"):
        parse_size(text)


def test_temperatures():
    assert parse_temperatures("1.8:3.0:13")[:3] == (1.8, 1.9, 2.0)
    assert parse_temperatures("1.8:3.0:13")[-1] == 3.0
    assert parse_temperatures(["1:2:3", "2.269", 4]) == (1.0, 1.5, 2.0, 2.269, 4.0)
    assert parse_temperatures(2.269) == (2.269,)


@pytest.mark.parametrize("given", ["-1", "0", "nan", "inf", "2,2", "1:2", "1:2:1", "1:2:x", "a", "", []])
def test_impossible_temperatures_are_refused(given):
    with pytest.raises(ValueError, match="temperature"):
        parse_temperatures(given)


def test_what_is_made_does_not_depend_on_how():
    common = {"size": "4x4", "temperatures": "2"}
    one = Generate(**common, out="a.h5", quiet=True, device="cpu")
    two = Generate(**common, out="b.h5", force=True, resume=True)
    assert one.what() == two.what()
    assert "out" not in one.what() and one.what()["seed"] == 1
    assert Generate(**common, out="a.h5", seed=2).what() != one.what()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"draws": 0}, "--draws: input should be greater than or equal to 1, got 0"),
        ({"sizes": "4x4"}, "--sizes: no such setting"),
        ({"burn_in": -1}, "--burn-in: "),
        ({"coupling": "nan"}, "--coupling: a coupling is a number"),
        ({"field": float("inf")}, "--field: "),
        ({"size": "4x4x4", "geometry": "triangular"}, "two sides"),
    ],
)
def test_a_fault_is_said_in_one_line(change, said):
    with pytest.raises(ValidationError) as caught:
        Generate(**({"size": "4x4", "temperatures": "2", "out": "a.h5"} | change))
    line = complaint(caught.value)
    assert said in line and "\n" not in line
