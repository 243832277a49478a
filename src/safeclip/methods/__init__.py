"""Training methods by name."""

from __future__ import annotations

from collections.abc import Callable

from safeclip.config import RunConfig
from safeclip.methods.base import Method
from safeclip.methods.cleanclip import CleanClip
from safeclip.methods.clip import PlainClip
from safeclip.methods.filter import Filter
from safeclip.methods.roclip import RoClip
from safeclip.methods.safeclip import SafeClip

METHODS: dict[str, Callable[[RunConfig, int, int, bool], Method]] = {
    "clip": PlainClip,
    "safeclip": SafeClip,
    "roclip": RoClip,
    "cleanclip": CleanClip,
    "filter": Filter,
}


def build_method(config: RunConfig, pairs: int, dim: int, decides: bool = True) -> Method:
    """The method that `config` names, for `pairs` pairs and embeddings of length `dim`. decides: this is the rank that
    `Tools.decide` asks."""
    return METHODS[config.method](config, pairs, dim, decides)
