"""Augmented views of pictures: crops one by one on the CPU, colours in batch on the device.

A colour view is one affine map of RGB, then blur. With w the luma weights, 1 the grey axis, m the picture's mean luma,

    x' = clamp(c b [1 w' + s (cos h (I - 1 w') + sin h Q)] x + (1 - c) b m 1)

for brightness b, contrast c, saturation s (0 makes it grey) and hue turned by h radians in the YIQ plane.

What must stay true: a view depends on its picture, its draws and the config alone, never on the rest of the batch.
Departures from torchvision, which the official code uses: brightness, contrast, saturation, hue always in this order;
one clamp at the end instead of one after each; hue turned in YIQ, which keeps luma, instead of HSV; a blur for a share
of the views (`blur_share`) with sigma scaled to the picture's side, its kernel cut at 3 sigma_max.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from safeclip.config import ViewsConfig

CROP_DRAWS = 4
"""Draws that a crop reads: area, ratio, left, top."""
COLOUR_DRAWS = 9
"""Draws of a colour view: flip, jitter or not, brightness, contrast, saturation, hue, grey, blur or not, sigma."""


def random_crop(image: np.ndarray, size: int, scale: tuple[float, float], draws: np.ndarray) -> np.ndarray:
    """A random resized crop: area uniform in `scale`, log ratio uniform from ln 3/4 to ln 4/3, bilinear, antialiased.

    torchvision draws (area, ratio) again until the crop fits, ten times at most; here the ratio is drawn among those
    that fit. Where none does (a long thin picture), the crop spans the short side at the nearest ratio.

    image: uint8 (H, W, 3). size: side of the view in px. scale: share of the picture's area.
    draws: (CROP_DRAWS,) in [0, 1). Returns uint8 (size, size, 3).
    """
    left, top, width, height = _crop_box(image.shape[1], image.shape[0], scale, draws)
    crop_HWC = torch.from_numpy(image[top : top + height, left : left + width].copy())
    # within a level of Pillow's resize, at two to five times its speed
    view_1CHW = F.interpolate(crop_HWC.permute(2, 0, 1)[None], (size, size), mode="bilinear", antialias=True)
    view: np.ndarray = view_1CHW[0].permute(1, 2, 0).numpy()
    return view


def clean_crop(image: np.ndarray, size: int) -> np.ndarray:
    """The centre at its short side's scale: CLIP's own preprocessing (bicubic resize of the short side, centre crop).

    image: uint8 (H, W, 3). Returns uint8 (size, size, 3), which may be `image` itself.
    """
    height, width = image.shape[:2]
    if height == width == size:
        return image
    # Resizing a box equals resizing the whole and cropping, and a 50,000 x 1 picture never becomes 11,200,000 x 224.
    short = min(width, height)
    wide, high = int(size * width / short), int(size * height / short)
    left, top = round((wide - size) / 2.0) * width / wide, round((high - size) / 2.0) * height / high
    box = (left, top, min(left + size * width / wide, width), min(top + size * height / high, height))
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC, box=box))


@torch.no_grad()
def colour(
    images: Tensor, draws: Tensor | None, views: ViewsConfig, mean: Sequence[float], std: Sequence[float]
) -> Tensor:
    """Flip, colour jitter, grey, blur and normalisation of a batch, on its device, without a host sync.

    images: uint8 (B, H, W, 3). draws: float32 (B, COLOUR_DRAWS) in [0, 1]; None only normalises.
    mean, std: of each channel, for levels in 0..1.
    Returns float32 (B, 3, H, W) in channels_last.
    """
    mean_31, std_31 = (_constant(tuple(values), images.device)[:, None] for values in (mean, std))
    if draws is not None:
        draws = draws.to(images.device, torch.float32)
    view_BHWC = torch.empty(images.shape, dtype=torch.float32, device=images.device)
    part = max(1, len(images)) if images.device.type != "cpu" else max(1, _CPU_FLOATS // math.prod(images.shape[1:]))
    with torch.autocast(images.device.type, enabled=False):
        for start in range(0, len(images), part):
            here = slice(start, start + part)
            _paint(images[here], None if draws is None else draws[here], views, mean_31, std_31, view_BHWC[here])
    return view_BHWC.permute(0, 3, 1, 2)


_CPU_FLOATS = 512 * 1024
"""Values that the CPU works on at a time, so that they stay in its cache."""
_LUMA = (0.299, 0.587, 0.114)
_YIQ = np.array([_LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)])
# Turning hue by h: what goes to the grey axis, plus cos h of the rest, plus sin h of the rest turned a quarter.
_HUE_PARTS = tuple(
    tuple(map(tuple, (np.linalg.inv(_YIQ) @ np.array(part) @ _YIQ).tolist()))
    for part in (np.diag((1, 0, 0)), np.diag((0, 1, 1)), ((0, 0, 0), (0, 0, 1), (0, -1, 0)))
)
_RATIO = (math.log(3 / 4), math.log(4 / 3))


def _crop_box(width: int, height: int, scale: tuple[float, float], draws: np.ndarray) -> tuple[int, int, int, int]:
    """left, top, width, height in px."""
    area_draw, ratio_draw, left_draw, top_draw = draws.tolist()
    area = width * height * (scale[0] + (scale[1] - scale[0]) * area_draw)
    # sqrt(area * ratio) <= width and sqrt(area / ratio) <= height
    low, high = max(_RATIO[0], math.log(area / height**2)), min(_RATIO[1], math.log(width**2 / area))
    if low <= high:
        ratio = math.exp(low + (high - low) * ratio_draw)
    else:
        ratio = math.exp(_RATIO[1] if width > height else _RATIO[0])
        area = min(area, width**2 / ratio, height**2 * ratio)
    w = min(max(round(math.sqrt(area * ratio)), 1), width)
    h = min(max(round(math.sqrt(area / ratio)), 1), height)
    return min(int(left_draw * (width - w + 1)), width - w), min(int(top_draw * (height - h + 1)), height - h), w, h


def _paint(
    images: Tensor, draws: Tensor | None, views: ViewsConfig, mean_31: Tensor, std_31: Tensor, out_BHWC: Tensor
) -> None:
    """One part of the batch, from uint8 (B, H, W, 3) into `out_BHWC`."""
    batch, height, width, _ = images.shape
    levels_BCN = images.permute(0, 3, 1, 2).contiguous().float().view(batch, 3, height * width)
    levels_BCN = levels_BCN.div_(255) if draws is None else _jittered(levels_BCN, draws, views)
    view_BCHW = levels_BCN.sub_(mean_31).div_(std_31).view(batch, 3, height, width)
    if draws is None:
        out_BHWC.copy_(view_BCHW.permute(0, 2, 3, 1))
    elif views.blur_share == 0:
        flip_B111 = (draws[:, 0] < views.flip)[:, None, None, None]
        out_BHWC.copy_(torch.where(flip_B111, view_BCHW.flip(3), view_BCHW).permute(0, 2, 3, 1))
    else:
        _blur_and_flip(view_BCHW, draws, views, out_BHWC)


def _jittered(levels_BCN: Tensor, draws: Tensor, views: ViewsConfig) -> Tensor:
    """The affine map, from levels in 0..255 to clamped levels in 0..1."""
    device = draws.device
    on_B = (draws[:, 1] < views.jitter_share).float()
    swing_B4 = on_B[:, None] * _constant(views.jitter, device) * (2 * draws[:, 2:6] - 1)
    brightness, contrast, saturation = (1 + swing_B4[:, :3]).unbind(1)
    saturation = saturation * (draws[:, 6] >= views.grey_share)
    angle = 2 * math.pi * swing_B4[:, 3]

    grey_33, chroma_33, turn_33 = _constant(_HUE_PARTS, device)
    along, across = (saturation * angle.cos())[:, None, None], (saturation * angle.sin())[:, None, None]
    map_B33 = (contrast * brightness / 255)[:, None, None] * (grey_33 + along * chroma_33 + across * turn_33)
    mean_luma_B = (levels_BCN.mean(2) * _constant(_LUMA, device)).sum(1)
    shift_B = (1 - contrast) * brightness * mean_luma_B / 255
    return torch.bmm(map_B33, levels_BCN).add_(shift_B[:, None, None]).clamp_(0, 1)


def _blur_and_flip(view_BCHW: Tensor, draws: Tensor, views: ViewsConfig, out_BHWC: Tensor) -> None:
    """Gaussian blur with reflected edges, and the flip, as a product with one matrix per view from each side.

    The kernel's width comes from the config, so shapes never depend on data.
    """
    batch, _, height, width = view_BCHW.shape
    low, high = views.blur_sigma
    sigma_B = (low + (high - low) * draws[:, 8]) * (draws[:, 7] < views.blur_share) * (height / 224)
    reach = math.ceil(3 * high * height / 224)
    rows_BWW, columns_BHH = _blur_matrix(width, reach, sigma_B), _blur_matrix(height, reach, sigma_B)
    rows_BWW = torch.where((draws[:, 0] < views.flip)[:, None, None], rows_BWW.flip(1), rows_BWW)
    across_BCHW = torch.bmm(view_BCHW.view(batch, 3 * height, width), rows_BWW.transpose(1, 2)).view(view_BCHW.shape)
    across_BHN = across_BCHW.permute(0, 2, 3, 1).reshape(batch, height, width * 3)
    torch.bmm(columns_BHH, across_BHN, out=out_BHWC.view(batch, height, width * 3))


def _blur_matrix(side: int, reach: int, sigma_B: Tensor) -> Tensor:
    """Matrix (B, side, side) that blurs a line, its ends reflected."""
    reach = min(reach, side - 1)
    offsets = torch.arange(-reach, reach + 1, device=sigma_B.device)
    exponent = -0.5 * (offsets / sigma_B.clamp_min(1e-3)[:, None]) ** 2
    kernel_BT = exponent.exp() * (exponent > -15)  # subnormal weights would make the product three times slower
    kernel_BT = F.pad(kernel_BT / kernel_BT.sum(1, keepdim=True), (0, 1))  # the last: of what lies out of reach
    row, column = (torch.arange(side, device=sigma_B.device).view(shape) for shape in ((-1, 1), (1, -1)))

    def weights(offset: Tensor) -> Tensor:
        return kernel_BT[:, torch.where(offset.abs() <= reach, offset + reach, 2 * reach + 1)]

    matrix_BSS = weights(column - row)
    if reach:
        near, far, end = slice(reach), slice(-reach, None), side - 1
        matrix_BSS[:, near, 1 : reach + 1] += weights(-column[:, 1 : reach + 1] - row[near])
        matrix_BSS[:, far, -reach - 1 : -1] += weights(2 * end - column[:, -reach - 1 : -1] - row[far])
    return matrix_BSS


@lru_cache(maxsize=64)
def _constant(values: tuple[Any, ...], device: torch.device) -> Tensor:
    """Copied to the device once: a copy a step would be a host sync a step."""
    return torch.tensor(values, dtype=torch.float32, device=device)
