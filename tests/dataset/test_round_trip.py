"""What is written comes back, in every unit, size and form."""

from __future__ import annotations

import json
import pickle

import h5py
import numpy as np
import pytest
import torch

from ebmphys.dataset import Dataset, Writer, bits, pack, unpack


@pytest.mark.parametrize("unit", ["spin", "bit", "gaussian"])
@pytest.mark.parametrize("n_sites", [1, 7, 8, 9, 37, 64])
def test_round_trip(make_run, tmp_path, unit, n_sites):
    run = make_run(n_sites, unit)
    run.finish(run.create(tmp_path / "a.h5"))
    assert run.check(tmp_path / "a.h5") == 25
    data = Dataset(tmp_path / "a.h5")
    x = data.x(2.0, device="cpu")
    assert x.dtype == torch.float32 and x.shape == (100, n_sites) and x.is_contiguous()
    assert (data.unit, data.n_sites, data.chains, data.draws_planned, data.complete) == (unit, n_sites, 4, 25, True)


def test_one_configuration_and_one_draw(make_run, tmp_path):
    run = make_run(3, draws=1, block=1, chains=1, temperatures=1)
    run.finish(run.create(tmp_path / "a.h5"))
    assert run.check(tmp_path / "a.h5") == 1
    assert Dataset(tmp_path / "a.h5").x().shape == (1, 3)


@pytest.mark.parametrize("kind", [torch.float32, torch.int8, np.int64, np.float64])
def test_types_of_input(run, tmp_path, kind):
    convert = (lambda a: torch.from_numpy(a).to(kind)) if isinstance(kind, torch.dtype) else (lambda a: a.astype(kind))
    with run.create(tmp_path / "a.h5") as writer:
        while writer.next_block:
            stop = writer.completed + writer.next_block
            part = slice(writer.completed, stop)
            energy = torch.from_numpy(run.energy[:, part])
            writer.write(convert(run.x[:, part]), energy, run.magnetization[:, part], run.state(stop))
    run.check(tmp_path / "a.h5", 25)


def test_bits_are_in_the_order_of_packbits(run, tmp_path, written):
    """Whoever opens the file without this package decodes it with ``numpy.unpackbits``."""
    with h5py.File(written) as file:
        raw = file["x"][()]
    assert raw.shape == (3, 25, 4, 5) and raw.dtype == np.uint8
    assert np.array_equal(np.unpackbits(raw, axis=-1)[..., :37] * 2.0 - 1, run.x)
    assert not np.array_equal(np.unpackbits(raw, axis=-1, bitorder="little")[..., :37] * 2.0 - 1, run.x)
    assert np.array_equal(Dataset(written).packed(2.0), raw[1])
    one = pack(np.array([1, -1, -1, -1, -1, -1, -1, -1, 1]))
    assert one.tolist() == [0b10000000, 0b10000000]
    assert unpack(one, 9, "bit").tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 1]


def test_other_devices_decode_as_the_cpu_does():
    """The path of CUDA, run where there is none."""
    packed = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (5, 6, 3), dtype=np.uint8))
    table = torch.from_numpy(bits._values_of_byte("spin"))
    assert torch.equal(bits._spread(packed, table).flatten(-2), unpack(packed, 24))
    if torch.cuda.is_available():
        assert torch.equal(unpack(packed, 21, "bit", "cuda").cpu(), unpack(packed, 21, "bit"))
        assert np.array_equal(pack(unpack(packed, 24, device="cuda")), packed)


def test_packed_blocks(run, tmp_path):
    with run.create(tmp_path / "a.h5") as writer:
        while writer.next_block:
            stop = writer.completed + writer.next_block
            part = slice(writer.completed, stop)
            block = np.packbits(run.x[:, part] > 0, axis=-1)
            if writer.completed == 0:
                spoiled = block.copy()
                spoiled[0, 0, 0, -1] |= 1
                with pytest.raises(ValueError, match="unused bits"):
                    writer.write_packed(spoiled, run.energy[:, part], run.magnetization[:, part], run.state(stop))
            writer.write_packed(block, run.energy[:, part], run.magnetization[:, part], run.state(stop))
    run.check(tmp_path / "a.h5", 25)


def test_header(run, tmp_path):
    model = {"model": "ising", "coupling": [1.0] * 100_000}  # far over the 64 kB of a compact attribute
    with run.create(tmp_path / "a.h5", shape=(37, 1), model=model, provenance={"commit": "abc"}) as writer:
        run.write(writer)
    data = Dataset(tmp_path / "a.h5")
    assert (data.shape, data.model, data.settings, data.provenance) == (
        (37, 1),
        model,
        {"seed": 1},
        {"commit": "abc"},
    )
    about = json.loads(json.dumps(data.describe()))
    assert about["draws"] == 10 and about["draws_planned"] == 25 and not about["complete"]
    assert about["temperatures"] == [1.5, 2.0, 2.5] and about["bytes"] == (tmp_path / "a.h5").stat().st_size
    assert "10 of 25 draws" in repr(data)


def test_selection(run, written):
    data = Dataset(written)
    x = run.x[1].reshape(100, 37)
    assert np.array_equal(data.x(2.0 * (1 + 5e-7), device="cpu"), x)
    assert np.array_equal(data.x(2.0, device="cpu", unit="bit"), (x + 1) / 2)
    assert np.array_equal(data.x(2.0, device="cpu", draws=slice(20, None)), x[80:])
    assert np.array_equal(data.x(2.0, device="cpu", draws=slice(-5, 1000, 2)), run.x[1, 20::2].reshape(-1, 37))
    assert np.array_equal(data.energy(2.5, draws=slice(3)), run.energy[2, :3])
    assert data.x(2.0, device="cpu", draws=slice(7, 3)).shape == (0, 37)
    again = pickle.loads(pickle.dumps(data))
    assert np.array_equal(again.x(2.0, device="cpu"), x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: d.x(2.00001), "no temperature 2.00001, there are 1.5, 2, 2.5"),
        (lambda d: d.x(float("nan")), "no temperature nan"),
        (lambda d: d.energy(), "say which temperature: 1.5, 2, 2.5"),
        (lambda d: d.x(2.0, unit="gaussian"), "cannot be given as 'gaussian'"),
        (lambda d: d.x(2.0, draws=slice(None, None, -1)), "draws must go forward"),
        (lambda d: d.batches(0, temperature=2.0), "batch_size"),
        (lambda d: d.batches(5, temperature=9.0), "no temperature 9"),
    ],
)
def test_refused_selection(written, call, message):
    with pytest.raises(ValueError, match=message):
        call(Dataset(written))


def test_batches(run, written):
    data, x = Dataset(written), torch.from_numpy(run.x[1].reshape(100, 37))
    in_order = list(data.batches(32, temperature=2.0, device="cpu"))
    assert [len(b) for b in in_order] == [32, 32, 32, 4] and torch.equal(torch.cat(in_order), x)
    one, two, other = (
        torch.cat(list(data.batches(7, temperature=2.0, device="cpu", unit="bit", rng=_rng(seed))))
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, two) and not torch.equal(one, other)
    assert sorted(one.tolist()) == sorted(((x + 1) / 2).tolist())


def test_gaussian_batches_and_no_bits(make_run, tmp_path):
    run = make_run(5, "gaussian")
    run.finish(run.create(tmp_path / "a.h5"))
    data = Dataset(tmp_path / "a.h5")
    batch = torch.cat(list(data.batches(9, temperature=2.5, device="cpu")))
    assert np.array_equal(batch, run.x[2].reshape(-1, 5))
    with pytest.raises(ValueError, match="not stored as bits"):
        data.packed(2.5)
    with pytest.raises(ValueError, match="cannot be given as 'spin'"):
        data.x(2.5, unit="spin")


def test_bytes_per_spin(make_run, tmp_path):
    """One bit a site, 16 bytes of energy and magnetization a configuration, and the last state: little else."""
    run = make_run(1024, draws=400, block=40, chains=4, temperatures=2)
    run.finish(run.create(tmp_path / "a.h5"))
    spins = run.x.size
    about = Dataset(tmp_path / "a.h5").describe()
    states = 2 * run.state(0)["x"].nbytes
    assert about["bytes_per_site"] == about["bytes"] / spins
    assert (about["bytes"] - states) / spins < 1.08 * (1 / 8 + 16 / 1024)


def test_default_block(tmp_path):
    """Whatever the size, a block by default is a few MiB of bits, and one block if there is less."""
    for draws, chains, n_sites, expected in [(10, 1, 16, 10), (2000, 64, 1024, 512), (3, 4, 1 << 22, 2)]:
        path = tmp_path / f"{draws}.h5"
        Writer.create(path, temperatures=[1.0], draws=draws, chains=chains, n_sites=n_sites).close()
        assert Dataset(path).describe()["block"] == expected


def _rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
