"""All measurements, one after the other, at sizes that take half an hour; longer ones are in their own docstrings."""

import runpy
import sys

RUNS = (
    ("tests.benchmarks.local_updates", ()),
    ("tests.benchmarks.gpu_sweeps", ()),
    ("tests.benchmarks.local_dynamics", ()),
    ("tests.benchmarks.cluster_updates", ("--sizes", "32", "128", "--tau-sizes")),
    ("tests.benchmarks.dataset_io", ()),
    ("tests.benchmarks.rbm_kl", ("--seconds", "60", "--seeds", "1")),
    ("tests.benchmarks.updates_per_second", ("--seconds", "1", "--rounds", "3")),
    ("tests.benchmarks.machines_4x4", ("--seconds", "10")),
    ("tests.benchmarks.machines_8x8", ("--seconds", "20", "--seeds", "1", "--only", "RBM")),
    ("tests.benchmarks.machines_large", ("--sizes", "16", "--temperatures", "2.5", "--seconds", "30")),
    ("tests.benchmarks.log_partition", ("--repeats", "5")),
    ("tests.benchmarks.inverse_ising", ("--draws", "20000")),
    ("tests.benchmarks.mixtures", ("--epochs", "50", "--seeds", "1")),
    ("tests.benchmarks.vae_kl", ("--seconds", "10")),
    ("tests.benchmarks.autoregressive", ("--sizes", "4", "--seconds", "20")),
    ("tests.benchmarks.diffusion_gan", ("--sizes", "4", "--seconds", "20")),
    ("tests.benchmarks.latent_order", ("--sizes", "16", "--seconds", "20")),
)

for module, arguments in RUNS:
    print(f"\n{module} {' '.join(arguments)}")
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__")
