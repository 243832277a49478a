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

from safeclip.data.draws import shuffled
from safeclip.errors import RunError


@torch.no_grad()
def neighbour_agreement(
    image_ND: Tensor,
    text_ND: Tensor,
    k: int = 16,
    groups_N: np.ndarray | None = None,
    chunk: int = 2048,
    max_reference: int = 100_000,
) -> np.ndarray:
    """Mean similarity of each pair's caption to those of its k nearest pictures, float32 (N,). High is unsuspicious.

    image_ND, text_ND: unit embeddings. groups_N: pairs of one id are copies of one picture (`copies.copy_groups`) and
    are no neighbours of each other; None takes each pair for itself. chunk: rows compared at once. max_reference: above
    this many pairs, neighbours are sought among a random subset of this size, the same in every call.
    Where fewer than k others exist, the mean is over those; with none at all the agreement is 0.

    Raises:
        ValueError: shapes or lengths differ, k or chunk or max_reference below 1.
        RunError: an embedding is not finite.

    >>> image = torch.eye(2).repeat_interleave(2, 0)
    >>> text = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    >>> neighbour_agreement(image, text, k=1)
    array([1., 1., 0., 0.], dtype=float32)
    """
    image_ND, text_ND = image_ND.detach().float(), text_ND.detach().float()
    count = len(image_ND)
    _check(image_ND, text_ND, groups_N, k, chunk, max_reference)
    device = image_ND.device
    ids = np.arange(count) if groups_N is None else np.unique(groups_N, return_inverse=True)[1].reshape(-1)
    group_N = torch.from_numpy(ids.astype(np.int64)).to(device)
    copied_N = torch.bincount(group_N)[group_N] > 1 if count else torch.zeros(0, dtype=torch.bool)
    reference = torch.arange(count, device=device)
    if count > max_reference:
        reference = torch.from_numpy(_subset(count, max_reference)).to(device)
    slot_N = torch.full((count,), -1, dtype=torch.long, device=device)
    slot_N[reference] = torch.arange(len(reference), device=device)
    image_MD, text_MD, group_M = image_ND[reference], text_ND[reference], group_N[reference]

    agreement_N = torch.zeros(count, device=device)
    for start in range(0, count, chunk):
        rows = slice(start, start + chunk)
        similar_BM = image_ND[rows] @ image_MD.T
        _leave_out(similar_BM, slot_N[rows], group_N[rows], copied_N[rows], group_M)
        near_BK, index_BK = similar_BM.topk(min(k, len(reference)), dim=1, sorted=False)
        there_BK = (near_BK > -torch.inf).float()
        caption_BD = (text_MD[index_BK] * there_BK.unsqueeze(2)).sum(1)
        agreement_N[rows] = (text_ND[rows] * caption_BD).sum(1) / there_BK.sum(1).clamp(min=1)
    out: np.ndarray = agreement_N.cpu().numpy()
    return out


def _leave_out(similar_BM: Tensor, slot_B: Tensor, group_B: Tensor, copied_B: Tensor, group_M: Tensor) -> None:
    """Set the similarities to the pair itself and to its group to -inf, in place."""
    own = torch.nonzero(slot_B >= 0).squeeze(1)
    similar_BM[own, slot_B[own]] = -torch.inf
    copied = torch.nonzero(copied_B).squeeze(1)
    if len(copied):
        same = group_B[copied, None] == group_M[None]
        similar_BM[copied] = similar_BM[copied].masked_fill_(same, -torch.inf)


def _subset(count: int, size: int) -> np.ndarray:
    """`size` of `count` indices at random, ascending; the same in every call, so that epochs compare."""
    return np.sort(shuffled(seed=0, epoch=0, uids=np.arange(count), stream=0)[:size])


def _check(image: Tensor, text: Tensor, groups: np.ndarray | None, k: int, chunk: int, max_reference: int) -> None:
    if image.ndim != 2 or text.ndim != 2 or len(image) != len(text):
        raise ValueError(f"neighbour_agreement: shapes {tuple(image.shape)} and {tuple(text.shape)}; give (N, D) twice")
    if groups is not None and groups.shape != (len(image),):
        raise ValueError(f"neighbour_agreement: groups_N has shape {groups.shape}; give ({len(image)},)")
    if min(k, chunk, max_reference) < 1:
        raise ValueError(
            f"neighbour_agreement: k = {k}, chunk = {chunk}, max_reference = {max_reference}; give 1 or more"
        )
    for name, embedding in (("image", image), ("text", text)):
        bad = int((~torch.isfinite(embedding).all(1)).sum())
        if bad:
            raise RunError(
                f"neighbours: {bad} {name} embeddings are not finite; lower optim.rate or set optim.clip_norm"
            )
