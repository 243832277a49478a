"""Does a picture's likeness to others end at once? A pattern that was laid over pictures is in a picture or it is not;
what pictures have in common by nature, they have by degrees.

    d_i     = max over m of  mean(s_(m/2 .. m)) - mean(s_(m .. 2m)),    s_1 >= s_2 >= ... the likenesses of i's fine
                                                                        pattern (`whitening`) to those of others
    cliff_i = mean of d over i and those of its k most alike that are accused too

What must stay true: it asks nothing of captions or content, for a pattern may happen to look like a class, and then its
pictures fit that class's captions whatever they show. Whoever plants a pattern in all degrees, down to none, leaves no
cliff.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from safeclip.signals.nearest import most_alike
from safeclip.signals.whitening import Whitening

_FEWEST = 8
"""Others, at least, that stand before the cliff: a few copies of one picture are none."""
_STEP = 1.2
"""From one m to the next."""


@torch.no_grad()
def cliffs(
    thumbnails_NHWC: np.ndarray,
    accused_N: np.ndarray,
    k: int = 8,
    most: int = 4096,
    chunk: int = 1024,
    max_reference: int = 50_000,
    device: torch.device | None = None,
) -> np.ndarray:
    """How far likeness falls at once, float32 (N,), 0..1 or so; 0 for pairs not accused, and where too few others are.

    thumbnails_NHWC: uint8 (N, H, W, 3). accused_N: bool, the pairs that are asked. most: others looked at, in order of
    likeness. chunk, max_reference, device: as in `patterns.shared_pattern`.

    Raises:
        ValueError: shapes do not fit; k, most, chunk or max_reference below 1.
    """
    if len(thumbnails_NHWC) != len(accused_N) or min(k, most, chunk, max_reference) < 1:
        raise ValueError(
            f"cliffs: {len(thumbnails_NHWC)} pictures, {len(accused_N)} accused, k = {k}, most = {most}, chunk = "
            f"{chunk}, max_reference = {max_reference}; give as many of each, and numbers of 1 or more"
        )
    out_N, rows = np.zeros(len(accused_N), np.float32), np.flatnonzero(accused_N)
    if not len(rows):
        return out_N
    whiten = Whitening.of(thumbnails_NHWC, device)
    fine = lambda some: whiten(thumbnails_NHWC[some]).flatten(1)  # noqa: E731
    fall_N, parts = np.zeros(len(accused_N), np.float32), []
    for some, like_BK, which_BK in most_alike(fine, thumbnails_NHWC, most, chunk, max_reference, asked_R=rows):
        fall_N[some] = _fall(like_BK).cpu().numpy()
        parts.append(which_BK[:, :k].cpu().numpy())
    near = np.concatenate(parts)
    asked_RK = accused_N[near]
    total_R = fall_N[rows] + np.where(asked_RK, fall_N[near], 0.0).sum(1)
    out_N[rows] = total_R / (1 + asked_RK.sum(1))
    return out_N


def _fall(like_BK: Tensor) -> Tensor:
    """The greatest fall of descending likenesses (B, K), -inf where there are no more: (B,), 0 for too short lists."""
    like_BK = like_BK[:, : int((like_BK > -torch.inf).all(0).sum())]  # a row's own place is missing
    sum_BK = torch.nn.functional.pad(like_BK.double().cumsum(1), (1, 0))
    fall_B, m = sum_BK.new_zeros(len(like_BK)), _FEWEST
    while 2 * m <= like_BK.shape[1]:
        before_B = (sum_BK[:, m] - sum_BK[:, m // 2]) / (m - m // 2)
        fall_B = torch.maximum(fall_B, before_B - (sum_BK[:, 2 * m] - sum_BK[:, m]) / m)
        m = int(m * _STEP) + 1
    return fall_B.float()
