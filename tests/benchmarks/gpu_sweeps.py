"""Flips per nanosecond of the Triton kernels, the instructions they are made of, and the floor that these give.

python -m tests.benchmarks.gpu_sweeps            # on a CUDA device: everything, in a few minutes
python -m tests.benchmarks.gpu_sweeps --count    # anywhere: instructions for 32 spins, compiled for sm_90
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import torch

from ebmphys.energies import Ising
from ebmphys.exact import kaufman
from ebmphys.lattice import Lattice
from ebmphys.rng import generator
from ebmphys.samplers import MultiSpin
from tests.benchmarks.sass import body, pipes

H200 = (132, 1.98)  # multiprocessors, and their highest clock in GHz
BETA_C = 0.44068679350977147
LANES = 64  # results a clock of one multiprocessor: of the integer pipe, and as many of that of multiplications
VARIANTS = (  # update, settings of the kernel
    ("heat_bath", {"fresh": 8, "shared": True}),
    ("heat_bath", {"fresh": 12}),
    ("heat_bath", {"fresh": 16}),
    ("heat_bath", {"fresh": 24}),
    ("metropolis", {"fresh": 8, "shared": True}),
    ("metropolis", {"fresh": 16}),
)
SHAPES = ({}, {"rows": 4}, {"rows": 16}, {"chunk": 8}, {"chunk": 16}, {"chunk": 256}, {"rows": 16, "num_warps": 4})


def settings(options: dict[str, int]) -> str:
    return " ".join(f"{name}={value}" for name, value in options.items())


def counted(update: str, options: dict[str, int], one_beta: bool = True) -> tuple[dict[str, float], str]:
    """Instructions for 32 spins by pipe, and registers and spills, of the square lattice's kernel on sm_90."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from ebmphys.samplers.multispin.gpu import Tuning
    from ebmphys.samplers.multispin.gpu.kernel import sweep_colour

    tuning = Tuning(**options)
    fixed = {
        "RULE": 2 * (update == "metropolis"), "DEGREE": 4, "PER": 0, "CLASSES": 3 if update == "metropolis" else 2,
        "ONE_BETA": one_beta, "FRESH": tuning.fresh, "SHARED": tuning.shared, "GIVEN": False, "ROWS": tuning.rows,
        "CHUNK": tuning.chunk or 8 * tuning.rows,
    }  # fmt: skip
    names = sweep_colour.arg_names
    whole = ("ahead", "first", "last", "n_chunks", "n_slots", "n_sites")
    signature = {n: "constexpr" if n in fixed else "i32" if n in whole else "*i32" for n in names} | {"sweeps": "*i64"}
    source = ASTSource(
        sweep_colour,
        signature,
        constexprs={(names.index(n),): value for n, value in fixed.items()},
        attrs={(k,): [["tt.divisibility", 16]] for k, n in enumerate(names) if signature[n][0] == "*"},
    )
    compiled = triton.compile(
        source,
        target=GPUTarget("cuda", 90, 32),
        options={"num_warps": tuning.num_warps, "enable_fp_fusion": False},
    )
    tools = Path(triton.__path__[0]) / "backends" / "nvidia" / "bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        code = subprocess.run([tools / "nvdisasm", "-c", file.name], capture_output=True, text=True, check=True).stdout
        usage = subprocess.run([tools / "cuobjdump", "-res-usage", file.name], capture_output=True, text=True).stdout
    once, again = body(code)
    # A tile's spins over those of the whole warp or warps: how many words of 32 spins each thread has.
    words = tuning.rows * 16 / (32 * tuning.num_warps)
    tie = min(1.0, 4096 * tuning.rows / 8 * 2.0**-tuning.fresh)
    total = Counter(pipes(once))
    for pipe, number in pipes(again).items():
        total[pipe] += tie * number
    used = {word.split(":")[0]: word.split(":")[1] for word in usage.split() if word.startswith(("REG:", "LOCAL:"))}
    return {pipe: n / words for pipe, n in total.items()}, f"{used['REG']} registers, {used['LOCAL']} spilled"


def floors(counts: dict[str, float], machine: tuple[int, float]) -> tuple[float, float]:
    """Flips per nanosecond if multiplications of 64 bits are as fast as others, and if half as fast."""
    rate, found = machine[0] * machine[1], []
    for cost in (1, 2):
        multiply = counts.get("multiply", 0) + cost * counts.get("wide", 0)
        issued = sum(counts.values()) / (2 * LANES)
        found.append(32 * rate / max(counts["integer"] / LANES, multiply / LANES, issued))
    return found[0], found[1]


def count_all(machine: tuple[int, float]) -> None:
    print(f"instructions for 32 spins on sm_90, and the most flips/ns of {machine[0]} SMs at {machine[1]:.2f} GHz")
    print(
        "(multiplications of 64 bits as fast as others / half as fast); 4 bytes written and 4 to 8 read from the device"
    )
    cases = [(update, options, True) for update, options in VARIANTS]
    cases += [("heat_bath", {"fresh": 16}, False), *(("heat_bath", {"fresh": 16} | shape, True) for shape in SHAPES)]
    for update, options, one_beta in cases:
        counts, usage = counted(update, options, one_beta)
        parts = ", ".join(f"{counts.get(p, 0):.1f} {p}" for p in ("integer", "wide", "multiply", "memory", "uniform"))
        most = " / ".join(f"{f:.0f}" for f in floors(counts, machine))
        print(f"{update} {settings(options)}{'' if one_beta else ' a beta a bit'}: {parts}; {usage}; {most} flips/ns")


def started(shape: tuple[int, ...], packing: str, count: int, update: str, beta: float):
    """A sampler on the device and its chains."""
    model = Ising(Lattice(shape), device="cuda")
    sampler = MultiSpin(model, update, packing)
    return sampler, sampler.init(count, beta=beta, rng=generator(1, str(shape), device="cuda"))


def flips_per_ns(sampler, chains, options: dict[str, int], graph: bool) -> float:
    """The median of five runs of about a tenth of a second, by events of the device."""
    from ebmphys.samplers.multispin.gpu import Tuning
    from ebmphys.samplers.multispin.gpu.launch import sweep

    thresholds, tuning = chains.thresholds(sampler.rule, sampler.attempt), Tuning(**options)

    def go(sweeps: int) -> None:
        for ahead in range(sweeps):
            sweep(chains.words, chains.tables, thresholds, int(sampler.rule), chains.key, chains.sweeps, ahead, tuning)
        chains.sweeps += sweeps

    go(3)
    torch.cuda.synchronize()
    run, at_once = go, 20
    if graph:
        recorded = torch.cuda.CUDAGraph()
        with torch.cuda.graph(recorded):
            go(at_once)

        def run(sweeps: int) -> None:
            for _ in range(sweeps // at_once):
                recorded.replay()

    flips = chains.batch.numel() * sampler.model.n_sites
    sweeps = max(at_once, int(2e11 / flips) // at_once * at_once)
    found = []
    for _ in range(5):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run(sweeps)
        end.record()
        end.synchronize()
        found.append(flips * sweeps / begin.elapsed_time(end) / 1e6)
    return statistics.median(found)


def check_energies() -> None:
    """Replicas of 64 x 64 and one large lattice's slots against Kaufman's torus."""
    from ebmphys.samplers.multispin.gpu import Tuning, advance

    for packing, shape, count in (("replicas", (64, 64), 16384), ("sites", (128, 128), 512)):
        for update, options in VARIANTS:
            sampler, chains = started(shape, packing, count, update, 0.4)
            advance(chains, sampler.rule, sampler.attempt, 1000, Tuning(**options))
            e = chains.energy(sampler.model) / sampler.model.n_sites
            exact, error = kaufman(shape, 0.4).energy_per_site, float(e.std()) / count**0.5
            away = (float(e.mean()) - exact) / error
            print(
                f"energy, {packing}, {update} {settings(options)}: {e.mean():.6f}, exact {exact:.6f}, {away:+.1f} sigma"
            )


def measure(machine: tuple[int, float], sides: list[int]) -> None:
    check_energies()
    tasks = [((64, 64), "replicas", 100_352)] + [((side, side), "sites", 1) for side in sides]
    for shape, packing, count in tasks:
        for update, options in VARIANTS:
            sampler, chains = started(shape, packing, count, update, BETA_C)
            for graph in (False, True):
                rate = flips_per_ns(sampler, chains, options, graph)
                most = floors(counted(update, options)[0], machine)[0]
                print(
                    f"{count} x {shape[0]}^2, {packing}, {update} {settings(options)}{', recorded' if graph else ''}:"
                    f" {rate:.0f} flips/ns, {rate / most:.0%} of {most:.0f}",
                    flush=True,
                )
    sampler, chains = started((64, 64), "replicas", 100_352, "heat_bath", BETA_C)
    for fresh in ({"fresh": 8, "shared": True}, {"fresh": 16}):
        for shape in SHAPES:
            rate = flips_per_ns(sampler, chains, fresh | shape, False)
            print(f"100352 x 64^2, heat_bath {settings(fresh | shape)}: {rate:.0f} flips/ns", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", action="store_true", help="count instructions, without a device")
    parser.add_argument("--sides", type=int, nargs="*", default=[2**k for k in range(10, 15)])
    options = parser.parse_args()
    machine = H200
    if torch.cuda.is_available():
        device = torch.cuda.get_device_properties(0)
        machine = device.multi_processor_count, getattr(device, "clock_rate", H200[1] * 1e6) / 1e6
        print(f"{device.name}, {machine[0]} multiprocessors at {machine[1]:.2f} GHz")
    elif not options.count:
        print("no CUDA device here: nothing to measure; --count counts the instructions of the kernels without one")
        return
    count_all(machine)
    if torch.cuda.is_available():
        measure(machine, options.sides)


if __name__ == "__main__":
    main()
