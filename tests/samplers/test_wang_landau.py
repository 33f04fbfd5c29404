"""How Wang and Landau's walkers go from log f = 1 to 1/t: by flat histograms, by time, and back at a new level."""

from itertools import pairwise

import numpy as np
import torch

from ebmphys.rng import generator
from ebmphys.samplers.flat_histogram import IntegerIsing, wang_landau
from ebmphys.samplers.flat_histogram.wang_landau import _Walkers
from tests.samplers.whole_numbers import MODELS, census


def walkers_of_known_visits():
    """Three walkers of the 3 x 4 torus that have met every level, with histograms 10, flat but for one level, and 0."""
    run = _Walkers(IntegerIsing.of(MODELS["3x4"]), 3, generator(17, device="cpu"))
    met = np.isin(run.system.energies.round(6), census(MODELS["3x4"]).levels)
    run.visited[:] = met
    run.moves, run.histogram[:2, met], run.log_f[:] = 10**6, 10, 0.25
    run.histogram[1, np.flatnonzero(met)[0]] = 7
    return run, met


def test_a_flat_histogram_halves_log_f_and_starts_again():
    run, met = walkers_of_known_visits()
    run.refine(0.8)
    assert run.log_f.tolist() == [0.125, 0.25, 0.25] and not run.timed.any()
    assert not run.histogram[0].any() and run.histogram[1].sum() == 10 * met.sum() - 3
    run.refine(0.7)  # 7 visits of 9.7 are enough now
    assert run.log_f.tolist() == [0.125, 0.125, 0.25] and not run.histogram[1].any()


def test_log_f_is_one_over_t_once_that_is_larger():
    run, met = walkers_of_known_visits()
    by_time = met.sum() / run.moves
    run.log_f[:] = [by_time / 2, by_time, 1.9 * by_time]
    run.refine(0.8)
    assert run.timed.tolist() == [True, True, False]
    assert run.log_f.tolist() == [by_time, by_time, 1.9 * by_time]
    run.moves *= 2
    run.refine(0.8)
    assert run.log_f.tolist() == [by_time / 2, by_time / 2, 1.9 * by_time]


def test_a_level_met_for_the_first_time_sends_its_walker_back_to_the_start():
    run, met = walkers_of_known_visits()
    run.log_f[:], run.timed[:] = 1e-3, True
    run.visited[1, np.flatnonzero(met)[met.sum() // 2]] = False
    run.go(10_000)
    assert run.log_f.tolist() == [1e-3, 1.0, 1e-3] and run.timed.tolist() == [True, False, True]
    assert not run.histogram[1].any() and run.histogram[2].sum() == 10_000


def test_stages_fall_and_a_limit_is_warned_of():
    stages = []
    found = wang_landau(MODELS["3x4"], rng=generator(15, device="cpu"), walkers=3, log_f=1e-3, on_stage=stages.append)
    assert all(b.log_f <= a.log_f / 2 and b.sweeps > a.sweeps for a, b in pairwise(stages))
    assert stages[-1].levels == len(found.levels)
    cut = wang_landau(MODELS["3x4"], rng=generator(15, device="cpu"), walkers=3, log_f=1e-6, most_sweeps=100)
    assert "stopped at log f" in cut.warning and "stopped" in cut.averages(0.3)["log_partition"].warning


def test_threads_and_seeds():
    model, before = MODELS["3x4"], torch.get_num_threads()
    runs = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        runs.append(
            wang_landau(model, rng=generator(13, device="cpu"), walkers=4, log_f=1e-3, most_sweeps=10_000).walkers
        )
    torch.set_num_threads(before)
    np.testing.assert_array_equal(*runs)
    other = wang_landau(model, rng=generator(14, device="cpu"), walkers=4, log_f=1e-3, most_sweeps=10_000).walkers
    assert (other != runs[0]).any()
    streams = _Walkers(IntegerIsing.of(model), 50, generator(14, device="cpu")).streams
    assert len(np.unique(streams, axis=0)) == 50
