"""Oracles that share no code with the package: sums over all states, and 60-digit arithmetic."""

from itertools import product

import mpmath
import numpy as np
import pytest


class BruteForce:
    """All 2^N configurations of an n x m rectangle with its own bond loops; down and right wrap round."""

    def __init__(self, down, right, fields):
        n, m = np.shape(down)
        self.n_sites = n * m
        spins = np.array(list(product((-1, 1), repeat=n * m)), dtype=np.int8).reshape(-1, n, m)
        self.energy = np.zeros(len(spins))
        for i in range(n):
            for j in range(m):
                s = spins[:, i, j].astype(float)
                self.energy -= down[i][j] * s * spins[:, (i + 1) % n, j]
                self.energy -= right[i][j] * s * spins[:, i, (j + 1) % m]
                self.energy -= fields[i][j] * s
        self.magnetization = spins.reshape(len(spins), -1).sum(1) / self.n_sites

    def at(self, beta):
        shift = self.energy.min()
        weight = np.exp(-beta * (self.energy - shift))
        p = weight / weight.sum()
        m, n = self.magnetization, self.n_sites
        mean = p @ self.energy
        second, fourth = p @ m**2, p @ m**4
        return {
            "log_partition": np.log(weight.sum()) - beta * shift,
            "energy_per_site": mean / n,
            "specific_heat": beta**2 * (p @ (self.energy - mean) ** 2) / n,
            "magnetization": p @ m,
            "abs_magnetization": p @ abs(m),
            "magnetization_squared": second,
            "magnetization_fourth": fourth,
            "binder_cumulant": 1 - fourth / (3 * second**2),
            "susceptibility": beta * n * (second - (p @ abs(m)) ** 2),
            "susceptibility_disordered": beta * n * second,
        }


def high_precision_kaufman(n, m, beta, signed=True):
    """(log Z, u, c) from Kaufman's formula as printed, 60 digits; signed=False is the fault found in the wild."""
    with mpmath.workdps(60):

        def log_z(k):
            def angle(r):
                if r == 0:
                    zero = 2 * k + mpmath.log(mpmath.tanh(k))
                    return zero if signed else abs(zero)
                return mpmath.acosh(mpmath.cosh(2 * k) * mpmath.coth(2 * k) - mpmath.cos(mpmath.pi * r / n))

            total = mpmath.mpf(0)
            for parity in (1, 0):
                cosh, sinh = mpmath.mpf(1), mpmath.mpf(1)
                for r in range(n):
                    half = m * angle(2 * r + parity) / 2
                    cosh *= 2 * mpmath.cosh(half)
                    sinh *= 2 * mpmath.sinh(half)
                total += cosh + sinh
            return mpmath.log(total / 2) + n * m * mpmath.log(2 * mpmath.sinh(2 * k)) / 2

        k = mpmath.mpf(beta)
        # Derivatives by central differences: at 60 digits a step of 1e-12 leaves 1e-24 of the step's own error.
        step = mpmath.mpf(10) ** -12
        below, here, above = log_z(k - step), log_z(k), log_z(k + step)
        slope = (above - below) / (2 * step)
        curvature = (above - 2 * here + below) / step**2
        return float(here), float(-slope / (n * m)), float(k**2 * curvature / (n * m))


@pytest.fixture(scope="session")
def brute_force():
    return BruteForce


@pytest.fixture(scope="session")
def uniform_brute_force():
    made = {}

    def make(shape):
        if shape not in made:
            made[shape] = BruteForce(np.ones(shape), np.ones(shape), np.zeros(shape))
        return made[shape]

    return make


@pytest.fixture(scope="session")
def precise_kaufman():
    return high_precision_kaufman
