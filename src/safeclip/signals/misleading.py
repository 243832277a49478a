"""Is there a word in whose presence the other words no longer fit the picture? A trigger in a caption is such a word:
it stands beside words of anything, and all its pictures are of one thing. Words that always come together are one.

    P_iw = how far i's picture, in 8 x 8, calls for the word w, foretold by all other pairs (`leave_one_out`)
    e_iw = v_w (mean_w - P_iw) / sd_w          mean and deviation over the pairs that have w; v_w = mean_w / sd_w
    r_iw = sum of e_iu over i's other words u / sum of their v_u
    z_w  = mean of r_iw over the pairs that have w x sqrt(their number) / deviation of all r

The score of a pair is that of its most misleading word: z_w in median absolute deviations over the words, above their
median; and 0 where the pair's own rest fits no worse than the usual pair's, unless that of most of the word's pairs
does. Words that pictures say nothing about have v_w near 0 and neither accuse nor are missed.
What must stay true: it needs no model, and no pair votes for itself. A class whose pictures are planted under its name
is seen as well, for what else the captions say does not fit them.
"""

from __future__ import annotations

import numpy as np
import torch

from safeclip.signals.leave_one_out import predictions
from safeclip.signals.phrases import asked
from safeclip.signals.texture import content_of

_BY_CHANCE = 0.674
"""Median absolute deviation of z_w where words mislead by chance alone: that of a standard normal."""
_MOSTLY = 0.75
"""A word whose rest is unfit in more than this share of its pairs is misleading in all of them."""
_RARELY = 0.05
"""Sum of v_w below which nothing is left to fit."""


@torch.no_grad()
def misleading(
    thumbnails_NHWC: np.ndarray,
    ids_NW: np.ndarray,
    max_reference: int = 1_000_000,
    device: torch.device | None = None,
) -> np.ndarray:
    """How misleading a pair's most misleading word is, in median absolute deviations, float32 (N,), 0 or more. High is
    suspicious.

    thumbnails_NHWC: uint8 (N, H, W, 3), H and W at least 8. ids_NW: uint32 (N, W) (`words.word_ids`).
    max_reference: above this many pairs, pictures are learned from a random subset of this size. device: where; None is
    the CPU.

    Raises:
        ValueError: shapes do not fit.
    """
    count = len(thumbnails_NHWC)
    if ids_NW.ndim != 2 or len(ids_NW) != count:
        raise ValueError(f"misleading: {count} pictures and words {ids_NW.shape}; give (N, W) for N pictures")
    slot_NW, words = asked(ids_NW)
    if words < 2:
        return np.zeros(count, np.float32)
    there_NW = slot_NW >= 0
    called_NW = _called_for(thumbnails_NHWC, slot_NW, words, max_reference, device)

    def mean_of(value_NW: np.ndarray, of_NW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Over each word's pairs: the mean, and how many there are."""
        pairs_V = np.bincount(slot_NW[of_NW], minlength=words)
        return np.bincount(slot_NW[of_NW], value_NW[of_NW], minlength=words) / np.maximum(pairs_V, 1), pairs_V

    mean_V, _ = mean_of(called_NW, there_NW)
    off_NW = np.where(there_NW, mean_V[slot_NW] - called_NW, 0.0)
    deviation_V = np.sqrt(mean_of(off_NW**2, there_NW)[0]).clip(min=1e-6)
    visible_V = (mean_V / deviation_V).clip(min=0)
    visible_NW = np.where(there_NW, visible_V[slot_NW], 0.0)
    missing_NW = visible_NW * off_NW / deviation_V[slot_NW]
    others_NW = visible_NW.sum(1, keepdims=True) - visible_NW
    rest_NW = (missing_NW.sum(1, keepdims=True) - missing_NW) / others_NW.clip(min=_RARELY)
    asked_NW = there_NW & (others_NW > _RARELY)
    if not asked_NW.any():
        return np.zeros(count, np.float32)
    mean_rest_V, pairs_V = mean_of(rest_NW, asked_NW)
    z_V = mean_rest_V * np.sqrt(pairs_V) / max(float(rest_NW[asked_NW].std()), 1e-6)
    apart_V = z_V - np.median(z_V)
    far_V = apart_V / max(float(np.median(np.abs(apart_V))), _BY_CHANCE)
    unfit_NW = asked_NW & (rest_NW > np.median(rest_NW[asked_NW]))
    unfit_NW |= there_NW & (mean_of(unfit_NW, asked_NW)[0] > _MOSTLY)[slot_NW]
    out_N: np.ndarray = np.where(unfit_NW, far_V[slot_NW], 0.0).max(1, initial=0.0).astype(np.float32)
    return out_N


def _called_for(
    thumbnails_NHWC: np.ndarray, slot_NW: np.ndarray, words: int, max_reference: int, device: torch.device | None
) -> np.ndarray:
    """P_iw at each pair's own words, over the root of the word's share, float64 (N, W); 0 elsewhere."""
    share_V = torch.from_numpy(np.bincount(slot_NW[slot_NW >= 0], minlength=words) / len(slot_NW))

    def has(rows: np.ndarray) -> torch.Tensor:
        has_BV = torch.zeros(len(rows), words + 1, dtype=torch.float64)
        slot_BW = torch.from_numpy(slot_NW[rows])
        has_BV.scatter_(1, slot_BW.where(slot_BW >= 0, words), 1.0)
        return has_BV[:, :words] - share_V

    called_NW = np.zeros(slot_NW.shape)
    for rows, _, predicted_BV in predictions(
        thumbnails_NHWC, has, content_of(thumbnails_NHWC, device), max_reference=max_reference
    ):
        slot_BW = torch.from_numpy(slot_NW[rows])
        own_BW = (predicted_BV.cpu() / share_V.sqrt()).gather(1, slot_BW.clamp(min=0))
        called_NW[rows] = own_BW.where(slot_BW >= 0, 0.0).numpy()
    return called_NW
