"""Do the pictures of captions like mine share something with my picture, wherever it lies in either? A patch that moves
about is such a thing, or one object put into many scenes.

    s_i = mean of the m greatest  max_d sum_x w_i(x) w_j(x + d)   over the k pairs j whose captions are nearest to i's

w: the fine patterns (`whitening`); the maximum over all displacements d comes from one product of spectra (phase
correlation, Kuglin & Hines 1975).
What must stay true: it needs no model. Captions decide only which pictures are compared, so that k comparisons a pair
are enough: a group that is planted together has captions of one meaning, or it teaches nothing.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from safeclip.signals.nearest import drawn, nearest
from safeclip.signals.whitening import Whitening
from safeclip.signals.words import jittered


@torch.no_grad()
def shared_shift(
    thumbnails_NHWC: np.ndarray,
    caption_ND: Tensor,
    k: int = 32,
    m: int = 4,
    chunk: int = 64,
    max_reference: int = 50_000,
    device: torch.device | None = None,
    strong: bool = False,
) -> np.ndarray:
    """Mean of the m highest peaks of phase correlation with k pictures of like captions, float32 (N,), 0..1. High is
    suspicious.

    thumbnails_NHWC: uint8 (N, H, W, 3). caption_ND: unit vectors (`words.caption_vectors`). chunk: pictures compared at
    once. max_reference: above this many pairs, captions are sought among a random subset of this size. device: where
    they are compared; None is the CPU. Where fewer than m others exist, the mean is over those; a pair that is alone
    scores 0. strong: faint patterns count less: beaches with one shore, deserts without detail then have little in
    common; what was laid over pictures still has.

    Raises:
        ValueError: shapes do not fit; k, m, chunk or max_reference below 1.
    """
    if len(thumbnails_NHWC) != len(caption_ND):
        raise ValueError(f"shifts: {len(thumbnails_NHWC)} pictures and {len(caption_ND)} captions; give as many")
    if min(k, m, chunk, max_reference) < 1:
        raise ValueError(f"shifts: k = {k}, m = {m}, chunk = {chunk}, max_reference = {max_reference}; give 1 or more")
    whiten = Whitening.of(thumbnails_NHWC, device)
    count = len(thumbnails_NHWC)
    out_N = np.zeros(count, np.float32)
    if count < 2:
        return out_N
    chosen_M = drawn(thumbnails_NHWC, max_reference)  # whole numbers: the same on every machine
    index_NK, there_NK = nearest(jittered(caption_ND), chosen_M, k, device=device)
    place_NK = torch.searchsorted(torch.from_numpy(chosen_M).to(index_NK.device), index_NK)
    parts = [chosen_M[start : start + chunk] for start in range(0, len(chosen_M), chunk)]
    spectrum_M = torch.cat([torch.fft.rfft2(whiten(thumbnails_NHWC[part], strong)).conj() for part in parts])
    for start in range(0, count, chunk):
        rows = slice(start, start + chunk)
        own = torch.fft.rfft2(whiten(thumbnails_NHWC[rows], strong))
        product = torch.einsum("bchw,bkchw->bkhw", own, spectrum_M[place_NK[rows]])
        alike = torch.fft.irfft2(product, s=thumbnails_NHWC.shape[1:3])
        peak_BK = alike.flatten(2).amax(2).masked_fill(~there_NK[rows], -torch.inf)
        most_BM = peak_BK.topk(min(m, peak_BK.shape[1]), dim=1).values
        there_BM = most_BM > -torch.inf
        out_N[rows] = (most_BM.masked_fill(~there_BM, 0.0).sum(1) / there_BM.sum(1).clamp(min=1)).cpu().numpy()
    return out_N
