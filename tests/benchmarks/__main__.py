"""All measurements, one after the other, at sizes that take a few minutes."""

import runpy
import sys

RUNS = (
    ("tests.benchmarks.local_updates", ()),
    ("tests.benchmarks.gpu_sweeps", ()),
    ("tests.benchmarks.local_dynamics", ()),
    ("tests.benchmarks.cluster_updates", ("--sizes", "32", "128", "--tau-sizes")),
    ("tests.benchmarks.dataset_io", ()),
    ("tests.benchmarks.rbm_kl", ("--seconds", "60", "--seeds", "1")),
    ("tests.benchmarks.log_partition", ("--repeats", "5")),
    ("tests.benchmarks.inverse_ising", ("--draws", "20000")),
)

for module, arguments in RUNS:
    print(f"\n{module} {' '.join(arguments)}")
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__")
