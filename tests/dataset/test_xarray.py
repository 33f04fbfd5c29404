"""The axes are labelled for whoever opens the file with xarray alone."""

from __future__ import annotations

import builtins

import numpy as np
import pytest

from ebmphys.dataset import Dataset

xarray = pytest.importorskip("xarray")
SERIES = ("temperature", "draw", "chain")


def test_the_file_as_it_is(run, written):
    pytest.importorskip("h5netcdf")
    with xarray.open_dataset(written, engine="h5netcdf") as data:
        assert data["x"].dims == (*SERIES, "site_byte")
        assert data["energy"].dims == data["magnetization"].dims == SERIES
        assert np.array_equal(data["energy"].sel(temperature=2.0), run.energy[1])
        bits = np.unpackbits(data["x"].sel(temperature=2.5).values, axis=-1)[..., :37]
        assert np.array_equal(bits * 2.0 - 1, run.x[2])
        assert data.attrs["unit"] == "spin" and data["energy"].attrs["units"] == "J"


def test_draws_that_are_to_come_are_nan(run, tmp_path):
    pytest.importorskip("h5netcdf")
    with run.create(tmp_path / "a.h5") as writer:
        run.write(writer)
    with xarray.open_dataset(tmp_path / "a.h5", engine="h5netcdf") as data:
        assert np.isfinite(data["energy"].values).sum(axis=1).tolist() == [[10] * 4] * 3


def test_to_xarray(run, written):
    data = Dataset(written).to_xarray()
    assert data["x"].dims == (*SERIES, "site") and data["x"].dtype == np.int8
    assert np.array_equal(data["x"], run.x) and np.array_equal(data["energy"], run.energy)
    assert data["temperature"].values.tolist() == [1.5, 2.0, 2.5]
    late = Dataset(written).to_xarray(draws=slice(-5, None))
    assert np.array_equal(late["x"], run.x[:, 20:]) and late["draw"].values.tolist() == [20, 21, 22, 23, 24]


def test_without_xarray(written, monkeypatch):
    real = builtins.__import__

    def refuse(name: str, *arguments: object, **options: object) -> object:
        if name == "xarray":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"install ebmphys\[xarray\]"):
        Dataset(written).to_xarray()
