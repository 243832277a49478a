"""Training methods by name."""

from __future__ import annotations

from collections.abc import Callable

from safeclip.config import RunConfig
from safeclip.errors import InputError
from safeclip.methods.base import Method
from safeclip.methods.clip import Clip
from safeclip.methods.safeclip import SafeClip

METHODS: dict[str, Callable[[RunConfig, int, int], Method]] = {"clip": Clip, "safeclip": SafeClip}


def build_method(config: RunConfig, pairs: int, dim: int) -> Method:
    """The method that `config` names, for `pairs` pairs and embeddings of length `dim`. Raises InputError."""
    if config.method not in METHODS:
        raise InputError(f"method = {config.method!r}: choose among {', '.join(sorted(METHODS))}")
    return METHODS[config.method](config, pairs, dim)
