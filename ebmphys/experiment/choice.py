"""The setting that names a model, those that several kinds of model share, and what is taken where nothing is said."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from ebmphys.experiment.settings import Flag, Layers, Settings
from ebmphys.experiment.usage import ModelName, ObjectiveName, check_used

_HIDDEN: dict[ModelName, tuple[int, ...]] = {
    "rbm": (64,),
    "dbm": (64, 64),
    "dbn": (64, 64),
    "neural": (64, 64),
    "ae": (64,),
    "dae": (64,),
    "vae": (128, 128),
    "cvae": (128, 128),
    "made": (256, 256),
    "frontier": (64, 64),
    "diffusion": (256, 256),
    "gan": (128, 128),
}
_INVARIANT_HIDDEN: dict[ModelName, tuple[int, ...]] = {
    "rbm": (8,),
    "neural": (16, 16),
    "diffusion": (32, 32, 32),
    "gan": (24, 24, 24),
}


class Choice(Settings, group="Which model"):
    """Which model is fitted, and by what."""

    model: ModelName
    """A Boltzmann machine (bm), restricted (rbm), deep (dbm), a deep belief net (dbn), a network as an energy (neural);
    or one that needs no chains: an autoencoder (ae, denoising dae; these draw nothing), a variational one (vae, told
    the temperature cvae), a mixture, a network with an exact likelihood (made, pixelcnn, frontier), a diffusion, a
    gan."""
    objective: ObjectiveName | None = None
    """The likelihood (default of bm, rbm, dbm, neural, made, pixelcnn and frontier), the pseudo-likelihood (bm, rbm,
    neural), for a vae or cvae the elbo (default) or the importance-weighted bound (iwae); free-energy learns a made,
    pixelcnn or frontier from the Hamiltonian and temperature of the file alone, its configurations being looked at
    only. The others have one objective, which is not to be named."""
    hidden: Layers | None = None
    """Hidden units: of a bm (default none) or rbm (64) one number; layers of a dbm or dbn (64,64), of the networks of a
    neural energy (64,64), ae or dae (64), vae or cvae (128,128), made (256,256), frontier (64,64), diffusion (256,256)
    or gan (128,128)."""
    visible_unit: Literal["spin", "bit", "gaussian"] = "spin"
    """What a visible site is to the model."""
    invariant: Flag = False
    """Build the lattice's translations in: an RBM with --hidden filters (8), a bm with one coupling a displacement, a
    mixture whose components stand for all their translations; networks of periodic convolutions with --hidden
    channels for a neural energy (16,16), a diffusion (32,32,32) or a gan (24,24,24)."""

    learn_sigma: Flag = False
    """Learn the widths of Gaussian visible units (rbm), or that of the Gaussian likelihood (vae)."""

    @model_validator(mode="after")
    def _used(self) -> Choice:
        check_used(self.model, self.objective, self.model_fields_set)
        return self

    @property
    def layers(self) -> tuple[int, ...]:
        """Sizes as they were given, or those that the model has by default."""
        if self.hidden is not None:
            return self.hidden
        return (_INVARIANT_HIDDEN if self.invariant else _HIDDEN).get(self.model, ())
