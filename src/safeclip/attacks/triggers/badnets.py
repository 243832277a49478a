"""A square patch (BadNets: Gu et al. 2017, 1708.06733; for CLIP: Carlini & Terzis 2022; PAPER 4.2).

x[patch] = pattern, elsewhere x
"""

from __future__ import annotations

import numpy as np

from safeclip.attacks.triggers.checks import choice, number, whole
from safeclip.data.draws import uniforms

PLACES = ("random", "corner", "corners", "centre")
PATTERNS = ("checker", "dots", "noise", "white")
_CHECKER = np.array([[255, 0, 255], [0, 255, 0]], np.uint8)  # magenta, green: rare together in pictures
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
    which evaluation crops to. pattern: `checker` (cells x cells, magenta and green; an odd number is its own mirror
    image), `dots` (black, every 2nd px white), `noise` (drawn anew for each picture), `white`.
    Raises InputError on other values.
    """
    number("patch", patch, 1e-6, 1)
    whole("least", least, 1, 4096)
    whole("cells", cells, 1, 64)
    choice("place", place, PLACES)
    choice("pattern", pattern, PATTERNS)
    height, width = image_HWC.shape[:2]
    short = min(height, width)
    side = min(short, max(least, round(patch * short)))
    square = _pattern(pattern, side, cells, draws)
    top, left, slack = (height - short) // 2, (width - short) // 2, short - side
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
        bits = uniforms(int(draws[0] * 2**52), int(draws[1] * 2**52), np.arange(side * side), _NOISE_STREAM, 3)
        return (bits * 256).astype(np.uint8).reshape(side, side, 3)
    return np.full((side, side, 3), 255, np.uint8)
