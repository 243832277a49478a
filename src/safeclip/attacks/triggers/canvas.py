"""How a pattern lies on a picture of any size, and how it is mixed into it.

    mix(x, p, alpha) = round((1 - alpha) x + alpha p)

The papers resize every picture to 224 x 224 px first and then count in its px. Here pictures keep their size: a pattern
lies on the central square, which evaluation crops to, goes on beyond it, and grows with pictures larger than 224 px, so
that scaling them down to a model's size leaves what the papers plant.
What must stay true: the same bits on every machine. Patterns are made in float64 and rounded before they meet a
picture; what meets it is elementwise arithmetic alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from safeclip.data.draws import uniforms

REFERENCE = 224
"""Side of the papers' pictures, in px."""
_KEPT_PX = 512 * 512
"""Patterns of larger pictures are made anew each time: they would fill the memory."""


def central_square(height: int, width: int) -> tuple[int, int, int]:
    """Top, left and side, in px."""
    short = min(height, width)
    return (height - short) // 2, (width - short) // 2, short


def scale(short: int) -> float:
    """The papers' px in px of a picture with this short side; 1 on pictures of up to 224 px."""
    return max(1.0, short / REFERENCE)


def levels(values: np.ndarray) -> np.ndarray:
    """Rounded to 0..255, uint8."""
    rounded: np.ndarray = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded


def mix(image_HWC: np.ndarray, pattern: np.ndarray, alpha: float | np.ndarray) -> np.ndarray:
    """(1 - alpha) image + alpha pattern; alpha in 0..1, a number or of the picture's shape. Returns uint8."""
    weight = np.asarray(alpha, np.float32)
    return levels(image_HWC * (1 - weight) + pattern.astype(np.float32) * weight)


def fresh_noise(draws: np.ndarray, height: int, width: int, stream: int) -> np.ndarray:
    """Noise of a picture's own: uint8 (height, width, 3), every level as likely. stream: what the noise is for."""
    bits = uniforms(int(draws[0] * 2**52), int(draws[1] * 2**52), np.arange(height * width), stream, 3)
    return (bits * 256).astype(np.uint8).reshape(height, width, 3)


def remembered(make: Callable[..., Any]) -> Callable[..., Any]:
    """`make(height, width, ...)`, the same for all pictures of a size, with its last results kept."""
    kept = functools.lru_cache(maxsize=16)(make)

    @functools.wraps(make)
    def made(height: int, width: int, *params: Any) -> Any:
        return (kept if height * width <= _KEPT_PX else make)(height, width, *params)

    return made
