"""Do pictures that look alike have captions that agree? A planted pair's picture lies among pictures of something else.

    a_i = mean over j in kNN(i) of <T_i, T_j>     kNN(i): the k pictures nearest to I_i by cosine, copies of i left out

What must stay true: neither a pair itself nor a copy of its picture votes for it, however many copies there are;
otherwise an attacker who plants one picture many times is confirmed by his own pairs. Exact within the reference set;
never NaN.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from safeclip.signals.nearest import check_embeddings, drawn, nearest


@torch.no_grad()
def neighbour_agreement(
    image_ND: Tensor,
    text_ND: Tensor,
    k: int = 16,
    groups_N: np.ndarray | None = None,
    chunk: int = 2048,
    max_reference: int = 100_000,
    device: torch.device | None = None,
    rows_N: np.ndarray | None = None,
) -> np.ndarray:
    """Mean similarity of each pair's caption to those of its k nearest pictures, float32 (N,). High is unsuspicious.

    image_ND, text_ND: unit embeddings, float32 or narrower. groups_N: pairs of one id are copies of one picture
    (`copies.copy_groups`) and are no neighbours of each other; None takes each pair for itself. chunk: rows compared at
    once. max_reference: above this many pairs, neighbours are sought among a random subset of this size. device:
    where they are compared; None: where the embeddings lie. rows_N: int64, the rows of both that are the pairs, so that
    none need be copied; None: all. Where fewer than k others exist, the mean is over those; with none at all the
    agreement is 0.

    Raises:
        ValueError: shapes or lengths differ, k or chunk or max_reference below 1.
        RunError: an embedding is not finite.

    >>> image = torch.eye(2).repeat_interleave(2, 0)
    >>> text = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    >>> neighbour_agreement(image, text, k=1)
    array([1., 1., 0., 0.], dtype=float32)
    """
    image_ND, text_ND = image_ND.detach(), text_ND.detach()
    device = image_ND.device if device is None else device
    check_embeddings("neighbours", k, chunk, max_reference, image=image_ND, text=text_ND)
    row_N = torch.arange(len(image_ND)) if rows_N is None else torch.from_numpy(rows_N)
    if groups_N is not None and groups_N.shape != row_N.shape:
        raise ValueError(f"neighbours: groups_N has shape {groups_N.shape}; give ({len(row_N)},)")
    reference_M = drawn(image_ND, max_reference, rows_N)
    index_NK, there_NK = nearest(image_ND, reference_M, k, groups_N, chunk, device, rows_N)
    among_M = torch.from_numpy(reference_M)
    text_MD = text_ND[row_N[among_M]].to(device).float()
    place_NK = torch.searchsorted(among_M.to(device), index_NK)
    agreement_N = torch.zeros(len(row_N), device=device)
    for start in range(0, len(row_N), chunk):
        rows = slice(start, start + chunk)
        there_BK = there_NK[rows].float()
        caption_BD = (text_MD[place_NK[rows]] * there_BK.unsqueeze(2)).sum(1)
        text_BD = text_ND[row_N[rows]].to(device).float()
        agreement_N[rows] = (text_BD * caption_BD).sum(1) / there_BK.sum(1).clamp(min=1)
    out: np.ndarray = agreement_N.cpu().numpy()
    return out
