"""Other people's arrays: the usual forms are read, everything else is refused in one line and nothing is run."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from ebmphys.dataset import Dataset, load_foreign

RNG = np.random.default_rng(7)
UP = RNG.integers(0, 2, (12, 4, 4)).astype(bool)
SPINS = np.where(UP, 1, -1)


def same(data, expected=UP, shape=(4, 4)) -> bool:
    return data.x.dtype == bool and np.array_equal(data.x, expected.reshape(-1, np.prod(shape))) and data.shape == shape


@pytest.mark.parametrize("dtype", ["i1", "i4", ">i8", "f2", "f4", ">f8", "u1", "?"])
@pytest.mark.parametrize("size", [(12, 4, 4), (12, 16)])
def test_values_and_shapes(tmp_path, dtype, size):
    values = (UP if dtype in ("u1", "?") else SPINS).astype(dtype).reshape(size)
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "a.npz", only=values)
    np.savez_compressed(tmp_path / "b.npz", labels=np.arange(12), spins=values)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["only"] = values
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["deep/spins"], file["deep/labels"] = values, np.arange(12)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(values))
    for name, key in [("a.npy", None), ("a.npz", None), ("a.h5", None), ("a.pkl", None)]:
        assert same(load_foreign(tmp_path / name, key=key)), name
    assert same(load_foreign(tmp_path / "b.npz", key="spins"))
    assert same(load_foreign(tmp_path / "b.h5", key="deep/spins"))


def test_zeros_and_ones_as_numbers(tmp_path):
    np.save(tmp_path / "a.npy", UP.astype(np.float64))
    data = load_foreign(tmp_path / "a.npy")
    assert same(data) and data.note == "values 0 and 1"


@pytest.mark.parametrize(
    ("size", "given", "shape", "configurations"),
    [
        ((4, 4), None, (4, 4), 1),
        ((5, 3, 7), None, (3, 7), 5),
        ((6, 12), (3, 4), (3, 4), 6),
        ((16, 16), (4, 4), (4, 4), 16),
        ((3, 3, 3), (3, 3, 3), (3, 3, 3), 1),
        ((2, 3, 3, 3), (3, 3, 3), (3, 3, 3), 2),
        ((2, 5, 1, 4, 4), (4, 4), (4, 4), 10),
        ((10, 6), (6,), (6,), 10),
        ((6,), (6,), (6,), 1),
    ],
)
def test_shape_given_and_seen(tmp_path, size, given, shape, configurations):
    up = RNG.integers(0, 2, size).astype(bool)
    np.save(tmp_path / "a.npy", np.where(up, 1, -1))
    data = load_foreign(tmp_path / "a.npy", shape=given)
    assert same(data, up, shape) and len(data.x) == configurations


def test_one_square_lattice_is_said_to_be_a_guess(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((16, 16)))
    assert "give the shape if these are 16 configurations" in load_foreign(tmp_path / "a.npy").note
    assert "give the shape" not in load_foreign(tmp_path / "a.npy", shape=(4, 4)).note


@pytest.mark.parametrize(
    ("name", "temperature"),
    [
        ("Ising2DFM_reSample_L40_T=2.00.npy", 2.0),
        ("Ising2DFM_reSample_L40_T=All.npy", None),
        ("run_T2.269_seed3.npy", 2.269),
        ("T_3.npy", 3.0),
        ("a-T=2.5e-1.npy", 0.25),
        ("LATTICET9.npy", None),
        ("T=0.npy", None),
        ("T=1.2.3.npy", None),
    ],
)
def test_temperature_in_the_name(tmp_path, name, temperature):
    np.save(tmp_path / name, SPINS)
    assert load_foreign(tmp_path / name).temperature == temperature


def python2_pickle(array: np.ndarray, protocol: int) -> bytes:
    """What Python 2 and numpy 1 write, spelt out: text is bytes there."""
    assert array.dtype == np.uint8 and array.ndim == 2
    n, width = array.shape
    if protocol == 0:
        raw = repr(array.tobytes())[1:].encode()
        return (
            b"cnumpy.core.multiarray\n_reconstruct\np0\n(cnumpy\nndarray\np1\n(I0\ntp2\nS'b'\np3\ntp4\nRp5\n"
            b"(I1\n(I%d\nI%d\ntp6\ncnumpy\ndtype\np7\n(S'u1'\np8\nI0\nI1\ntp9\nRp10\n"
            b"(I3\nS'|'\np11\nNNNI-1\nI-1\nI0\ntp12\nbI00\nS%s\np13\ntp14\nb." % (n, width, raw)
        )
    return (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03"
        b"(K\x01M"
        + struct.pack("<H", n)
        + b"M"
        + struct.pack("<H", width)
        + b"\x86cnumpy\ndtype\nq\x04U\x02u1K\x00K\x01"
        b"\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + struct.pack("<i", array.size)
        + array.tobytes()
        + b"tb."
    )


def numpy1_pickle(array: np.ndarray, protocol: int) -> bytes:
    """What numpy 1 writes on Python 3: the same with the names of its modules."""
    data = pickle.dumps(array, protocol)
    if protocol < 4:
        return data.replace(b"numpy._core.", b"numpy.core.")
    short = data.replace(b"\x16numpy._core.multiarray", b"\x15numpy.core.multiarray")
    assert data[2:3] == b"\x95" and len(short) == len(data) - 1
    return short[:3] + struct.pack("<Q", struct.unpack("<Q", short[3:11])[0] - 1) + short[11:]


WRITERS = [
    *[pytest.param(python2_pickle, p, id=f"python 2, protocol {p}") for p in (0, 2)],
    *[pytest.param(numpy1_pickle, p, id=f"numpy 1, protocol {p}") for p in range(5)],
    *[pytest.param(pickle.dumps, p, id=f"numpy 2, protocol {p}") for p in range(6)],
]


@pytest.mark.parametrize(("write", "protocol"), WRITERS)
def test_bit_packed_pickles(tmp_path, write, protocol):
    """The 10000 x 200 bytes of 40 x 40 spins that courses share, here 300 x 200."""
    up = RNG.integers(0, 2, (300, 1600)).astype(bool)
    packed = np.packbits(up, axis=1)
    path = tmp_path / "Ising2DFM_reSample_L40_T=2.00.pkl"
    path.write_bytes(write(packed, protocol))
    data = load_foreign(path)
    assert same(data, up, (40, 40)) and data.temperature == 2.0 and "packbits" in data.note
    assert np.array_equal(pickle.loads(path.read_bytes(), encoding="latin1"), packed), "the real unpickler agrees"


def test_other_packed_arrays(tmp_path):
    up = RNG.integers(0, 2, (50, 25)).astype(bool)
    np.save(tmp_path / "a.npy", np.packbits(up, axis=1))
    assert same(load_foreign(tmp_path / "a.npy", shape=(5, 5)), up, (5, 5))
    flat = RNG.integers(0, 2, (50, 16)).astype(bool)
    np.save(tmp_path / "b.npy", np.packbits(flat))
    assert same(load_foreign(tmp_path / "b.npy", shape=(4, 4)), flat, (4, 4))
    np.save(tmp_path / "c.npy", np.zeros((10, 2), np.uint8))  # nothing but lower values: the width tells
    assert same(load_foreign(tmp_path / "c.npy", shape=(4, 4)), np.zeros((10, 16), bool), (4, 4))
    with pytest.raises(ValueError, match=r"an array of \(50, 4\) bytes does not hold lattices of shape \(6, 6\)"):
        load_foreign(tmp_path / "a.npy", shape=(6, 6))
    with pytest.raises(ValueError, match="give the lattice's shape"):
        load_foreign(tmp_path / "b.npy")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("protocol", [2, 5])
def test_memory_order_of_pickles(tmp_path, order, protocol):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(np.array(SPINS, order=order, dtype=">i4"), protocol))
    assert same(load_foreign(tmp_path / "a.pkl"))


class Calls:
    def __init__(self, function, *arguments) -> None:
        self.what = function, arguments

    def __reduce__(self):
        return self.what


def hidden_in(array: np.ndarray, evil: Calls) -> object:
    """An honest array beside something else."""
    return [array, {"more": (1, evil)}]


def object_array(evil: Calls) -> np.ndarray:
    array = np.empty(2, object)
    array[0] = evil
    return array


HOSTILE = {
    "system": (lambda mark: Calls(os.system, f"touch {mark}"), "system"),
    "eval": (lambda mark: Calls(eval, f"open({mark!r}, 'w')"), "eval"),
    "exec": (lambda mark: Calls(exec, f"open({mark!r}, 'w')"), "exec"),
    "open": (lambda mark: Calls(open, mark, "w"), "open"),
    "getattr": (lambda mark: Calls(getattr, str, "join"), "getattr"),
    "import": (lambda mark: Calls(__import__, "antigravity"), "__import__"),
    "nested": (lambda mark: hidden_in(SPINS, Calls(os.system, f"touch {mark}")), "system"),
    "object array": (lambda mark: object_array(Calls(os.system, f"touch {mark}")), "system"),
    "numpy function": (lambda mark: Calls(np.save, mark, SPINS), "save"),
    "list": (lambda mark: [SPINS], "not one numpy array"),
    "text": (lambda mark: "hello", "not one numpy array"),
    "text array": (lambda mark: np.array(["a", "b"]), "not plain numbers"),
    "record array": (lambda mark: np.zeros(3, "i4,f8"), "not plain numbers"),
    "complex": (lambda mark: np.zeros(3, complex), "not plain numbers"),
}


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_run_nothing(tmp_path, name, protocol):
    content, word = HOSTILE[name]
    mark = tmp_path / "ran"
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(content(str(mark)), protocol))
    with pytest.raises(ValueError, match="cannot use this pickle") as error:
        load_foreign(path)
    assert word in str(error.value) and "a.pkl" in str(error.value) and "\n" not in str(error.value)
    assert not mark.exists()


def test_the_hostile_pickle_is_hostile(tmp_path):
    """The control: the standard unpickler runs it."""
    pickle.loads(pickle.dumps(Calls(open, str(tmp_path / "ran"), "w"))).close()
    assert (tmp_path / "ran").exists()


ARRAY = pickle.dumps(np.zeros((2, 4), np.uint8), 2)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a pickle",
        ARRAY[:-10],
        ARRAY.replace(b"K\x02K\x04\x86", b"K\x02K\x05\x86"),  # shape that the bytes do not have
        ARRAY.replace(b"u1", b"O8"),
        ARRAY.replace(b"latin1", b"rot_13"),
        b"cnumpy\ndtype\n(tR.",
        b"cnumpy\ndtype\n(I1\ntb.",  # state set on the name itself
        b"cnumpy\nndarray\n.",
        b"\x80\x02cnumpy\nndarray\n)\x81.",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x00.",  # bytes of 2^56
        b"c__builtin__\neval\n.",
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"cnumpy.core.multiarray\n_reconstruct.__globals__\n.",
    ],
)
def test_broken_pickles(tmp_path, content):
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(ValueError, match="cannot use this pickle"):
        load_foreign(tmp_path / "a.pkl")


def put(values: np.ndarray):
    return lambda path: np.save(path, values)


def holed(value: float) -> np.ndarray:
    array = SPINS.astype(float)
    array[3, 2, 1] = value
    return array


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (holed(np.nan), {}, "1 values are NaN or infinite"),
        (holed(-np.inf), {}, "1 values are NaN or infinite"),
        (holed(0), {}, "values must be -1 and .1, or 0 and 1, found -1, 0, 1"),
        (holed(0.5), {}, "found -1, 0.5, 1"),
        (SPINS * 2, {}, "found -2, 2"),
        (np.arange(32.0).reshape(2, 16), {}, r"found 0, 1, 2, 3, 4, 5, \.\.\."),
        (SPINS.reshape(16, 12), {}, "12 sites are not a square lattice: give the shape"),
        (SPINS.reshape(-1), {}, "does not show its lattice: give the shape"),
        (SPINS[None], {}, "does not show its lattice"),
        (SPINS, {"shape": (5, 5)}, r"an array of shape \(12, 4, 4\) does not hold lattices of shape \(5, 5\)"),
        (SPINS, {"shape": (0, 4)}, "sizes of at least 1"),
        (SPINS, {"shape": ()}, "sizes of at least 1"),
        (np.zeros((0, 4, 4)), {}, "non-empty array of numbers"),
        (SPINS.astype(complex), {}, "non-empty array of numbers"),
        (SPINS.astype(str), {}, "non-empty array of numbers"),
    ],
)
def test_refused_values_and_shapes(tmp_path, values, options, message):
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(ValueError, match=message) as error:
        load_foreign(tmp_path / "a.npy", **options)
    assert "\n" not in str(error.value)


def test_refused_files(tmp_path, written):
    def refused(name: str, message: str, **options: object) -> None:
        with pytest.raises(ValueError, match=message) as error:
            load_foreign(tmp_path / name, **options)
        assert name in str(error.value) and "\n" not in str(error.value)

    with pytest.raises(FileNotFoundError, match="no such file"):
        load_foreign(tmp_path / "nothing.npy")
    for name in ("text.npy", "text.npz", "text.h5", "text.csv"):
        (tmp_path / name).write_text("1 0 1 1")
    refused("text.npy", "not a usable .npy file")
    refused("text.npz", "not a usable .npz file")
    refused("text.h5", "not an HDF5 file")
    refused("text.csv", "cannot import '.csv'")

    objects = np.array([SPINS, None], dtype=object)
    np.save(tmp_path / "objects.npy", objects, allow_pickle=True)
    refused("objects.npy", "not a usable .npy file")
    np.savez(tmp_path / "objects.npz", a=objects)
    refused("objects.npz", "not a usable .npz file")

    np.savez(tmp_path / "two.npz", one=SPINS, two=SPINS)
    refused("two.npz", "say which array to import by its key, there are: one, two")
    refused("two.npz", "no array 'three', there are: one, two", key="three")
    with h5py.File(tmp_path / "two.h5", "w") as file:
        file["one"], file["two"], file["link"] = SPINS, SPINS, h5py.ExternalLink("other.h5", "x")
        file.create_dataset("passwd", (16,), "u1", external=[("/etc/passwd", 0, 16)])
    refused("two.h5", "say which array to import by its key, there are: one, passwd, two")
    refused("two.h5", "no array 'three'", key="three")
    refused("two.h5", "soft or external link", key="link")
    refused("two.h5", "keeps its data in other files", key="passwd")
    refused(written.name, "an ebmphys dataset already")


def test_declared_sizes(tmp_path):
    """A few bytes that claim to be terabytes are refused before memory is asked for."""
    np.save(tmp_path / "a.npy", np.ones((10, 16)))
    header = (tmp_path / "a.npy").read_bytes()
    bomb = header.replace(b"(10, 16), }" + b" " * 12, b"(1000000000, 16), }" + b" " * 4)
    assert len(bomb) == len(header) and bomb != header
    (tmp_path / "a.npy").write_bytes(bomb)
    with pytest.raises(ValueError, match=r"not a usable \.npy file"):
        load_foreign(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", bomb)
    with pytest.raises(ValueError, match="shorter than its shape"):
        load_foreign(tmp_path / "a.npz")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", (10**12, 16), "u1", chunks=(1000, 16))
    with pytest.raises(ValueError, match="claims 16000000000000 bytes"):
        load_foreign(tmp_path / "a.h5")


def test_import_into_a_dataset(tmp_path, run):
    """The bits of an import are what a writer packs."""
    from ebmphys.dataset import Writer

    np.save(tmp_path / "a_T=2.5.npy", SPINS)
    data = load_foreign(tmp_path / "a_T=2.5.npy")
    n, n_sites = data.x.shape
    m = 2 * data.x.mean(-1) - 1
    path: Path = tmp_path / "a.h5"
    with Writer.create(
        path, temperatures=[data.temperature], draws=n, chains=1, n_sites=n_sites, block=n, shape=data.shape
    ) as w:
        w.write_packed(np.packbits(data.x, axis=-1)[None, :, None], np.zeros((1, n, 1)), m[None, :, None])
    assert np.array_equal(Dataset(path).x(2.5, device="cpu"), SPINS.reshape(n, -1))
