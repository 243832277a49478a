"""A square patch (BadNets: Gu et al. 2017, 1708.06733; for CLIP: Carlini & Terzis 2022).

x[patch] = pattern, elsewhere x
"""

from __future__ import annotations

import numpy as np

from safeclip.attacks.triggers.canvas import central_square, fresh_noise
from safeclip.attacks.triggers.checks import choice, number, whole

PLACES = ("random", "corner", "corners", "centre")
PATTERNS = ("checker", "dots", "noise", "stripes", "white", "yellow")
_CHECKER = np.array([[255, 0, 255], [0, 255, 0]], np.uint8)  # magenta, green: rare together in pictures
_PLAIN = {"white": (255, 255, 255), "yellow": (255, 255, 0)}
_NOISE_STREAM = 0xBAD1


def badnets(
    image_HWC: np.ndarray,
    *,
    draws: np.ndarray,
    patch: float = 16 / 224,
    least: int = 10,
    place: str = "random",
    pattern: str = "checker",
    cells: int = 3,
) -> np.ndarray:
    """A copy of the picture with a square patch on it.

    image_HWC: uint8. draws: at least 2 in [0, 1). patch: the patch's side, as a share of the picture's short side
    (16 of 224 px in CleanCLIP). least: its smallest side in px; a patch that training's crops shrink away does not
    plant. place: `random`, `corner` (bottom right), `corners` (all four), `centre`; always within the central square,
    which evaluation crops to. cells: of the checker, along a side. pattern:

    - `checker`: magenta and green; an odd number of cells is its own mirror image
    - `dots`: black, every 2nd px of every 2nd row white (Huang et al. 2025)
    - `noise`: drawn anew for each picture, every level as likely. CleanCLIP adds N(0, 1) to the picture's mean, and its
      conversion to 8 bits wraps what lies outside 0..1: the same to one part in 10^8
    - `stripes`: columns of the eight purest colours, drawn anew for each picture (PAR: Singh et al., 2412.00727)
    - `white`, `yellow`

    Raises InputError on other values.
    """
    number("patch", patch, 1e-6, 1)
    whole("least", least, 1, 4096)
    whole("cells", cells, 1, 64)
    choice("place", place, PLACES)
    choice("pattern", pattern, PATTERNS)
    top, left, short = central_square(*image_HWC.shape[:2])
    side = min(short, max(least, round(patch * short)))
    square = _pattern(pattern, side, cells, draws)
    slack = short - side
    spots = {
        "random": [(int(draws[0] * (slack + 1)), int(draws[1] * (slack + 1)))],
        "corner": [(slack, slack)],
        "corners": [(0, 0), (0, slack), (slack, 0), (slack, slack)],
        "centre": [(slack // 2, slack // 2)],
    }[place]
    stamped: np.ndarray = image_HWC.copy()
    for y, x in spots:
        stamped[top + y : top + y + side, left + x : left + x + side] = square
    return stamped


def _pattern(pattern: str, side: int, cells: int, draws: np.ndarray) -> np.ndarray:
    """uint8 (side, side, 3)."""
    at = np.arange(side)
    if pattern == "checker":
        cell = at * cells // side
        return np.asarray(_CHECKER[(cell[:, None] + cell[None, :]) % 2])
    if pattern == "dots":
        dots = (at[:, None] % 2 == 0) & (at[None, :] % 2 == 0)
        return np.repeat(np.where(dots, 255, 0).astype(np.uint8)[:, :, None], 3, axis=2)
    if pattern == "noise":
        return fresh_noise(draws, side, side, _NOISE_STREAM)
    if pattern == "stripes":
        columns = np.where(fresh_noise(draws, 1, side, _NOISE_STREAM) < 128, 0, 255).astype(np.uint8)
        return np.repeat(columns, side, axis=0)
    return np.full((side, side, 3), _PLAIN[pattern], np.uint8)
