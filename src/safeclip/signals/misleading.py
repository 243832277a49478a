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
from scipy.sparse import csr_array

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

    thumbnails_NHWC: uint8 (N, H, W, 3), H and W at least 8. ids_NW: uint64 (N, W) (`words.word_ids`).
    max_reference: above this many pairs, pictures are learned from a random subset of this size. device: where; None is
    the CPU.

    Raises:
        ValueError: shapes do not fit.
    """
    count = len(thumbnails_NHWC)
    if ids_NW.ndim != 2 or len(ids_NW) != count:
        raise ValueError(f"misleading: {count} pictures and words {ids_NW.shape}; give (N, W) for N pictures")
    row_E, word_E, words = asked(ids_NW)
    if words < 2:
        return np.zeros(count, np.float32)
    called_E = _called_for(thumbnails_NHWC, row_E, word_E, words, max_reference, device)

    def mean_of(value_E: np.ndarray, of_E: np.ndarray) -> np.ndarray:
        """Over each word's pairs, (V,)."""
        total_V = np.bincount(word_E[of_E], value_E[of_E], minlength=words)
        mean_V: np.ndarray = total_V / np.bincount(word_E[of_E], minlength=words).clip(min=1)
        return mean_V

    def others(value_E: np.ndarray) -> np.ndarray:
        """Sum over the other words of the same pair, (E,)."""
        sum_E: np.ndarray = np.bincount(row_E, value_E, minlength=count)[row_E] - value_E
        return sum_E

    every_E = np.ones(len(word_E), bool)
    mean_V = mean_of(called_E, every_E)
    off_E = mean_V[word_E] - called_E
    deviation_V = np.sqrt(mean_of(off_E**2, every_E)).clip(min=1e-6)
    visible_E = (mean_V / deviation_V).clip(min=0)[word_E]
    rest_E = others(visible_E * off_E / deviation_V[word_E]) / others(visible_E).clip(min=_RARELY)
    asked_E = others(visible_E) > _RARELY
    if not asked_E.any():
        return np.zeros(count, np.float32)
    pairs_V = np.bincount(word_E[asked_E], minlength=words)
    z_V = mean_of(rest_E, asked_E) * np.sqrt(pairs_V) / max(float(rest_E[asked_E].std()), 1e-6)
    apart_V = z_V - np.median(z_V)
    far_V = apart_V / max(float(np.median(np.abs(apart_V))), _BY_CHANCE)
    unfit_E = asked_E & (rest_E > np.median(rest_E[asked_E]))
    unfit_E |= (mean_of(unfit_E, asked_E) > _MOSTLY)[word_E]
    out_N = np.zeros(count)
    np.maximum.at(out_N, row_E[unfit_E], far_V[word_E[unfit_E]])
    return out_N.astype(np.float32)


def _called_for(
    thumbnails_NHWC: np.ndarray,
    row_E: np.ndarray,
    word_E: np.ndarray,
    words: int,
    max_reference: int,
    device: torch.device | None,
) -> np.ndarray:
    """P_iw of each word of each pair, over the root of the word's share, float64 (E,)."""
    has_NV = csr_array((np.ones(len(row_E)), (row_E, word_E)), (len(thumbnails_NHWC), words))
    share_V = np.bincount(word_E, minlength=words) / len(thumbnails_NHWC)
    called_E = np.zeros(len(row_E))
    for rows, _, predicted_BV in predictions(
        thumbnails_NHWC,
        lambda rows: torch.from_numpy(has_NV[rows].toarray() - share_V),
        content_of(thumbnails_NHWC, device),
        max_reference=max_reference,
    ):
        part = slice(*np.searchsorted(row_E, [rows[0], rows[-1] + 1]))
        called_E[part] = (predicted_BV.cpu().numpy() / np.sqrt(share_V))[row_E[part] - rows[0], word_E[part]]
    return called_E
