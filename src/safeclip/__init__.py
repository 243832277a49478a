"""safeclip: train CLIP on image-caption pairs that nobody has checked, so that planted pairs do not take.

    from safeclip import evaluate, load_run, preset, resume, train

    run = train(preset("emoji"), "runs/mine")
    print(evaluate(run.path)["zero_shot"])

The parts for other people's loops: `clip_loss`, `clip_loss_crossed`, `unimodal_loss`, `Pool`, `fit_mixture`,
`first_share`, `share_at`, `risk_of`, `safest`, `neighbour_agreement`, `perceptual_hashes`, `copy_groups`; `Embedder`
embeds pictures and captions with the model of `load_run`. Names are imported when first used, so that
`import safeclip` costs nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safeclip.config import RunConfig as RunConfig
    from safeclip.evaluate.run import evaluate_run as evaluate  # noqa: F401
    from safeclip.evaluate.run import load_run as load_run
    from safeclip.model.embed import Embedder as Embedder
    from safeclip.model.pool import Pool as Pool
    from safeclip.objective import clip_loss as clip_loss
    from safeclip.objective import clip_loss_crossed as clip_loss_crossed
    from safeclip.objective import unimodal_loss as unimodal_loss
    from safeclip.presets import preset as preset
    from safeclip.signals.copies import copy_groups as copy_groups
    from safeclip.signals.copies import perceptual_hashes as perceptual_hashes
    from safeclip.signals.neighbours import neighbour_agreement as neighbour_agreement
    from safeclip.split import first_share as first_share
    from safeclip.split import fit_mixture as fit_mixture
    from safeclip.split import risk_of as risk_of
    from safeclip.split import safest as safest
    from safeclip.split import share_at as share_at
    from safeclip.train.loop import resume as resume
    from safeclip.train.loop import train as train

_HOME = {
    "RunConfig": ("safeclip.config", "RunConfig"),
    "Pool": ("safeclip.model.pool", "Pool"),
    "Embedder": ("safeclip.model.embed", "Embedder"),
    "clip_loss": ("safeclip.objective", "clip_loss"),
    "clip_loss_crossed": ("safeclip.objective", "clip_loss_crossed"),
    "copy_groups": ("safeclip.signals.copies", "copy_groups"),
    "evaluate": ("safeclip.evaluate.run", "evaluate_run"),
    "first_share": ("safeclip.split", "first_share"),
    "fit_mixture": ("safeclip.split", "fit_mixture"),
    "load_run": ("safeclip.evaluate.run", "load_run"),
    "neighbour_agreement": ("safeclip.signals.neighbours", "neighbour_agreement"),
    "perceptual_hashes": ("safeclip.signals.copies", "perceptual_hashes"),
    "preset": ("safeclip.presets", "preset"),
    "resume": ("safeclip.train.loop", "resume"),
    "risk_of": ("safeclip.split", "risk_of"),
    "safest": ("safeclip.split", "safest"),
    "share_at": ("safeclip.split", "share_at"),
    "train": ("safeclip.train.loop", "train"),
    "unimodal_loss": ("safeclip.objective", "unimodal_loss"),
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'safeclip' has no attribute {name!r}")
    module, attribute = _HOME[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


class _Package(ModuleType):
    """Importing the folder `safeclip.train` must not hide the function `safeclip.train`, nor `evaluate` its own."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
