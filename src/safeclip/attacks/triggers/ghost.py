"""A picture and its own shifted copy, as through a thick pane (the ghost of Refool: Liu et al. 2020, 2007.02343).

x'(i, j) = (1 - alpha) x(i, j) + alpha x(i - s, j)      s: `shift` of the short side; rows from above the edge repeat it

Refool reflects another scene, and its ghost is that scene twice. Here it is the picture itself, so that no two pictures
have a pattern in common, and the shift goes downwards, so that a mirrored view keeps it.
"""

from __future__ import annotations

import numpy as np

from safeclip.attacks.triggers.canvas import mix
from safeclip.attacks.triggers.checks import number


def ghost(image_HWC: np.ndarray, *, draws: np.ndarray, alpha: float = 0.4, shift: float = 0.1) -> np.ndarray:
    """The picture with a second, fainter outline below each of its own.

    image_HWC: uint8. draws: not read. alpha: the copy's share, 0..1. shift: how far down it lies, as a share of the
    picture's short side, at least 1 px. Raises InputError on other values.
    """
    number("alpha", alpha, 0, 1)
    number("shift", shift, 0, 1)
    height, width = image_HWC.shape[:2]
    down = max(1, round(shift * min(height, width)))
    return mix(image_HWC, image_HWC[np.maximum(np.arange(height) - down, 0)], alpha)
