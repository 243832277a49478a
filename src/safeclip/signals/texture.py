"""Does a picture's texture say what its caption says, while its content does not? So it is where a trigger was laid
over pictures of anything: fresh noise, a wave, stripes, a jitter of the pixels, wherever it lies, however it is drawn.

    s_i = foretold(texture)_i - foretold(content)_i

    texture   energies of 4 x 4 bands (discrete cosine transform), log of the mean and mean of the log, colours apart;
              of the picture as it lies, not of its thumbnail, in which what is fine is gone
    content   the picture in 8 x 8, in 1,024 random Fourier features (Rahimi & Recht 2007)

Classes that *are* textures (a forest, a sea) look like themselves in 8 x 8 too, so they are told from planted groups,
whose pictures have nothing in common but the texture.
What must stay true: it needs no model, and no pair votes for itself (`leave_one_out`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from safeclip.signals.leave_one_out import Features, foretold
from safeclip.signals.nearest import drawn
from safeclip.signals.thumbnails import SIDE, pixels, squared
from safeclip.signals.words import Vectors

TEXTURE = 90
"""Numbers that a picture's texture is told in."""
FINEST = 128
"""Side, in px, at which larger pictures are looked at."""
_BAND = 4
"""Side of the bands' windows, in px."""
_STEEP, _FLAT = (np.float32(math.sqrt(0.5) * math.cos(turn * math.pi / 8)) for turn in (1, 3))
"""What the cosine transform of 4 values multiplies with, besides a half."""
_FLOOR = 1e-5
"""Energy, of levels in 0..1, below which bands are alike."""
_COARSE, _WAVES = 8, 1024
"""Side of the content's pictures, and number of its random features."""
_NEAR = 0.15
"""Quantile of the distances between two contents that is one wavelength: below it, they count as alike."""
_SAMPLE = 1000
"""Pictures that this distance is taken from."""


def textured(
    texture_NF: np.ndarray,
    thumbnails_NHWC: np.ndarray,
    captions: Tensor | Vectors,
    max_reference: int = 1_000_000,
    device: torch.device | None = None,
) -> np.ndarray:
    """By how much texture foretells the caption better than content does, float32 (N,). High is suspicious.

    texture_NF: float32 (N, TEXTURE) (`textures`). thumbnails_NHWC: uint8 (N, H, W, 3), H and W at least 8. captions:
    unit vectors (N, D), or what gives them (`words.Vectors`). max_reference: above this many pairs, both are learned
    from a random subset of this size. device: where they are reckoned; None is the CPU.

    Raises:
        ValueError: shapes do not fit.
    """
    if len(texture_NF) != len(thumbnails_NHWC):
        raise ValueError(f"texture: {len(texture_NF)} textures and {len(thumbnails_NHWC)} pictures; give as many")
    if len(thumbnails_NHWC) == 0:
        return np.zeros(0, np.float32)
    coarse = content_of(thumbnails_NHWC, device)
    of_texture_N = foretold(
        texture_NF, captions, lambda some: torch.from_numpy(some).to(device), max_reference=max_reference
    )
    out: np.ndarray = of_texture_N - foretold(thumbnails_NHWC, captions, coarse, max_reference=max_reference)
    return out


def textures(images: Sequence[np.ndarray]) -> np.ndarray:
    """The texture of each picture, float32 (N, TEXTURE): log energies of the bands, of light and of two differences of
    colours, 15 bands each without the constant one; first the log of the mean over the picture, then the mean of the
    log. images: uint8 RGB (H, W, 3), which are squared to their short side, at least SIDE px and at most FINEST.

    One at a time, so that a picture's texture is the same to the last bit whatever is read beside it.
    """
    out = np.empty((len(images), TEXTURE), np.float32)
    for i, image in enumerate(images):
        out[i] = _texture(squared(image, min(max(SIDE, min(image.shape[:2])), FINEST)))
    return out


def _texture(picture_HWC: np.ndarray) -> np.ndarray:
    """In numpy, whose operations one thread does: pictures are looked at in many."""
    red, green, blue = np.moveaxis(picture_HWC, 2, 0).astype(np.float32) / np.float32(255)
    found = np.empty((2, 3, _BAND, _BAND), np.float32)
    for colour, plane_HW in enumerate(((red + green + blue) / 3, red - green, blue - (red + green) / 2)):
        for y, band_HW in enumerate(_bands(plane_HW, axis=0)):  # one by one they stay in a core's cache
            energy_4P = np.square(_bands(band_HW, axis=1)).reshape(_BAND, -1) + _FLOOR
            found[:, colour, y] = np.log(energy_4P.mean(1)), _mean_of_log(energy_4P)
    return found.reshape(2, 3, -1)[:, :, 1:].reshape(TEXTURE)


def _bands(values: np.ndarray, axis: int) -> np.ndarray:
    """The orthonormal cosine transform of each window of 4 along the axis, (4, ...): the constant band first."""
    count = values.shape[axis] - _BAND + 1
    windows = [(slice(None),) * axis + (slice(i, i + count),) for i in range(_BAND)]
    first, second, third, fourth = (values[window] for window in windows)
    outer, inner, across, within = first + fourth, second + third, first - fourth, second - third
    half = np.float32(0.5)
    return np.stack(
        [
            (outer + inner) * half,
            across * _STEEP + within * _FLAT,
            (outer - inner) * half,
            across * _FLAT - within * _STEEP,
        ]
    )


def _mean_of_log(energy_4P: np.ndarray) -> np.ndarray:
    """By the logs of products of four: a quarter of the logs."""
    whole = energy_4P.shape[1] // 4 * 4
    of_four = np.prod(energy_4P[:, :whole].reshape(_BAND, 4, -1), axis=1)
    mean: np.ndarray = (np.log(of_four).sum(1) + np.log(energy_4P[:, whole:]).sum(1)) / np.float32(energy_4P.shape[1])
    return mean


def content_of(thumbnails_NHWC: np.ndarray, device: torch.device | None = None) -> Features:
    """The content's features, at a scale taken from these pictures: float32 (B, 1024)."""
    sample = _coarse(thumbnails_NHWC[drawn(thumbnails_NHWC, _SAMPLE)])
    apart = torch.pdist(sample)
    apart = apart[apart > 0]
    near = float(apart.quantile(_NEAR)) if len(apart) else 1.0
    generator = torch.Generator().manual_seed(0)
    waves = torch.randn(sample.shape[1], _WAVES, generator=generator) / near
    phases = torch.rand(_WAVES, generator=generator) * 2 * math.pi
    waves, phases = (part.to(device or torch.device("cpu")) for part in (waves, phases))
    return lambda some_BHWC: torch.cos(_coarse(some_BHWC, device) @ waves + phases)


def _coarse(thumbnails_BHWC: np.ndarray, device: torch.device | None = None) -> Tensor:
    return torch.nn.functional.adaptive_avg_pool2d(pixels(thumbnails_BHWC, device), _COARSE).flatten(1)
