"""Checkpoints: what is saved comes back, and no damaged, foreign or hostile file passes for one."""

import errno
import io
import os
import random
import zipfile

import numpy as np
import pytest
import torch

from ebmphys import checkpoint as room
from ebmphys.checkpoint import Checkpoint, build, load, load_model, save
from ebmphys.energies import RBM, BoltzmannMachine, ConvolutionalRBM, Ising, NeuralEnergy
from ebmphys.generators import VAE
from ebmphys.lattice import Lattice
from ebmphys.rng import generator
from ebmphys.units import Bit, Gaussian


def rng(*path):
    return generator(4, "checkpoint", *path, device="cpu")


def models():
    return {
        "rbm": RBM(6, 3, hidden=Bit(), rng=rng("rbm"), device="cpu"),
        "gaussian rbm": RBM(4, 2, visible=Gaussian(0.7), rng=rng("gaussian"), device="cpu"),
        "ising": Ising(Lattice((3, 4)), torch.randn(24, generator=rng("ising")), device="cpu"),
        "vae": VAE(6, (5,), 2, rng=rng("vae"), device="cpu"),
        "gaussian vae": VAE(6, (5, 4), 2, Gaussian(0.3), learn_sigma=True, rng=rng("vae"), device="cpu"),
    }


def of(model, **more):
    return Checkpoint(config=model.config, parameters=dict(model.state_dict()), **more)


def write(path, contents):
    """A file with a valid seal, whatever is in it: what someone who means harm would write."""
    buffer = io.BytesIO()
    torch.save(contents, buffer)
    path.write_bytes(room._sealed(buffer.getvalue()))
    return path


def contents(**changed):
    model = models()["rbm"]
    blank = {name: getattr(of(model), name) for name in Checkpoint.__dataclass_fields__}
    return blank | {"format": "ebmphys checkpoint", "version": 1} | changed


@pytest.mark.parametrize("name", models())
def test_models_come_back(tmp_path, name):
    model = models()[name]
    save(tmp_path / "model.pt", of(model))
    back = load_model(tmp_path / "model.pt", "cpu")
    assert type(back) is type(model) and back.config == model.config
    assert all(torch.equal(value, back.state_dict()[key]) for key, value in model.state_dict().items())


def test_everything_comes_back(tmp_path):
    model = models()["rbm"]
    more = {
        "aside": {"latest": {"weights": torch.ones(2)}},
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"betas": (0.9, 0.999)}]},
        "objective": {"rng": rng().get_state(), "chains": {"x": torch.ones(3, 9).T}},
        "history": [{"epoch": 1, "loss": -0.25, "kl": None}],
        "settings": {"epochs": 5},
        "epoch": 7,
    }
    save(tmp_path / "a.pt", of(model, **more))
    back = load(tmp_path / "a.pt")
    assert back.kind == "energy" and of(models()["vae"]).kind == "generator"
    assert back.epoch == 7 and back.history == more["history"] and back.settings == more["settings"]
    assert back.optimizer == more["optimizer"]
    assert torch.equal(back.objective["chains"]["x"], torch.ones(9, 3))
    torch.Generator().set_state(back.objective["rng"])
    assert set(back.provenance) == {"ebmphys", "torch", "python"}
    assert torch.load(tmp_path / "a.pt", weights_only=True)["version"] == 1  # and torch alone reads it
    assert zipfile.ZipFile(tmp_path / "a.pt").testzip() is None


def test_the_same_checkpoint_is_the_same_file(tmp_path):
    for name in ("a.pt", "b.pt"):
        save(tmp_path / name, of(models()["rbm"]))
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_every_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "a.pt"
    save(path, of(models()["rbm"]))
    good, dice = path.read_bytes(), random.Random(1)
    seal = len(good) - good.rindex(b"ebmphys checkpoint 1 sha256=")
    for _ in range(300):
        # Not in the two bytes that hold the seal's length: nothing is read from them.
        place = dice.choice([dice.randrange(len(good) - seal - 2), len(good) - 1 - dice.randrange(seal)])
        damaged = bytearray(good)
        damaged[place] ^= 1 << dice.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"damaged|not an ebmphys checkpoint|version"):
            load(path)


@pytest.mark.parametrize("length", [0, 1, 100, -200, -1])
def test_a_truncated_file_is_refused(tmp_path, length):
    path = tmp_path / "a.pt"
    save(path, of(models()["rbm"]))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match="cut short"):
        load(path)


def test_missing_foreign_and_other_versions_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        load(tmp_path / "none.pt")
    with pytest.raises(ValueError, match="is not a file"):
        load(tmp_path)
    torch.save({"weights": torch.ones(3)}, tmp_path / "torch.pt")
    with pytest.raises(ValueError, match="not an ebmphys checkpoint"):
        load(tmp_path / "torch.pt")
    with pytest.raises(ValueError, match="not an ebmphys checkpoint"):
        load(write(tmp_path / "list.pt", [1, 2]))
    (tmp_path / "text.pt").write_bytes(room._sealed(b"some text\0\0"))
    with pytest.raises(ValueError, match="not an ebmphys checkpoint"):
        load(tmp_path / "text.pt")
    save(tmp_path / "a.pt", of(models()["rbm"]))
    newer = (tmp_path / "a.pt").read_bytes().replace(b"ebmphys checkpoint 1 ", b"ebmphys checkpoint 2 ")
    (tmp_path / "newer.pt").write_bytes(newer)
    with pytest.raises(ValueError, match="is of version 2: this ebmphys reads version 1"):
        load(tmp_path / "newer.pt")
    with pytest.raises(ValueError, match="history must be a list"):
        load(write(tmp_path / "odd.pt", contents(history="all well")))


class Harm:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (self.mark,)


def test_a_pickle_inside_is_not_run(tmp_path):
    mark = tmp_path / "harm"
    path = write(tmp_path / "bad.pt", contents(history=[Harm(str(mark))]))
    with pytest.raises(ValueError, match="refused, nothing in it was run"):
        load(path)
    assert not mark.exists()
    torch.load(path, weights_only=False)  # control: the file does harm where it is let
    assert mark.exists()


def test_sizes_beyond_the_file_are_refused(tmp_path):
    huge = torch.zeros(1).expand(10**6, 10**6)
    path = write(tmp_path / "huge.pt", contents(parameters={"weights": huge}))
    assert path.stat().st_size < 4000
    with pytest.raises(ValueError, match="larger than the file: refused"):
        load(path)
    with pytest.raises(ValueError, match="larger than the file"):
        load(write(tmp_path / "moments.pt", contents(optimizer={"state": {0: {"exp_avg": huge}}})))
    wide = models()["rbm"].config | {"n_visible": 10**9}
    with pytest.raises(ValueError, match="names a size of 1000000000"):
        load_model(write(tmp_path / "wide.pt", contents(config=wide)))
    lattice = models()["ising"].config | {"graph": Lattice((2, 2)).config | {"shape": [1000] * 4}}
    with pytest.raises(ValueError, match="names a size of 1000000000000"):
        load_model(write(tmp_path / "lattice.pt", contents(config=lattice)))


LARGE = Lattice((64, 128))
NETWORK = {"kind": "convolutional", "shape": [64, 128], "channels": [4], "kernel": 3}
SHARED = {
    "boltzmann": lambda: BoltzmannMachine.translation_invariant(LARGE, 2, device="cpu"),
    "rbm": lambda: ConvolutionalRBM(LARGE, 8, 2.0, device="cpu"),
    "neural": lambda: NeuralEnergy(LARGE.n_sites, NETWORK, device="cpu"),
}


@pytest.mark.parametrize("name", SHARED)
def test_large_lattices_whose_sites_share_few_parameters_are_loaded(tmp_path, name):
    model = SHARED[name]()
    save(tmp_path / "a.pt", of(model))
    assert sum(p.numel() for p in model.parameters()) < 4096 < LARGE.n_sites
    assert load_model(tmp_path / "a.pt", "cpu").config == model.config


@pytest.mark.parametrize(
    ("name", "forged"),
    [
        ("boltzmann", {"reach": None}),
        ("boltzmann", {"reach": 90.0}),
        ("boltzmann", {"reach": float("nan")}),
        ("boltzmann", {"lattice": LARGE.config | {"shape": [6400, 1280]}}),
        ("rbm", {"n_filters": 10**6}),
        ("rbm", {"graph": LARGE.config | {"shape": [64, 128, 128], "periodic": [True] * 3}}),
        ("neural", {"network": NETWORK | {"kernel": 101}}),
        ("neural", {"network": NETWORK | {"channels": [10**4]}}),
        ("neural", {"n_visible": 10**7}),
    ],
)
def test_large_lattices_whose_tables_would_not_fit_are_refused(tmp_path, name, forged):
    model = SHARED[name]()
    path = write(tmp_path / "a.pt", contents(config=model.config | forged, parameters=dict(model.state_dict())))
    with pytest.raises(ValueError, match="names a size of"):
        load_model(path)


def test_compressed_records_are_refused(tmp_path):
    save(tmp_path / "a.pt", of(models()["rbm"]))
    packed = io.BytesIO()
    with zipfile.ZipFile(tmp_path / "a.pt") as good, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as bad:
        for name in good.namelist():
            bad.writestr(name, good.read(name))
    (tmp_path / "b.pt").write_bytes(room._sealed(packed.getvalue()))
    with pytest.raises(ValueError, match="compressed"):
        load(tmp_path / "b.pt")


def changed(name, tensor):
    return contents(parameters=contents()["parameters"] | {name: tensor})


@pytest.mark.parametrize(
    "bad, message",
    [
        (changed("weights", torch.zeros(6, 4)), r"weights is \(6, 4\)"),
        (changed("weights", torch.zeros(6, 3, dtype=torch.float64)), "torch.float64"),
        (changed("hidden_bias", torch.tensor([0.0, float("nan"), 0.0])), "hidden_bias is not finite"),
        (changed("more", torch.zeros(1)), "more missing or unknown"),
        (contents(parameters={}), "hidden_bias, visible_bias, weights missing"),
        (contents(config={"model": "oracle"}), "unknown model 'oracle': it must be one of ising"),
        (contents(config={"model": "rbm", "n_visible": 6}), "does not describe one"),
    ],
)
def test_parameters_that_are_not_the_models_are_refused(tmp_path, bad, message):
    with pytest.raises(ValueError, match=message):
        load_model(write(tmp_path / "bad.pt", bad))


def test_only_plain_data_is_saved(tmp_path):
    with pytest.raises(ValueError, match=r"history\[0\]\.kl is a float64"):
        save(tmp_path / "a.pt", of(models()["rbm"], history=[{"kl": np.float64(1.0)}]))
    assert not list(tmp_path.iterdir())


def test_a_failed_save_leaves_the_last_one(tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    save(path, of(models()["rbm"], epoch=1))
    good = path.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(path, of(models()["rbm"], epoch=2))
    assert path.read_bytes() == good and list(tmp_path.iterdir()) == [path]


def test_build_makes_every_model_again():
    for model in models().values():
        assert build(model.config).config == model.config
