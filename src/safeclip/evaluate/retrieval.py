"""Retrieval: R@k, the share of queries whose own partner is among the first k (Karpathy & Fei-Fei 2015).

    image -> text: the best-placed of the image's own captions counts      text -> image: the image of the caption

A caption that occurs word for word with several images is one text that belongs to all of them: no model could tell its
copies apart. Any other tie counts against the model. The full matrix is never built, only `chunk` scores at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from safeclip.errors import InputError
from safeclip.evaluate.zero_shot import TIE, Embeds, finite

KS = (1, 5, 10)


def retrieval(
    embedder: Embeds, image_ND: Tensor, captions: Sequence[Sequence[str]], chunk: int = 2**24
) -> dict[str, Any]:
    """R@1, 5, 10 both ways. captions: of each image, one or more. chunk: scores held at a time.

    Returns image_to_text, text_to_image {r1, r5, r10}, mean_r5, n_images, n_captions (different ones).
    """
    if len(captions) != len(image_ND) or not len(captions) or not all(captions):
        raise InputError(
            f"retrieval: {len(image_ND)} images, {len(captions)} lists of captions; give each image at least one"
        )
    text_of: dict[str, int] = {}
    owns = {(i, text_of.setdefault(text, len(text_of))) for i, texts in enumerate(captions) for text in texts}
    pairs_P2 = np.array(sorted(owns), np.int64)
    text_UD = finite(embedder.texts(list(text_of)))
    ways = {
        "image_to_text": recall(partner_ranks(image_ND, text_UD, pairs_P2, chunk)),
        "text_to_image": recall(partner_ranks(text_UD, image_ND, pairs_P2[:, ::-1], chunk)),
    }
    mean_r5 = (ways["image_to_text"]["r5"] + ways["text_to_image"]["r5"]) / 2
    return {**ways, "mean_r5": mean_r5, "n_images": len(image_ND), "n_captions": len(text_of)}


def partner_ranks(query_QD: Tensor, key_KD: Tensor, pairs_P2: np.ndarray, chunk: int = 2**24) -> np.ndarray:
    """For each query, how many keys that are not its partners score at least as much as its best partner: int64 (Q,).

    pairs_P2: (query, key) of every pair of partners; each query has one at least.
    """
    pairs_P2 = pairs_P2[np.argsort(pairs_P2[:, 0], kind="stable")]
    step = max(1, chunk // len(key_KD))
    parts = []
    for start in range(0, len(query_QD), step):
        scores_BK = query_QD[start : start + step] @ key_KD.T
        low, high = np.searchsorted(pairs_P2[:, 0], [start, start + step])
        row, column = torch.from_numpy(pairs_P2[low:high] - [start, 0]).unbind(1)
        own_P = scores_BK[row, column]
        best_B = torch.full((len(scores_BK),), -torch.inf).scatter_reduce(0, row, own_P, "amax")
        scores_BK[row, column] = -torch.inf
        parts.append((~(scores_BK < best_B[:, None] - TIE)).sum(1))
    return torch.cat(parts).numpy()


def recall(rank_Q: np.ndarray) -> dict[str, float]:
    """Share of ranks below each k."""
    return {f"r{k}": float((rank_Q < k).mean()) for k in KS}
