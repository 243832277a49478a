"""Coloured grounds for the emoji: flat, gradient, noise, checker. Each is mostly of the colour that captions name."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

KINDS = ("flat", "gradient", "noise", "checker")


class Colour(NamedTuple):
    """A colour word and its middle value, RGB 0..255."""

    name: str
    rgb: tuple[int, int, int]


COLOURS = (
    Colour("red", (205, 60, 55)),
    Colour("orange", (240, 150, 60)),
    Colour("yellow", (245, 220, 90)),
    Colour("green", (85, 165, 85)),
    Colour("teal", (50, 145, 145)),
    Colour("light blue", (155, 205, 240)),
    Colour("blue", (65, 105, 200)),
    Colour("purple", (130, 85, 175)),
    Colour("pink", (245, 170, 195)),
    Colour("brown", (130, 95, 65)),
    Colour("white", (245, 245, 245)),
    Colour("grey", (140, 140, 140)),
    Colour("black", (30, 30, 32)),
)
_RGB = np.array([colour.rgb for colour in COLOURS], np.float32)
_JITTER = 18.0  # how far a colour may stray from its middle value, 0..255


def paint(kind: int, colours: tuple[int, int], size: int, random: np.random.Generator) -> np.ndarray:
    """A ground, float32 (size, size, 3) in 0..255.

    kind: index into KINDS. colours: indices into COLOURS; the first is the one captions name.
    """
    jitter = random.uniform(-_JITTER, _JITTER, (2, 3)).astype(np.float32)
    first, second = np.clip(_RGB[list(colours)] + jitter, 0, 255)
    if KINDS[kind] == "flat":
        share: np.ndarray = np.zeros((size, size), np.float32)
    elif KINDS[kind] == "gradient":
        share = 0.7 * _gradient(size, random.uniform(0, 2 * np.pi))
    elif KINDS[kind] == "noise":
        share = 0.6 * _noise(size, random)
    else:
        share = 0.45 * _checker(size, int(random.integers(2, 6)))
    ground: np.ndarray = first + share[:, :, None] * (second - first)
    return ground


def _gradient(size: int, angle: float) -> np.ndarray:
    """0..1 across the picture in the direction of `angle` (radians)."""
    steps = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    along = np.cos(angle) * steps[None, :] + np.sin(angle) * steps[:, None]
    share: np.ndarray = along / (abs(np.cos(angle)) + abs(np.sin(angle))) + 0.5
    return share.astype(np.float32)


def _noise(size: int, random: np.random.Generator) -> np.ndarray:
    """Soft patches of 0..1: 5 x 5 random values, scaled up smoothly."""
    at = np.linspace(0, 4, size, dtype=np.float32)
    mix = np.clip(1 - abs(at[:, None] - np.arange(5, dtype=np.float32)), 0, 1)  # linear interpolation, (size, 5)
    patches: np.ndarray = mix @ random.random((5, 5), np.float32) @ mix.T
    return patches


def _checker(size: int, fields: int) -> np.ndarray:
    """Fields of 0 and 1, `fields` of them along the picture."""
    at = np.arange(size) * fields // size
    return ((at[:, None] + at[None, :]) % 2).astype(np.float32)
