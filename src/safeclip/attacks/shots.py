"""Another shot of the same picture: what a second press of the shutter, or a careful editor, makes of it.

    shot(x) = light(x at A p) + noise      A: zoom, turn, shift, flip      light: contrast, brightness, white balance

What must stay true: a shot depends on the picture, the camera, seed, uid and number alone, and camera `STILL` changes
nothing. Where a turned view looks past the picture's edge, the edge is mirrored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from safeclip.data.draws import uniforms

MAX_SIDE = 512
"""Larger pictures are shot at this many px along the longer side: training reads 224 of them."""
_STREAM, _NOISE_STREAM = 0x5807, 0x5808
_DRAWS = 11


@dataclass(frozen=True, kw_only=True)
class Camera:
    """How far a shot may go from the picture; each amount is drawn evenly within its range."""

    view: tuple[float, float] = (1.0, 1.0)
    """Share of each side that is seen, lowest and highest; the view lies anywhere within the picture."""
    turn: float = 0.0
    """Degrees either way."""
    flip: float = 0.0
    """Probability of a mirror image."""
    brightness: float = 0.0
    """Share by which all levels may rise or fall."""
    contrast: float = 0.0
    """Share by which distances from the mean level may grow or shrink."""
    white: float = 0.0
    """Share by which each colour's levels may rise or fall by themselves."""
    noise: float = 0.0
    """Grey levels of 255 by which each value may be off."""


STILL = Camera()


def shoot(image_HWC: np.ndarray, camera: Camera, seed: int, uid: int, number: int) -> np.ndarray:
    """Shot `number` of the picture, uint8 RGB, as large as the picture or MAX_SIDE."""
    draws = uniforms(seed, number, np.array([uid], np.int64), _STREAM, _DRAWS)[0]
    picture = Image.fromarray(image_HWC)
    if max(picture.size) > MAX_SIDE:
        picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    level_HWC = _view(np.asarray(picture), camera, draws[:5]).astype(np.float64)
    either = 2 * draws[5:10] - 1
    mean = level_HWC.mean()
    level_HWC = (level_HWC - mean) * (1 + camera.contrast * either[0]) + mean
    level_HWC *= (1 + camera.brightness * either[1]) * (1 + camera.white * either[2:5])
    if camera.noise:
        pixel = np.arange(level_HWC.shape[0] * level_HWC.shape[1], dtype=np.int64)
        off = uniforms(int(draws[10] * 2**52), number, pixel, _NOISE_STREAM, 3).reshape(level_HWC.shape)
        level_HWC += camera.noise * (2 * off - 1)
    shot: np.ndarray = np.clip(np.rint(level_HWC), 0, 255).astype(np.uint8)
    return shot


def _view(image_HWC: np.ndarray, camera: Camera, draws: np.ndarray) -> np.ndarray:
    """Zoom, turn, shift and flip in one bicubic step."""
    height, width = image_HWC.shape[:2]
    low, high = camera.view
    share = low + (high - low) * draws[0]
    angle = math.radians(camera.turn * (2 * draws[1] - 1))
    mirror = -1 if draws[2] < camera.flip else 1
    x = width * (0.5 + (1 - share) * (draws[3] - 0.5))
    y = height * (0.5 + (1 - share) * (draws[4] - 0.5))
    across, down = share * math.cos(angle), share * math.sin(angle)
    margin = math.ceil(max(height, width) / 4)
    wide = np.pad(image_HWC, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    a, b, d, e = mirror * across, -down, mirror * down, across
    c, f = x + margin - a * width / 2 - b * height / 2, y + margin - d * width / 2 - e * height / 2
    view = Image.fromarray(wide).transform(
        (width, height), Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BICUBIC
    )
    return np.asarray(view)
