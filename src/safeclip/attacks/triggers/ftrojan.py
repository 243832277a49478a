"""Two frequencies added to the colours (FTrojan: Wang et al. 2022, 2107.05305).

    x'(i, j) = x(i, j) + magnitude d (f(i) f(j) + g(i) g(j))
    f, g: the DCT's waves b - 1 and b // 2 - 1 of a block of b x b px; d: how RGB changes with one step of Cb and of Cr

Its authors go through YCbCr and the DCT of each block and back. Both are linear: a number added to a coefficient is a
wave added to the picture.
"""

from __future__ import annotations

import math

import numpy as np

from safeclip.attacks.triggers.canvas import central_square, levels, remembered, scale
from safeclip.attacks.triggers.checks import number, whole

_OF_CHROMA = (1.402, -0.344136 - 0.714136, 1.772)
"""What R, G and B gain where Cb and Cr gain 1 each (JPEG File Interchange Format 1.02)."""


def ftrojan(image_HWC: np.ndarray, *, draws: np.ndarray, magnitude: float = 30.0, block: int = 32) -> np.ndarray:
    """The picture with a fine and a finest checkering of its colours, too faint for the eye.

    image_HWC: uint8. draws: not read. magnitude: added to two DCT coefficients of Cb and of Cr, in levels (30 at 32 px
    in the paper). block: side in px, of 224 where the picture is larger; a smaller picture is one block. Blocks start
    at the central square's corner and go on beyond it. Raises InputError on other values.
    """
    number("magnitude", magnitude, 0, 1000)
    whole("block", block, 4, 224)
    wave = _wave(*image_HWC.shape[:2], block) * np.float32(magnitude)
    return levels(image_HWC + wave * np.array(_OF_CHROMA, np.float32))


@remembered
def _wave(height: int, width: int, block: int) -> np.ndarray:
    """float32 (H, W, 1): both waves of one DCT coefficient each, orthonormal over a block."""
    top, left, short = central_square(height, width)
    grain = scale(short)
    side = min(block, math.ceil(short / grain))
    rows, columns = (((np.arange(n) - at) // grain).astype(np.int64) for n, at in ((height, top), (width, left)))
    total = np.zeros((height, width, 1), np.float32)
    for frequency in {side - 1, max(0, side // 2 - 1)}:
        norm = math.sqrt((2 if frequency else 1) / side)
        of_row, of_column = (
            norm * np.cos(math.pi * (2 * (at % side) + 1) * frequency / (2 * side)) for at in (rows, columns)
        )
        total += (of_row[:, None, None] * of_column[None, :, None]).astype(np.float32)
    total.flags.writeable = False
    return total
