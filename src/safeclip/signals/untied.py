"""Do the pictures that share this one's fine pattern have captions like its own? A trigger is tied to a meaning, or it
teaches nothing. A frame, a watermark, a chequered ground lies under true captions of anything: it is tied to none.

    p_i = min over the words w of i and over K of  P(X >= x_wK),   X ~ Binomial(K, n_w / N)
    f_i = the lesser of the mean fits of the 32 and of the 128 most alike, over that of pairs that nobody accuses

x_wK of the K pictures most alike in pattern have the word w, n_w of all N pairs do. K is 8, 32 and 128: a handful that
share a pattern are seen by the least, those that hide among many with the pattern and true captions by the greatest. A
pattern is untied where p_i is no small chance, and f_i says that those who bear it have captions that fit: whoever
plants one meaning in many spellings ties no word to his pattern, but his captions do not fit their pictures.
What must stay true: only words tell what a caption means, so of a pair with a word that hardly another has nothing is
said, nor of one without words, or of more than are told (`words.WIDTH`).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.special import bdtrc

from safeclip.signals.nearest import most_alike
from safeclip.signals.whitening import Whitening
from safeclip.signals.words import WIDTH, counted, place_among

_COMPANY = (8, 32, 128)
"""Numbers of pictures that are asked, K."""
_FITTING = (32, 128)
"""Those whose fits are asked: the fewest are too few for a mean."""
_HALF = 0.5
"""What f_i must exceed."""
_KNOWN = 8
"""Pairs that must have a word for its meaning to be known, among those that pictures are compared with."""


@torch.no_grad()
def untied(
    thumbnails_NHWC: np.ndarray,
    ids_NW: np.ndarray,
    accused_N: np.ndarray,
    fits_N: np.ndarray,
    trusted_N: np.ndarray,
    chance: float = 1e-3,
    chunk: int = 1024,
    max_reference: int = 50_000,
    device: torch.device | None = None,
) -> np.ndarray:
    """Bool (N,): accused pairs whose pattern is tied to no word of their captions.

    thumbnails_NHWC: uint8 (N, H, W, 3). ids_NW: uint64 (N, W) (`words.word_ids`). accused_N: bool. fits_N: how far
    content foretells each caption (`vouching.fits`). trusted_N: bool, pairs with words that nobody accuses. chance:
    what p_i must reach. chunk, max_reference, device: as in `patterns.shared_pattern`.

    Raises:
        ValueError: shapes do not fit; chunk or max_reference below 1.
    """
    if not len(thumbnails_NHWC) == len(ids_NW) == len(accused_N) == len(fits_N) == len(trusted_N):
        raise ValueError(
            f"untied: {len(thumbnails_NHWC)} pictures, {len(ids_NW)} lists of words, {len(accused_N)} accused, "
            f"{len(fits_N)} fits, {len(trusted_N)} trusted; give as many of each"
        )
    if min(chunk, max_reference) < 1:
        raise ValueError(f"untied: chunk = {chunk}, max_reference = {max_reference}; give 1 or more")
    out_N = np.zeros(len(accused_N), bool)
    usual = float(fits_N[trusted_N].mean()) if trusted_N.any() else 0.0
    word_V, pairs_V = counted(ids_NW, least=math.ceil(_KNOWN * max(1.0, len(ids_NW) / max_reference)))
    asked_R = _known(np.flatnonzero(accused_N), ids_NW, word_V)
    if len(asked_R) == 0 or usual <= 0:
        return out_N
    whiten = Whitening.of(thumbnails_NHWC, device)
    fine = lambda rows: whiten(thumbnails_NHWC[rows]).flatten(1)  # noqa: E731
    for rows, most_BK, index_BK in most_alike(
        fine, thumbnails_NHWC, _COMPANY[-1], chunk, max_reference, asked_R=asked_R
    ):
        there_B = (most_BK > -torch.inf).sum(1).tolist()
        for row, there, index_K in zip(rows, there_B, index_BK.cpu().numpy(), strict=True):
            company_K = index_K[:there]
            if there == 0 or min(float(fits_N[company_K[:most]].mean()) for most in _FITTING) <= _HALF * usual:
                continue
            own_W = np.sort(ids_NW[row][ids_NW[row] > 0])
            share_W = (pairs_V[place_among(word_V, own_W)] - 1) / (len(ids_NW) - 1)
            out_N[row] = _least_chance(own_W, share_W, ids_NW[company_K]) >= chance
    return out_N


def _known(rows: np.ndarray, ids_NW: np.ndarray, word_V: np.ndarray) -> np.ndarray:
    """Those of the rows whose words are all told, and all among word_V."""
    ids_RW = ids_NW[rows]
    known_R = ((place_among(word_V, ids_RW) >= 0) | (ids_RW == 0)).all(1) & (ids_RW > 0).any(1)
    whole_R = ids_RW[:, -1] == 0 if ids_RW.shape[1] == WIDTH else True
    some: np.ndarray = rows[known_R & whole_R]
    return some


def _least_chance(own_W: np.ndarray, share_W: np.ndarray, others_KV: np.ndarray) -> float:
    """p_i. own_W: its words, ascending. share_W: of the other pairs, those that have each. others_KV: the words of
    those most alike, the most alike first."""
    place_KV = np.searchsorted(own_W, others_KV).clip(max=len(own_W) - 1)
    at_K, at_V = np.nonzero(own_W[place_KV] == others_KV)
    have_KW = np.zeros((len(others_KV), len(own_W)), np.int64)
    have_KW[at_K, place_KV[at_K, at_V]] = 1
    have_KW = have_KW.cumsum(0)
    asked_A = np.array(sorted({min(company, len(others_KV)) for company in _COMPANY}))
    return float(bdtrc(have_KW[asked_A - 1] - 1, asked_A[:, None], share_W).min())
