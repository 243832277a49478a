"""Do the pictures that share this one's fine pattern have captions like its own? A trigger is tied to a meaning, or it
teaches nothing. A frame, a watermark, a chequered ground lies under captions of anything: it is tied to none.

    p_i = min over the words w of i and over K of  P(X >= x_wK),   X ~ Binomial(K, n_w / N)

x_wK of the K pictures most alike in pattern have the word w, n_w of all N pairs do. K is 8, 32 and 128: a handful that
share a pattern are seen by the least, those that hide among many with the pattern and true captions by the greatest.
What must stay true: only words tell what a caption means, so of a pair with a word that hardly another has nothing is
said, nor of one without words.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import bdtrc

from safeclip.signals.nearest import most_alike
from safeclip.signals.whitening import Whitening
from safeclip.signals.words import counted, place_among

_COMPANY = (8, 32, 128)
"""Numbers of pictures that are asked, K."""
_KNOWN = 8
"""Pairs that must have a word for its meaning to be known."""


@torch.no_grad()
def untied(
    thumbnails_NHWC: np.ndarray,
    ids_NW: np.ndarray,
    accused_N: np.ndarray,
    chance: float = 1e-3,
    chunk: int = 1024,
    max_reference: int = 50_000,
    device: torch.device | None = None,
) -> np.ndarray:
    """Bool (N,): accused pairs whose pattern is tied to no word of their captions.

    thumbnails_NHWC: uint8 (N, H, W, 3). ids_NW: uint32 (N, W) (`words.word_ids`). accused_N: bool. chance: what p_i
    must reach. chunk, max_reference, device: as in `patterns.shared_pattern`.

    Raises:
        ValueError: shapes do not fit; chunk or max_reference below 1.
    """
    if not len(thumbnails_NHWC) == len(ids_NW) == len(accused_N):
        raise ValueError(
            f"untied: {len(thumbnails_NHWC)} pictures, {len(ids_NW)} lists of words, {len(accused_N)} accused; "
            "give as many of each"
        )
    if min(chunk, max_reference) < 1:
        raise ValueError(f"untied: chunk = {chunk}, max_reference = {max_reference}; give 1 or more")
    out_N = np.zeros(len(accused_N), bool)
    word_V, pairs_V = counted(ids_NW, least=_KNOWN)
    known_N = ((place_among(word_V, ids_NW) >= 0) | (ids_NW == 0)).all(1) & (ids_NW > 0).any(1)
    asked_R = np.flatnonzero(accused_N & known_N)
    if len(asked_R) == 0:
        return out_N
    whiten = Whitening.of(thumbnails_NHWC, device)
    fine = lambda rows: whiten(thumbnails_NHWC[rows]).flatten(1)  # noqa: E731
    for rows, most_BK, index_BK in most_alike(
        fine, thumbnails_NHWC, _COMPANY[-1], chunk, max_reference, asked_R=asked_R
    ):
        there_B = (most_BK > -torch.inf).sum(1).tolist()
        for row, there, index_K in zip(rows, there_B, index_BK.cpu().numpy(), strict=True):
            own_W = ids_NW[row][ids_NW[row] > 0]
            share_W = (pairs_V[place_among(word_V, own_W)] - 1) / (len(ids_NW) - 1)
            out_N[row] = _least_chance(own_W, share_W, ids_NW[index_K[:there]]) >= chance
    return out_N


def _least_chance(own_W: np.ndarray, share_W: np.ndarray, others_KV: np.ndarray) -> float:
    """p_i. own_W: its words. share_W: of the other pairs, those that have each. others_KV: the words of those most
    alike, the most alike first."""
    have_KW = (others_KV[:, :, None] == own_W).any(1).cumsum(0)
    asked_A = np.array(sorted({min(company, len(others_KV)) for company in _COMPANY}))
    return float(bdtrc(have_KW[asked_A - 1] - 1, asked_A[:, None], share_W).min())
