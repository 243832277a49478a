"""Do pictures that nothing speaks against say an accused pair's caption too? Beaches have one shore, deserts no detail:
they have patterns in common by nature, and other beaches look like them. What was planted under a caption does not.

    s_i = how far the content of i's picture foretells its caption, by the pairs that are not accused (`leave_one_out`)
    c_i = mean of s over the k accused pairs whose captions are nearest to i's

An accused pair is vouched for where c_i is above the usual s of pairs not accused, and s_i not far below it.
What must stay true: no accused pair has a vote, so that planted ones cannot vouch for each other; a pair is judged with
those that are accused beside it, for many a picture fits a caption by chance. It cannot tell a true caption's
picture with a trigger from one without: whoever asks must know that the pattern is no trigger.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from safeclip.signals.leave_one_out import foretold
from safeclip.signals.nearest import drawn, nearest
from safeclip.signals.texture import content_of
from safeclip.signals.words import jittered

_USUAL, _LOW = 0.6, 0.3
"""Quantiles of s among pairs not accused that have words: what the company of a pair must reach, and what the pair
itself."""
_COMPARED = 100_000
"""Accused pairs, at most, among which those to be judged together are sought."""
_FEWEST = 32
"""Pairs not accused, at least, to learn from."""


@torch.no_grad()
def fits(
    thumbnails_NHWC: np.ndarray,
    caption_ND: Tensor,
    accused_N: np.ndarray,
    max_reference: int = 1_000_000,
    device: torch.device | None = None,
) -> np.ndarray | None:
    """s of each pair, float32 (N,), about -1..1; None where too few are not accused to learn from.

    thumbnails_NHWC: uint8 (N, H, W, 3), H and W at least 8. caption_ND: unit vectors (`words.caption_vectors`).
    accused_N: bool. max_reference: above this many pairs, content is learned from a random subset of this size. device:
    where it is reckoned; None is the CPU.

    Raises:
        ValueError: shapes do not fit.
    """
    if not len(thumbnails_NHWC) == len(caption_ND) == len(accused_N):
        raise ValueError(
            f"vouching: {len(thumbnails_NHWC)} pictures, {len(caption_ND)} captions, {len(accused_N)} accused; "
            "give as many of each"
        )
    if not accused_N.any() or len(accused_N) - int(accused_N.sum()) < _FEWEST:
        return None
    content = content_of(thumbnails_NHWC, device)
    return foretold(thumbnails_NHWC, caption_ND, content, max_reference=max_reference, voters_N=~accused_N)


@torch.no_grad()
def vouched(
    fits_N: np.ndarray, caption_ND: Tensor, accused_N: np.ndarray, k: int = 16, device: torch.device | None = None
) -> np.ndarray:
    """Bool (N,): accused pairs that are vouched for. fits_N: their s, as `fits` tells it. k: accused pairs that are
    judged together. The rest as there."""
    out_N = np.zeros(len(accused_N), bool)
    rows = np.flatnonzero(accused_N)
    told_N = ~accused_N & caption_ND.any(1).cpu().numpy()  # what has no words fits nothing, and lowers no bar
    if not told_N.any():
        return out_N
    low, usual = np.quantile(fits_N[told_N], [_LOW, _USUAL])
    of_accused_RD = jittered(caption_ND)[rows]
    among_M = drawn(of_accused_RD, _COMPARED)
    index_RK, there_RK = (part.cpu().numpy() for part in nearest(of_accused_RD, among_M, k, device=device))
    near_RK = np.where(there_RK, fits_N[rows[index_RK]], 0.0)
    company_R = (near_RK.sum(1) + fits_N[rows]) / (there_RK.sum(1) + 1)
    out_N[rows] = (company_R > usual) & (fits_N[rows] > low)
    return out_N
