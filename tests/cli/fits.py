"""Fits from the command line."""

import json

import torch

from ebmphys.cli.verbs import main

CPU = torch.device("cpu")


def run(line: str, capsys=None) -> dict:
    assert main([*line.split(), "--quiet", "--json", "--device", "cpu"]) == 0
    return {} if capsys is None else json.loads(capsys.readouterr().out)


def fitted(made, out, options: str, capsys=None) -> dict:
    return run(f"fit --data {made}/a.h5 --out {out} --model {options}", capsys)


STILL = "--epochs 1 --learning-rate 1e-9"
