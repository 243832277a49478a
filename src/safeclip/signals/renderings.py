"""Is this picture one of a small crowd that lies apart from all others? So do many renderings of one picture: cropped,
turned, flipped, lighter or darker, each too different to count as a copy, all with the same palette.

    p_i = the picture's colours, each channel less its mean, all over their common deviation; as a histogram of 6^3 soft
          bins, square roots taken, at unit length
    s_i = log of (1 - <p_i, p_m>) / (1 - <p_i, p_k>)     p_k, p_m: the k-th and m-th nearest

Whatever changes light, contrast or white balance is taken out, and a histogram does not know where its pixels lie. The
ratio asks whether the distances jump between the k-th and the m-th neighbour, so that classes of many alike pictures,
among which they grow evenly, do not stand out.
What must stay true: it needs no model and no captions. It sees crowds of more than k and fewer than m pictures.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from safeclip.signals.nearest import most_alike
from safeclip.signals.thumbnails import pixels

_BINS, _REACH = 6, 2.2
"""Bins of a channel, evenly from -_REACH to _REACH deviations; what lies beyond counts to the last."""
_SAME = 1e-4
"""Distance below which palettes are one."""
_FLAT = 1e-3
"""Deviation, of levels in 0..1, below which a picture has one colour, and says nothing."""


@torch.no_grad()
def crowded(
    thumbnails_NHWC: np.ndarray,
    k: int = 6,
    m: int = 24,
    chunk: int = 1024,
    max_reference: int = 200_000,
    device: torch.device | None = None,
) -> np.ndarray:
    """Log of the m-th over the k-th distance of palettes, float32 (N,), 0 or more. High is suspicious.

    thumbnails_NHWC: uint8 (N, H, W, 3). chunk: pictures compared at once. max_reference: above this many pictures, the
    nearest are sought among a random subset of this size, which a crowd has to be found in. device: where they are
    compared; None is the CPU. With fewer than m others, and for pictures of one colour, 0.

    Raises:
        ValueError: not uint8 (N, H, W, 3); not 1 <= k < m; chunk or max_reference below 1.
    """
    if not 1 <= k < m or min(chunk, max_reference) < 1:
        raise ValueError(f"renderings: k = {k}, m = {m}, chunk = {chunk}, max_reference = {max_reference}")
    pixels(thumbnails_NHWC[:1])
    count = len(thumbnails_NHWC)
    out_N = np.zeros(count, np.float32)
    if min(count, max_reference) < m + 1:
        return out_N
    palettes = lambda rows: palette(thumbnails_NHWC[rows], device)  # noqa: E731
    for rows, alike_BM, _ in most_alike(palettes, thumbnails_NHWC, m, chunk, max_reference):
        apart_BM = (1 - alike_BM).clamp(min=_SAME)  # pictures of one colour are as far from each
        out_N[rows] = (apart_BM[:, m - 1] / apart_BM[:, k - 1]).log().cpu().numpy()
    return out_N


def palette(thumbnails_BHWC: np.ndarray, device: torch.device | None = None) -> Tensor:
    """Square roots of the colours' shares, float32 (B, 216), unit length; zeros for pictures of one colour."""
    colours_B3P = pixels(thumbnails_BHWC, device).flatten(2)
    colours_B3P = colours_B3P - colours_B3P.mean(2, keepdim=True)
    deviation_B = colours_B3P.flatten(1).std(1)
    place_B3P = colours_B3P / deviation_B.clamp(min=_FLAT)[:, None, None]
    place_B3P = (place_B3P.clamp(-_REACH, _REACH) + _REACH) * ((_BINS - 1) / (2 * _REACH))
    bins = torch.arange(_BINS, device=place_B3P.device)
    red, green, blue = (1 - (place_B3P[..., None] - bins).abs()).clamp(min=0).unbind(1)  # (B, P, bins) each
    shares_BD = torch.einsum("bpr,bpg,bpc->brgc", red, green, blue).flatten(1) / red.shape[1]
    return torch.nn.functional.normalize(shares_BD.sqrt(), dim=1).masked_fill(deviation_B[:, None] < _FLAT, 0.0)
