"""The settings of models that draw independently, and of autoencoders, and the model that they name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field, model_validator

from ebmphys.checkpoint import Model
from ebmphys.energies import Ising
from ebmphys.experiment.choice import Choice
from ebmphys.experiment.lesson import Lesson
from ebmphys.experiment.settings import Flag, Layers
from ebmphys.generators import (
    GAN,
    MADE,
    VAE,
    AbsorbingDiffusion,
    Autoencoder,
    AutoregressiveVAE,
    BernoulliMixture,
    BitFlipDiffusion,
    Convolutions,
    FrontierNetwork,
    PixelCNN,
)
from ebmphys.lattice import Lattice
from ebmphys.units import Unit, build_unit

_LATENT = {"ae": 8, "dae": 8, "vae": 2, "cvae": 2}
_STEPS = 64
_CONVOLUTIONAL_FIELDS = 4  # of noise a site of a gan: of one the convolutions make too little
_KERNEL = 3


class Generative(Choice, group="Models without chains"):
    """Which model that needs no chains is fitted."""

    symmetric: bool | None = None
    """Build the Z2 symmetry into log q (default: where the data have it and --symmetries is not none); with
    --no-symmetric a latent of a vae may tell the sign of m."""
    latent: int | None = Field(default=None, ge=1)
    """Latent variables of a vae or cvae (2); the numbers of the code of an ae or dae (8)."""
    convolutions: Layers | None = None
    """Channels of circular convolutions around the networks of a vae or cvae, such as 16,32 (default: none)."""
    kernel: int = Field(default=3, ge=1)
    """Sites a side of each filter of --convolutions."""
    stride: int = Field(default=2, ge=1)
    """How many times coarser the lattice is after each of --convolutions."""
    decoder: Literal["product", "autoregressive"] = "product"
    """Sites given the latents of a vae or cvae: independent, so that the energy is too high, or each given those before
    it."""
    decoder_hidden: Layers = (256, 256)
    """Hidden layers of the autoregressive decoder."""
    per_site: Flag = False
    """A width of its own for each site, with --learn-sigma (vae)."""
    full_covariance: Flag = False
    """Let the latents be correlated given a configuration (vae)."""
    components: int = Field(default=64, ge=1)
    """Components of a mixture."""
    channels: int = Field(default=24, ge=1)
    """Features a site of a pixelcnn."""
    blocks: int = Field(default=4, ge=1)
    """Blocks of a pixelcnn, each of which reaches a site further."""
    tied: Flag = False
    """One matrix for both ways through a layer (ae, dae)."""
    noise: Literal["flip", "mask"] | None = None
    """What spoils configurations: spins turned over, or hidden; what a dae learns to undo (flip), or a diffusion step
    by step (mask, which draws site by site in random order)."""
    noise_strength: float = Field(default=0.1, ge=0, le=1)
    """The probability that noise meets a site (dae)."""
    diffusion_steps: int | None = Field(default=None, ge=1)
    """Steps of a diffusion (default: 64 of flips; of masks one a site, which is exact)."""
    critic: Layers = (128, 128)
    """Hidden layers of a gan's critic."""

    @model_validator(mode="after")
    def _agrees(self) -> Generative:
        given = self.model_fields_set
        for name, there, why in (
            ("kernel", self.convolutions is not None, "--convolutions"),
            ("stride", self.convolutions is not None, "--convolutions"),
            ("decoder_hidden", self.decoder == "autoregressive", "--decoder autoregressive"),
            ("per_site", self.learn_sigma, "--learn-sigma"),
        ):
            if name in given and not there:
                raise ValueError(f"--{name.replace('_', '-')} needs {why}")
        if self.decoder == "autoregressive" and self.learn_sigma:
            raise ValueError("--learn-sigma is for --decoder product: an autoregressive decoder has two-valued sites")
        return self

    @property
    def code(self) -> int:
        """Latents as they were given, or those that the model has by default."""
        return _LATENT[self.model] if self.latent is None else self.latent

    def symmetry(self, lesson: Lesson) -> bool:
        """Whether the Z2 symmetry is built in. Raises ValueError where the Hamiltonian of the data has not got it."""
        if self.symmetric and isinstance(lesson.target, Ising) and bool(lesson.target.fields.any()):
            raise ValueError("--symmetric: the Hamiltonian of these data has a field, and with it no Z2 symmetry")
        return lesson.even if self.symmetric is None else self.symmetric


def build_generative(settings: Generative, lesson: Lesson) -> Model:
    """The model of the settings for the data of a lesson. Raises ValueError for a model that they do not allow."""
    return _BUILDERS[settings.model](settings, lesson, build_unit(settings.visible_unit))


def convolutions_of(settings: Generative, lesson: Lesson) -> Convolutions | None:
    """The convolutions of the settings on the lattice of the data, where there are to be any."""
    if settings.convolutions is None:
        return None
    return Convolutions(
        lattice_of("--convolutions", lesson).shape, settings.convolutions, settings.kernel, settings.stride
    )


def lattice_of(flag: str, lesson: Lesson) -> Lattice:
    if lesson.lattice is None:
        raise ValueError(f"{flag} needs data on a lattice: these do not say which")
    return lesson.lattice


def _torus(lesson: Lesson) -> tuple[int, ...]:
    """The sides of a lattice that all translations leave as it is."""
    lattice = lattice_of("--invariant", lesson)
    if not all(lattice.periodic) or lattice.geometry != "hypercubic":
        raise ValueError("--invariant of a mixture, diffusion or gan is for periodic chains, square and cubic lattices")
    return lattice.shape


def _network(settings: Generative, lesson: Lesson) -> dict[str, object]:
    sizes = list(settings.layers)
    if not settings.invariant:
        return {"kind": "mlp", "hidden": sizes}
    return {"kind": "convolutional", "shape": list(_torus(lesson)), "channels": sizes, "kernel": _KERNEL}


def _autoencoder(settings: Generative, lesson: Lesson, unit: Unit) -> Model:
    layers = (*settings.layers, settings.code)
    return Autoencoder(
        lesson.n_visible, layers, unit, tied=settings.tied, rng=lesson.rng("weights"), device=lesson.device
    )


def _vae(settings: Generative, lesson: Lesson, unit: Unit) -> Model:
    shared: dict[str, Any] = {
        "n_visible": lesson.n_visible,
        "hidden": settings.layers,
        "latent": settings.code,
        "unit": unit,
        "convolutions": convolutions_of(settings, lesson),
        "full_covariance": settings.full_covariance,
        "symmetric": settings.symmetry(lesson),
        "rng": lesson.rng("weights"),
        "device": lesson.device,
    }
    if settings.decoder == "autoregressive":
        return AutoregressiveVAE(**shared, decoder_hidden=settings.decoder_hidden)
    return VAE(**shared, learn_sigma=settings.learn_sigma, per_site=settings.per_site)


def _mixture(settings: Generative, lesson: Lesson, unit: Unit) -> Model:
    shape = _torus(lesson) if settings.invariant else None
    even = settings.symmetry(lesson)
    return BernoulliMixture(lesson.n_visible, settings.components, unit, even=even, shape=shape, device=lesson.device)


def _made(settings: Generative, lesson: Lesson, unit: Unit) -> Model:
    even, rng = settings.symmetry(lesson), lesson.rng("weights")
    return MADE(lesson.n_visible, settings.layers, unit, symmetric=even, rng=rng, device=lesson.device)


def _pixelcnn(settings: Generative, lesson: Lesson, unit: Unit) -> Model:
    lattice, even, rng = lattice_of("a pixelcnn", lesson), settings.symmetry(lesson), lesson.rng("weights")
    return PixelCNN(lattice, settings.channels, settings.blocks, unit, symmetric=even, rng=rng, device=lesson.device)


def _frontier(settings: Generative, lesson: Lesson, unit: Unit) -> Model:
    lattice, even, rng = lattice_of("a frontier network", lesson), settings.symmetry(lesson), lesson.rng("weights")
    return FrontierNetwork(lattice, settings.layers, unit, symmetric=even, rng=rng, device=lesson.device)


def _diffusion(settings: Generative, lesson: Lesson, unit: Unit) -> Model:
    network, even, rng = _network(settings, lesson), settings.symmetry(lesson), lesson.rng("weights")
    options: dict[str, Any] = {"symmetric": even, "rng": rng, "device": lesson.device}
    if settings.noise == "flip":
        return BitFlipDiffusion(lesson.n_visible, settings.diffusion_steps or _STEPS, network, unit, **options)
    return AbsorbingDiffusion(lesson.n_visible, settings.diffusion_steps, network, unit, **options)


def _gan(settings: Generative, lesson: Lesson, unit: Unit) -> Model:
    network, even, rng = _network(settings, lesson), settings.symmetry(lesson), lesson.rng("weights")
    fields = _CONVOLUTIONAL_FIELDS if settings.invariant else 1
    return GAN(lesson.n_visible, network, fields, unit, symmetric=even, rng=rng, device=lesson.device)


_BUILDERS: dict[str, Callable[[Generative, Lesson, Unit], Model]] = {
    "ae": _autoencoder,
    "dae": _autoencoder,
    "vae": _vae,
    "mixture": _mixture,
    "made": _made,
    "pixelcnn": _pixelcnn,
    "frontier": _frontier,
    "diffusion": _diffusion,
    "gan": _gan,
}
