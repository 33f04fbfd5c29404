"""A training that is interrupted goes on bit for bit."""

import pytest
import torch

from ebmphys.checkpoint import Checkpoint, load, load_model, save
from ebmphys.exact.enumeration import visible_states
from ebmphys.generators import VAE
from ebmphys.lattice import Lattice
from ebmphys.objectives import ELBO, ContrastiveDivergence
from ebmphys.train import (
    GlobalFlip,
    LatticeMoves,
    Training,
    exact_kl,
    fit,
    mean_elbo,
)
from ebmphys.units import Spin
from tests.train.cases import BETA_C, TARGET, exact_draws, pcd, rbm, rng


class Interrupt:
    """Ctrl-C after an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def __call__(self, record):
        if record["epoch"] == self.epoch:
            raise KeyboardInterrupt


def rbm_case():
    model, objective = rbm(), pcd(n_chains=50)
    monitors = {"kl": exact_kl(TARGET, BETA_C)}
    settings = Training(epochs=6, batch_size=70, monitor_every=2, stop_on="kl")
    return model, exact_draws(TARGET, BETA_C, 500), objective, settings, monitors, [GlobalFlip(Spin())]


def vae_case():
    model = VAE(9, (8,), 2, rng=rng("vae"), device="cpu")
    data = exact_draws(TARGET, BETA_C, 500)
    settings = Training(epochs=6, batch_size=70, schedule="cosine", averaging=0.0, monitor_every=2)
    return model, data, ELBO(rng("noise")), settings, {"elbo": mean_elbo(data)}, [LatticeMoves(Lattice((3, 3)))]


def sgd_case():
    model, data, objective, _, monitors, moves = rbm_case()
    settings = Training(epochs=6, batch_size=70, optimizer="sgd", learning_rate=0.1)
    return model, data, objective, settings, monitors, moves


def run(case, path, on_epoch=None, resume=False, wrap=lambda objective: objective):
    model, data, objective, settings, monitors, moves = case()
    options = {"augment": moves, "monitors": monitors, "checkpoint": path, "resume": resume, "on_epoch": on_epoch}
    history = fit(model, data, wrap(objective), settings, rng=rng("fit"), **options)
    return model, history


def timeless(records):
    return [{name: value for name, value in record.items() if name != "seconds"} for record in records]


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one if key != "seconds")
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize("case", [rbm_case, vae_case, sgd_case])
def test_a_resumed_training_equals_the_uninterrupted_one_bit_for_bit(tmp_path, case):
    whole, history = run(case, tmp_path / "whole.pt")
    _, part = run(case, tmp_path / "part.pt", Interrupt(3))
    assert part.stopped == "interrupted" and len(part) == 3 and history.stopped == "finished"
    assert load(tmp_path / "part.pt").epoch == 3
    resumed, again = run(case, tmp_path / "part.pt", resume=True)
    assert timeless(again) == timeless(history)
    one, other = load(tmp_path / "whole.pt"), load(tmp_path / "part.pt")
    for name in Checkpoint.__dataclass_fields__:
        assert same(getattr(one, name), getattr(other, name)), name
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())
    loaded = load_model(tmp_path / "part.pt", "cpu").state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in whole.state_dict().items())


@pytest.mark.parametrize("lost", ["chains", "rng", "moments", "shuffle"])
def test_resuming_without_any_one_part_is_seen(tmp_path, lost):
    """The control of the test above: each part of the state matters to the bits."""
    whole, _ = run(rbm_case, None)
    run(rbm_case, tmp_path / "part.pt", Interrupt(3))
    part = load(tmp_path / "part.pt")
    if lost == "chains":
        part.objective["chains"] = {}
    elif lost == "rng":
        part.objective["rng"] = rng("other").get_state()
    elif lost == "shuffle":
        part.rng["fit"] = rng("other").get_state()
    else:
        part.optimizer["state"] = {}
    save(tmp_path / "part.pt", part)
    resumed, _ = run(rbm_case, tmp_path / "part.pt", resume=True)
    assert not torch.equal(whole.weights, resumed.weights)


def test_ctrl_c_inside_an_epoch_rolls_back_to_the_last_whole_one(tmp_path):
    calls = 0

    class Interrupted:
        def __init__(self, objective):
            self.objective, self.state_dict = objective, objective.state_dict
            self.load_state_dict = objective.load_state_dict

        def __call__(self, model, v):
            nonlocal calls
            calls += 1
            loss = self.objective(model, v)
            if calls == 20:  # batch 4 of the third epoch of 8, after the chains have moved
                raise KeyboardInterrupt
            return loss

    _, part = run(rbm_case, tmp_path / "part.pt", wrap=Interrupted)
    assert len(part) == 2 and part.stopped == "interrupted"
    run(rbm_case, tmp_path / "two.pt", Interrupt(2))
    one, other = load(tmp_path / "part.pt"), load(tmp_path / "two.pt")
    assert all(same(getattr(one, name), getattr(other, name)) for name in Checkpoint.__dataclass_fields__)
    resumed, _ = run(rbm_case, tmp_path / "part.pt", resume=True)
    whole, _ = run(rbm_case, None)
    assert torch.equal(resumed.weights, whole.weights)


def test_checkpoints_are_written_on_the_way(tmp_path):
    path, seen = tmp_path / "a.pt", []
    model, data, objective, _, _, _ = rbm_case()
    settings = Training(epochs=3, checkpoint_seconds=0.0)
    look = lambda record: seen.append(load(path).epoch if path.exists() else 0)  # noqa: E731
    options = {"checkpoint": path, "on_epoch": look, "provenance": {"temperature": 2.3}}
    fit(model, data, objective, settings, rng=rng("fit"), **options)
    assert seen == [0, 1, 2] and load(path).epoch == 3
    assert load(path).provenance["temperature"] == 2.3 and "torch" in load(path).provenance


def test_another_training_is_not_resumed(tmp_path):
    path = tmp_path / "a.pt"
    run(rbm_case, path, Interrupt(2))
    model, data, objective, settings, monitors, _ = rbm_case()
    options = {"rng": rng("fit"), "checkpoint": path, "resume": True, "monitors": monitors}
    with pytest.raises(ValueError, match=r"learning_rate was 0\.003 and is now 0\.1"):
        fit(model, data, objective, Training(batch_size=70, stop_on="kl", learning_rate=0.1), **options)
    with pytest.raises(ValueError, match="trained on other data"):
        fit(model, data[1:], objective, settings, **options)
    with pytest.raises(ValueError, match="of another model"):
        fit(rbm(n_hidden=3), data, objective, settings, **options)
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        fit(model, data, objective, settings, **options | {"checkpoint": tmp_path / "none.pt"})
    with pytest.raises(ValueError, match="resume needs the checkpoint"):
        fit(model, data, objective, settings, **options | {"checkpoint": None})
    save(path, Checkpoint(model.config, dict(model.state_dict()), settings=load(path).settings))
    with pytest.raises(ValueError, match="cannot resume"):
        fit(model, data, objective, settings, **options)


def test_a_monitor_that_raises_costs_no_more_than_the_epoch_and_is_resumed_from(tmp_path):
    def broken(model, objective):
        raise ValueError("not today")

    def trained(path, monitor, resume=False):
        model, settings = rbm(), Training(epochs=7, monitor_every=3)
        history = fit(
            model,
            visible_states(TARGET),
            ContrastiveDivergence(1, rng("chains"), n_chains=20),
            settings,
            rng=rng("fit"),
            monitors={"x": monitor},
            checkpoint=path,
            resume=resume,
        )
        return model, history

    for number, (monitor, saved) in enumerate(((broken, 2), (at_epoch(7, broken), 7))):
        path = tmp_path / f"{number}.pt"
        with pytest.raises(ValueError, match="not today"):
            trained(path, monitor)
        assert len(load(path).history) == saved
        resumed, history = trained(path, lambda model, objective: 1.0, resume=True)
        whole, expected = trained(tmp_path / f"whole{number}.pt", lambda model, objective: 1.0)
        assert [record.get("x") for record in history] == [record.get("x") for record in expected]
        assert all(torch.equal(a, b) for a, b in zip(resumed.parameters(), whole.parameters(), strict=True))


def at_epoch(epoch, monitor, every=3):
    """A monitor that is fine until an epoch."""
    looks = iter([*range(every, epoch, every), epoch])
    return lambda model, objective: monitor(model, objective) if next(looks) == epoch else 1.0
