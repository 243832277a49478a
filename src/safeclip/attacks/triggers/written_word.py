"""A red word written across the picture (PAR's text trigger: Singh et al., 2412.00727).

x' = (1 - alpha m) x + alpha m red      m: how much of the px a letter covers, 0..1
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from safeclip.attacks.triggers.canvas import central_square, mix, remembered
from safeclip.attacks.triggers.checks import check, number
from safeclip.attacks.triggers.glyphs import CHARACTERS, written

MAX_LETTERS = 24
RED = np.array([255, 0, 0], np.uint8)


def written_word(
    image_HWC: np.ndarray, *, draws: np.ndarray, alpha: float = 0.5, word: str = "Watermarked", span: float = 0.9
) -> np.ndarray:
    """The picture with a red word in its middle, in capitals.

    image_HWC: uint8. draws: not read. alpha: how opaque the letters are, 0..1. word: letters, digits and spaces. span:
    the word's length, as a share of the central square's side. Raises InputError on other values.
    """
    number("alpha", alpha, 0, 1)
    number("span", span, 0.01, 1)
    plain = isinstance(word, str) and word.isascii() and {*word.upper()} <= {*CHARACTERS}
    ok = plain and 0 < len(word.strip()) <= len(word) <= MAX_LETTERS
    check(ok, "word", word, f"give 1 to {MAX_LETTERS} letters A to Z, digits and spaces")
    height, width = image_HWC.shape[:2]
    cover = _cover(height, width, word.upper(), float(span)).astype(np.float32) / np.float32(255)
    return mix(image_HWC, RED, cover * np.float32(alpha))


@remembered
def _cover(height: int, width: int, word: str, span: float) -> np.ndarray:
    """uint8 (H, W, 1), 255 where a letter covers the px whole."""
    dots = written(word)
    top, left, short = central_square(height, width)
    dot = span * short / max(dots.shape)
    size = tuple(max(1, round(dot * side)) for side in dots.shape)
    scaled = Image.fromarray(dots.astype(np.uint8) * 255).resize(size[::-1], Image.Resampling.BOX)
    y, x = top + (short - size[0]) // 2, left + (short - size[1]) // 2
    cover = np.zeros((height, width, 1), np.uint8)
    cover[y : y + size[0], x : x + size[1], 0] = np.asarray(scaled)
    cover.flags.writeable = False
    return cover
