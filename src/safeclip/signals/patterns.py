"""Do other pictures share this one's fine pattern, place for place? A trigger at a fixed place is such a pattern,
whatever picture lies under it: a patch in the corner, an image or a wave mixed in, a written word, a watermark.

    s_i = mean of the k greatest <w_i, w_j>,   w the fine patterns (`whitening`)

What must stay true: it needs no model and no captions, so a group that is planted together cannot vouch for itself;
flat pictures, which have no pattern, score 0. It does not see triggers that move about (`shifts` does) or are drawn
anew each time (`texture`).
"""

from __future__ import annotations

import numpy as np
import torch

from safeclip.signals.nearest import most_alike
from safeclip.signals.whitening import Whitening


@torch.no_grad()
def shared_pattern(
    thumbnails_NHWC: np.ndarray,
    k: int = 8,
    chunk: int = 1024,
    max_reference: int = 50_000,
    device: torch.device | None = None,
) -> np.ndarray:
    """Mean correlation of each picture's fine pattern with the k most alike, float32 (N,), -1..1. High is suspicious.

    thumbnails_NHWC: uint8 (N, H, W, 3). chunk: pictures compared at once. max_reference: above this many pictures,
    those alike are sought among a random subset of this size. device: where they are compared; None is the CPU.
    Where fewer than k others exist, the mean is over those; a picture that is alone scores 0.

    Raises:
        ValueError: not uint8 (N, H, W, 3); k, chunk or max_reference below 1.
    """
    if min(k, chunk, max_reference) < 1:
        raise ValueError(f"patterns: k = {k}, chunk = {chunk}, max_reference = {max_reference}; give 1 or more")
    whiten = Whitening.of(thumbnails_NHWC, device)
    count = len(thumbnails_NHWC)
    out_N = np.zeros(count, np.float32)
    if count < 2:
        return out_N
    fine = lambda rows: whiten(thumbnails_NHWC[rows]).flatten(1)  # noqa: E731
    for rows, most_BK, _ in most_alike(fine, thumbnails_NHWC, k, chunk, max_reference):
        there_BK = most_BK > -torch.inf
        total_B = most_BK.masked_fill(~there_BK, 0.0).sum(1)
        out_N[rows] = (total_B / there_BK.sum(1).clamp(min=1)).cpu().numpy()
    return out_N
