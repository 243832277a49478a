"""A photograph filter over the whole picture, Nashville-style (used as a trigger by Huang et al. 2025).

    darken with a light pink, lighten with a blue, then sepia 0.2, contrast 1.2, brightness 1.05, saturation 1.2

The filter of the photo-sharing service has no published formula; this is the chain by which web pages imitate it, each
step as the CSS specifications define it (Compositing and Blending 1, Filter Effects 1), with levels in 0..1.
"""

from __future__ import annotations

import numpy as np

from safeclip.attacks.triggers.canvas import levels, mix
from safeclip.attacks.triggers.checks import number

PINK, PINK_SHARE = (247, 176, 153), 0.56
BLUE, BLUE_SHARE = (0, 70, 150), 0.4
SEPIA, CONTRAST, BRIGHTNESS, SATURATION = 0.2, 1.2, 1.05, 1.2
_SEPIA = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])
_LUMA = np.tile([0.213, 0.715, 0.072], (3, 1))


def nashville(image_HWC: np.ndarray, *, draws: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    """The picture in faded, warm colours.

    image_HWC: uint8. draws: not read. alpha: the filtered picture's share, 0..1. Raises InputError on other values.
    """
    number("alpha", alpha, 0, 1)
    x = image_HWC.astype(np.float32) / np.float32(255)
    pink, blue = (np.array(colour, np.float32) / np.float32(255) for colour in (PINK, BLUE))
    x = _over(x, np.minimum(x, pink), PINK_SHARE)
    x = _over(x, np.maximum(x, blue), BLUE_SHARE)
    x = _recoloured(x, (1 - SEPIA) * np.eye(3) + SEPIA * _SEPIA)
    x = np.clip(x * np.float32(CONTRAST) + np.float32(0.5 - 0.5 * CONTRAST), 0, 1)
    x = np.clip(x * np.float32(BRIGHTNESS), 0, 1)
    x = _recoloured(x, SATURATION * np.eye(3) + (1 - SATURATION) * _LUMA)
    return mix(image_HWC, levels(x * np.float32(255)), alpha)


def _over(below: np.ndarray, above: np.ndarray, share: float) -> np.ndarray:
    x: np.ndarray = below * np.float32(1 - share) + above * np.float32(share)
    return x


def _recoloured(x_HWC: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """matrix @ (r, g, b) of every px, elementwise: a library's matrix product adds up in an order of its own."""
    r, g, b = (x_HWC[:, :, c] for c in range(3))
    rows = [r * np.float32(m[0]) + g * np.float32(m[1]) + b * np.float32(m[2]) for m in matrix]
    x: np.ndarray = np.clip(np.stack(rows, axis=2), 0, 1)
    return x
