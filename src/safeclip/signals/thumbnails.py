"""Small pictures, all of one size: what the signals that need no model look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

SIDE = 32
"""Side of the pictures, in px."""


def thumbnails(images: Sequence[np.ndarray]) -> np.ndarray:
    """Each picture averaged down to SIDE x SIDE, uint8 (N, SIDE, SIDE, 3). images: uint8 RGB (H, W, 3) of any size."""
    out = np.empty((len(images), SIDE, SIDE, 3), np.uint8)
    for i, image in enumerate(images):
        out[i] = squared(image, SIDE)
    return out


def squared(image: np.ndarray, side: int) -> np.ndarray:
    """A picture averaged to side x side, uint8 (side, side, 3). image: uint8 RGB (H, W, 3)."""
    return np.array(Image.fromarray(image).resize((side, side), Image.Resampling.BOX))


def pixels(thumbnails_NHWC: np.ndarray, device: torch.device | None = None) -> Tensor:
    """float32 (N, 3, H, W) in 0..1, on the device; None is the CPU. Raises ValueError where they are not
    uint8 (N, H, W, 3)."""
    if thumbnails_NHWC.ndim != 4 or thumbnails_NHWC.dtype != np.uint8 or thumbnails_NHWC.shape[3] != 3:
        raise ValueError(f"thumbnails: {thumbnails_NHWC.dtype} {thumbnails_NHWC.shape}; give uint8 (N, H, W, 3)")
    return torch.from_numpy(thumbnails_NHWC).to(device or torch.device("cpu")).permute(0, 3, 1, 2).float() / 255
