"""What the names in a comparison mean: symbol, unit and definition of every quantity, written into every table."""

from __future__ import annotations

OBSERVABLES: dict[str, dict[str, str]] = {
    "energy_per_site": {"symbol": "⟨e⟩", "unit": "J", "text": "energy per site e = E/N, without beta"},
    "specific_heat": {"symbol": "c", "unit": "k_B", "text": "specific heat per site, c = β² N (⟨e²⟩ − ⟨e⟩²)"},
    "abs_magnetization": {"symbol": "⟨|m|⟩", "unit": "", "text": "absolute magnetization per site, m = Σ s / N"},
    "magnetization": {"symbol": "⟨m⟩", "unit": "", "text": "signed magnetization per site; 0 by symmetry in no field"},
    "magnetization_squared": {"symbol": "⟨m²⟩", "unit": "", "text": "second moment of the magnetization per site"},
    "magnetization_fourth": {"symbol": "⟨m⁴⟩", "unit": "", "text": "fourth moment of the magnetization per site"},
    "susceptibility": {"symbol": "χ", "unit": "1/J", "text": "connected susceptibility, χ = β N (⟨m²⟩ − ⟨|m|⟩²)"},
    "susceptibility_disordered": {"symbol": "χ₀", "unit": "1/J", "text": "χ₀ = β N ⟨m²⟩: ⟨m²⟩ in other units"},
    "binder_cumulant": {"symbol": "U₄", "unit": "", "text": "Binder cumulant, U₄ = 1 − ⟨m⁴⟩ / 3⟨m²⟩²"},
    "domain_walls": {"symbol": "w", "unit": "", "text": "fraction of bonds that join opposite spins"},
    "correlation_length": {
        "symbol": "ξ",
        "unit": "a",
        "text": "second-moment correlation length, ξ = √(S(0)/S(k) − 1) / 2 sin(k/2) at the smallest momentum k",
    },
    "longest_correlation": {
        "symbol": "G(L/2)",
        "unit": "",
        "text": "two-point function ⟨s s'⟩ along the axes at the largest distance, no ⟨m⟩² subtracted",
    },
}

# Other observables in other units would be counted twice: w is e for a uniform coupling, chi_0 is <m^2>.
COUNTED = tuple(name for name in OBSERVABLES if name not in ("domain_walls", "susceptibility_disordered"))

# Averages over single configurations: their deviations are told in standard deviations of one configuration.
AVERAGES = (
    "energy_per_site",
    "magnetization",
    "abs_magnetization",
    "magnetization_squared",
    "magnetization_fourth",
    "domain_walls",
)

MEASURES: dict[str, dict[str, str]] = {
    "kl_forward": {
        "symbol": "KL(ref‖sample)",
        "unit": "nats",
        "text": "Σ p ln(p/q) between histograms, half a count added to each level that either ensemble visits",
    },
    "kl_backward": {
        "symbol": "KL(sample‖ref)",
        "unit": "nats",
        "text": "Σ q ln(q/p), with the same half count",
    },
    "js": {
        "symbol": "JS",
        "unit": "nats",
        "text": "Jensen-Shannon divergence between histograms, at most ln 2 = 0.693; nothing added to the counts",
    },
    "wasserstein": {
        "symbol": "W₁",
        "unit": "unit of the quantity",
        "text": "mean distance by which the draws of one law must be moved to become the other",
    },
}

METHOD = {
    "z": "deviation from the exact value over the error bar where an exact value is known, else from the reference "
    "over the combined error bar; z grows with the square root of the number of draws, so read it with the deviation",
    "effect": "deviation in natural units: for averages over configurations, in standard deviations of one reference "
    "configuration; for derived quantities, relative to the target",
    "distances": "each number is the mean over splits of both ensembles into independent halves (by chains, or by "
    "stretches of time where there are few) of the distance between a half of the sample and a half of the "
    "reference; the floor is the distance between the two halves of the reference; the excess subtracts what "
    "sampling noise alone gives, measured between halves of the reference and between halves of the sample",
    "levels": "histograms are on the discrete levels of energy and magnetization where there are any, else on "
    "Freedman-Diaconis bins of the reference",
    "kl": "Kullback-Leibler divergence per lattice (not per site) of the model's law q from the Boltzmann law p, "
    "by enumeration of all configurations",
}
