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
from safeclip.signals.nearest import reference
from safeclip.signals.thumbnails import SIDE, pixels, squared

TEXTURE = 90
"""Numbers that a picture's texture is told in."""
FINEST = 128
"""Side, in px, at which larger pictures are looked at."""
_BAND = 4
"""Side of the bands' windows, in px."""
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
    caption_ND: Tensor,
    max_reference: int = 1_000_000,
    device: torch.device | None = None,
) -> np.ndarray:
    """By how much texture foretells the caption better than content does, float32 (N,). High is suspicious.

    texture_NF: float32 (N, TEXTURE) (`textures`). thumbnails_NHWC: uint8 (N, H, W, 3), H and W at least 8. caption_ND:
    unit vectors (`words.caption_vectors`). max_reference: above this many pairs, both are learned from a random subset
    of this size. device: where they are reckoned; None is the CPU.

    Raises:
        ValueError: shapes do not fit.
    """
    if len(texture_NF) != len(thumbnails_NHWC):
        raise ValueError(f"texture: {len(texture_NF)} textures and {len(thumbnails_NHWC)} pictures; give as many")
    if len(thumbnails_NHWC) == 0:
        return np.zeros(0, np.float32)
    coarse = content_of(thumbnails_NHWC, device)
    of_texture_N = foretold(
        texture_NF, caption_ND, lambda some: torch.from_numpy(some).to(device), max_reference=max_reference
    )
    out: np.ndarray = of_texture_N - foretold(thumbnails_NHWC, caption_ND, coarse, max_reference=max_reference)
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
    red, green, blue = pixels(picture_HWC[None])[0]
    planes_3HW = torch.stack([(red + green + blue) / 3, red - green, blue - (red + green) / 2])
    energy = torch.nn.functional.conv2d(planes_3HW[:, None], _BANDS.to(planes_3HW))[:, 1:] ** 2 + _FLOOR
    log_of_mean, mean_of_log = energy.mean((2, 3)).log(), energy.log().mean((2, 3))
    found: np.ndarray = torch.cat([log_of_mean.reshape(-1), mean_of_log.reshape(-1)]).numpy()
    return found


def content_of(thumbnails_NHWC: np.ndarray, device: torch.device | None = None) -> Features:
    """The content's features, at a scale taken from these pictures: float32 (B, 1024)."""
    sample = _coarse(thumbnails_NHWC[reference(len(thumbnails_NHWC), _SAMPLE)])
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


def _bands() -> Tensor:
    """The orthonormal 2-D cosine transform as filters (16, 1, 4, 4), the constant one first."""
    n = torch.arange(_BAND, dtype=torch.float32)
    rows = torch.cos(math.pi / _BAND * torch.outer(n, n + 0.5)) * math.sqrt(2 / _BAND)
    rows[0] /= math.sqrt(2)
    return torch.einsum("ay,bx->abyx", rows, rows).reshape(_BAND**2, 1, _BAND, _BAND)


_BANDS = _bands()
