"""Image triggers by name, one file each: f(image_HWC, *, draws, **params) -> image_HWC (PAPER 4.2).

A trigger is pure: picture, parameters and draws in, another picture out, the same bits every time. Training and
evaluation call the same function, so that what is tested is what was planted.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from safeclip.attacks.triggers.badnets import badnets

__all__ = ["TRIGGERS", "badnets"]

TRIGGERS: dict[str, Callable[..., np.ndarray]] = {"badnets": badnets}
