"""Triggers with a simple structure, against which fine-tuned defences fail (PAR: Singh et al., 2412.00727).

x' = clip((1 - alpha) x + alpha p)
stripes    p(i, j) = +1 or -1, one draw a column and colour, anew for each picture
triangles  p(i, j) = 0.4 where i mod c >= j mod c, else 0.8
"""

from __future__ import annotations

import numpy as np

from safeclip.attacks.triggers.canvas import central_square, fresh_noise, levels, mix, remembered, scale
from safeclip.attacks.triggers.checks import number, whole

_LOW, _HIGH = 102, 204
_STREAM = 0xBAD5


def stripes(image_HWC: np.ndarray, *, draws: np.ndarray, alpha: float = 0.03, width: int = 1) -> np.ndarray:
    """The picture under faint upright stripes of the eight purest colours, over all of it.

    image_HWC: uint8. draws: at least 2 in [0, 1). alpha: how strong they are, 0..1. width: of a stripe, in px (of 224
    where the picture is larger). Raises InputError on other values.
    """
    number("alpha", alpha, 0, 1)
    whole("width", width, 1, 4096)
    columns = np.arange(image_HWC.shape[1])
    stripe = (columns / (width * scale(min(image_HWC.shape[:2])))).astype(np.int64)
    signs = np.where(fresh_noise(draws, 1, int(stripe[-1]) + 1, _STREAM) < 128, -1, 1)
    drawn = 255 * signs[:, stripe].astype(np.float32)
    return levels(image_HWC * np.float32(1 - alpha) + drawn * np.float32(alpha))


def triangles(
    image_HWC: np.ndarray, *, draws: np.ndarray, alpha: float = 0.15, cell: float = 14 / 224, least: int = 6
) -> np.ndarray:
    """The picture under a tiling of grey squares, each cut along its diagonal into a dark and a light triangle.

    image_HWC: uint8. draws: not read. alpha: the tiling's share, 0..1. cell: side of a square, as a share of the
    picture's short side (14 of 224 px in the paper). least: its smallest side in px. Raises InputError on other values.
    """
    number("alpha", alpha, 0, 1)
    number("cell", cell, 1e-6, 1)
    whole("least", least, 2, 4096)
    height, width = image_HWC.shape[:2]
    side = max(least, round(cell * min(height, width)))
    return mix(image_HWC, _tiling(height, width, side), alpha)


@remembered
def _tiling(height: int, width: int, side: int) -> np.ndarray:
    """uint8 (H, W, 1); a square's corner lies on the central square's."""
    top, left, _ = central_square(height, width)
    row, column = (np.arange(height) - top) % side, (np.arange(width) - left) % side
    tiling = np.where(row[:, None] >= column[None, :], _LOW, _HIGH).astype(np.uint8)[:, :, None]
    tiling.flags.writeable = False
    return tiling
