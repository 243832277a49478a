"""Do other pictures share this one's fine pattern, place for place? A trigger at a fixed place is such a pattern,
whatever picture lies under it: a patch in the corner, an image or a wave mixed in, a written word, a watermark.

    w_i = the picture in 32 x 32, less the mean one, each frequency over its median amplitude in the data; unit length
    s_i = mean of the k greatest <w_i, w_j>

Natural pictures agree mostly in low frequencies, where nearly all their power lies (Field 1987). Once every frequency
weighs alike, two of them have about as much in common as noise, and what was laid over both stands out.
What must stay true: it needs no model and no captions, so a group that is planted together cannot vouch for itself;
flat pictures, which have no pattern, score 0. It does not see triggers that move about or are drawn anew each time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from safeclip.signals.nearest import reference

SIDE = 32
"""Side of the pictures that are compared, in px."""
_SPECTRUM = 4096
"""Pictures, at most, that the usual amplitudes are taken from."""
_FLAT = 1e-3
"""Standard deviation, of levels in 0..1, below which a picture is flat."""


def thumbnails(images: Sequence[np.ndarray]) -> np.ndarray:
    """Each picture averaged down to SIDE x SIDE, uint8 (N, SIDE, SIDE, 3). images: uint8 RGB (H, W, 3) of any size."""
    out = np.empty((len(images), SIDE, SIDE, 3), np.uint8)
    for i, image in enumerate(images):
        out[i] = np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX))
    return out


@torch.no_grad()
def shared_pattern(
    thumbnails_NHWC: np.ndarray, k: int = 8, chunk: int = 1024, max_reference: int = 50_000
) -> np.ndarray:
    """Mean correlation of each picture's fine pattern with the k most alike, float32 (N,), -1..1. High is suspicious.

    thumbnails_NHWC: uint8 (N, H, W, 3). chunk: pictures compared at once. max_reference: above this many pictures,
    those alike are sought among a random subset of this size, the same in every call. Where fewer than k others exist,
    the mean is over those; a picture that is alone scores 0.

    Raises:
        ValueError: not uint8 (N, H, W, 3); k, chunk or max_reference below 1.
    """
    if thumbnails_NHWC.ndim != 4 or thumbnails_NHWC.dtype != np.uint8 or thumbnails_NHWC.shape[3] != 3:
        raise ValueError(f"patterns: {thumbnails_NHWC.dtype} {thumbnails_NHWC.shape}; give uint8 (N, H, W, 3)")
    if min(k, chunk, max_reference) < 1:
        raise ValueError(f"patterns: k = {k}, chunk = {chunk}, max_reference = {max_reference}; give 1 or more")
    count = len(thumbnails_NHWC)
    out_N = np.zeros(count, np.float32)
    if count < 2:
        return out_N
    chosen_M = reference(count, max_reference)
    mean, amplitude = _spectrum(thumbnails_NHWC[reference(count, min(max_reference, _SPECTRUM))])
    among_MD = torch.cat([
        _whitened(thumbnails_NHWC[chosen_M[start : start + chunk]], mean, amplitude)
        for start in range(0, len(chosen_M), chunk)
    ])  # fmt: skip
    slot_N = np.full(count, -1)
    slot_N[chosen_M] = np.arange(len(chosen_M))
    for start in range(0, count, chunk):
        rows = slice(start, start + chunk)
        alike_BM = _whitened(thumbnails_NHWC[rows], mean, amplitude) @ among_MD.T
        own = torch.from_numpy(np.flatnonzero(slot_N[rows] >= 0))
        alike_BM[own, torch.from_numpy(slot_N[rows])[own]] = -torch.inf
        most_BK = alike_BM.topk(min(k, len(chosen_M)), dim=1).values
        there_BK = most_BK > -torch.inf
        total_B = most_BK.where(there_BK, torch.zeros(())).sum(1)
        out_N[rows] = (total_B / there_BK.sum(1).clamp(min=1)).numpy()
    return out_N


def outlying(score_N: np.ndarray, deviations: float) -> np.ndarray:
    """Bool (N,): scores more than so many median absolute deviations above the median.

    >>> outlying(np.array([0.10, 0.11, 0.12, 0.13, 0.90]), 10)
    array([False, False, False, False,  True])
    """
    middle = np.median(score_N)
    above: np.ndarray = score_N > middle + deviations * np.median(np.abs(score_N - middle))
    return above


def _spectrum(thumbnails_NHWC: np.ndarray) -> tuple[Tensor, Tensor]:
    """The mean picture (3, H, W), and the median amplitude (H, W // 2 + 1) of what differs from it: a mean would be
    raised by the very pattern that many planted pictures share, and hide it."""
    pixels = _pixels(thumbnails_NHWC)
    mean = pixels.mean(0)
    amplitude = torch.fft.rfft2(pixels - mean).abs()
    return mean, amplitude.flatten(0, 1).median(0).values


def _whitened(thumbnails_BHWC: np.ndarray, mean: Tensor, amplitude: Tensor) -> Tensor:
    """Fine patterns (B, 3 H W) of unit length; zeros for flat pictures."""
    pixels = _pixels(thumbnails_BHWC)
    flat = pixels.flatten(2).std(2).amax(1) < _FLAT
    least = float(amplitude.max()) * 1e-4
    even = torch.fft.irfft2(torch.fft.rfft2(pixels - mean) / amplitude.clamp(min=least), s=mean.shape[-2:])
    return torch.nn.functional.normalize(even.flatten(1), dim=1).masked_fill(flat[:, None], 0.0)


def _pixels(thumbnails_BHWC: np.ndarray) -> Tensor:
    return torch.from_numpy(thumbnails_BHWC).permute(0, 3, 1, 2).float() / 255
