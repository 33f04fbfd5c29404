"""What the tests of bit-packed kernels share: small models of every degree, and chains that start where one says."""

from ebmphys.energies import Ising, plus_minus_couplings
from ebmphys.lattice import Lattice
from ebmphys.rng import generator


def glass(lattice, field=0.0):
    rng = generator(5, str(lattice.shape), lattice.geometry, device="cpu")
    return Ising(lattice, plus_minus_couplings(lattice, rng), field, device="cpu")


def models() -> dict[str, Ising]:
    return {
        "2x4": Ising(Lattice((2, 4)), device="cpu"),
        "3x4": Ising(Lattice((3, 4)), device="cpu"),
        "3x4 field": Ising(Lattice((3, 4)), 0.7, 0.3, device="cpu"),
        "3x4 antiferromagnet": Ising(Lattice((3, 4)), -1.0, device="cpu"),
        "3x4 +-J": glass(Lattice((3, 4))),
        "3x4 +-J field": glass(Lattice((3, 4)), -0.4),
        "2x2x3": Ising(Lattice((2, 2, 3)), device="cpu"),
        "2x2x3 field": Ising(Lattice((2, 2, 3)), 1.0, 0.2, device="cpu"),
        "triangular 3x3 antiferromagnet": Ising(Lattice((3, 3), "triangular"), -1.0, device="cpu"),
        "triangular 3x4 +-J field": glass(Lattice((3, 4), "triangular"), 0.5),
        "honeycomb 2x3": Ising(Lattice((2, 3), "honeycomb"), device="cpu"),
        "honeycomb 2x3 field": Ising(Lattice((2, 3), "honeycomb"), 1.0, -0.6, device="cpu"),
        "chain": Ising(Lattice(10), device="cpu"),
        "chain field": Ising(Lattice(10), 1.0, 0.3, device="cpu"),
    }


MODELS = models()
UPDATES = ("heat_bath", "metropolis")


def packed(sampler, x, beta, seed=2):
    chains = sampler.init(len(x), beta=beta, rng=generator(seed, device="cpu"))
    chains.x = x
    return chains
