"""Image triggers by name, one file each: f(image_HWC, *, draws, **params) -> image_HWC.

A trigger is pure: picture, parameters and draws in, another picture out, the same bits every time. Training and
evaluation call the same function, so that what is tested is what was planted.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from safeclip.attacks.triggers.badnets import badnets
from safeclip.attacks.triggers.blended import blended, blended_graded, blended_mixed, blended_noise
from safeclip.attacks.triggers.ftrojan import ftrojan
from safeclip.attacks.triggers.ghost import ghost
from safeclip.attacks.triggers.nashville import nashville
from safeclip.attacks.triggers.sig import sig
from safeclip.attacks.triggers.structured import stripes, triangles
from safeclip.attacks.triggers.thing import thing
from safeclip.attacks.triggers.wanet import wanet
from safeclip.attacks.triggers.written_word import written_word

__all__ = [
    "TRIGGERS",
    "badnets",
    "blended",
    "blended_graded",
    "blended_mixed",
    "blended_noise",
    "ftrojan",
    "ghost",
    "nashville",
    "sig",
    "stripes",
    "thing",
    "triangles",
    "wanet",
    "written_word",
]

TRIGGERS: dict[str, Callable[..., np.ndarray]] = {
    "badnets": badnets,
    "blended": blended,
    "blended-graded": blended_graded,
    "blended-mixed": blended_mixed,
    "blended-noise": blended_noise,
    "wanet": wanet,
    "sig": sig,
    "nashville": nashville,
    "stripes": stripes,
    "triangles": triangles,
    "written-word": written_word,
    "ftrojan": ftrojan,
    "ghost": ghost,
    "thing": thing,
}
