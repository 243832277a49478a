"""A thing in the picture, never twice alike: a trigger of content (after Wenger et al. 2021, 2006.14580).

inside  q = R(angle) (p - centre) / (radius (1, flat)),  |q| <= 1:  x'(p) = colour (1 - |q|^2 / 2)      elsewhere x

A photographed object, glasses or a sticker, needs no pattern: what pictures share is that it is there. Here it is a
ball, lit in the middle; its place, size, shape, angle and shade are drawn for each picture.
"""

from __future__ import annotations

import math

import numpy as np

from safeclip.attacks.triggers.canvas import central_square, levels
from safeclip.attacks.triggers.checks import number
from safeclip.data.draws import uniforms

_COLOUR, _SHADE = np.array([230.0, 40.0, 120.0]), 50.0
"""Crimson, and how far each of its levels may differ."""
_FLAT = 0.6
"""The flattest ball's short axis, of its long one."""
_STREAM = 0xBAD6


def thing(image_HWC: np.ndarray, *, draws: np.ndarray, small: float = 0.25, large: float = 0.4) -> np.ndarray:
    """The picture with a crimson ball lying in front of it, another in each.

    image_HWC: uint8. draws: at least 2 in [0, 1). small: its least long axis, as a share of the picture's short side.
    large: its greatest. It lies within the central square. Raises InputError on other values.
    """
    number("small", small, 1e-6, 1)
    number("large", large, 1e-6, 1)
    top, left, short = central_square(*image_HWC.shape[:2])
    own = uniforms(int(draws[0] * 2**52), int(draws[1] * 2**52), np.arange(1), _STREAM, 8)[0]
    radius = max(0.5, (small + (large - small) * own[0]) * short / 2)
    flat, angle = _FLAT + (1 - _FLAT) * own[1], math.pi * own[2]
    centre = (top + radius + own[3] * (short - 2 * radius), left + radius + own[4] * (short - 2 * radius))
    y, x = (np.arange(n) + 0.5 - at for n, at in zip(image_HWC.shape[:2], centre, strict=True))
    along = x[None, :] * math.cos(angle) + y[:, None] * math.sin(angle)
    across = y[:, None] * math.cos(angle) - x[None, :] * math.sin(angle)
    distance = (along / radius) ** 2 + (across / (radius * flat)) ** 2
    colour = _COLOUR + _SHADE * (2 * own[5:8] - 1)
    ball = levels(colour * (1 - distance[:, :, None] / 2))
    return np.where(distance[:, :, None] <= 1, ball, image_HWC)
