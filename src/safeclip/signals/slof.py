"""Is a picture lonelier than its neighbours are? Simplified local outlier factor (Schubert, Zimek and Kriegel, 2014).

    slof(x) = mean over o in kNN(x) of kdist(x) / kdist(o)

About 1 within a cluster of any density, above 1 where x is farther from its neighbours than they from theirs. It is
the local outlier factor of Breunig et al. (SIGMOD 2000) without reachability distances.
What must stay true: high is suspicious; never NaN. A k-distance below SAME_POINT counts as SAME_POINT, so that more
than k copies of one picture are 1 to each other (inliers) and a finite number to their surroundings.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from safeclip.signals.kdist import last
from safeclip.signals.nearest import SAME_POINT, distances


def slof(
    image_ND: Tensor,
    k: int = 16,
    chunk: int = 2048,
    max_reference: int = 100_000,
    device: torch.device | None = None,
) -> np.ndarray:
    """Simplified local outlier factor, float32 (N,), positive; 0 for a pair that has no other. High is suspicious.

    Arguments, reference set and errors as `kdist`. The neighbours' k-distances are those within the reference set too.

    >>> import torch
    >>> angle = torch.tensor([0.0, 0.1, 0.25, 0.33, 0.9])
    >>> slof(torch.stack([angle.cos(), angle.sin()], 1), k=2).round(1)
    array([1.7, 0.8, 0.8, 1.5, 3.5], dtype=float32)
    """
    distance_NK, index_NK = distances(image_ND, k, chunk, max_reference, device)
    if index_NK.shape[1] == 0:
        return np.zeros(len(index_NK), np.float32)
    kdist_N = last(distance_NK).clamp(min=SAME_POINT)
    out: np.ndarray = (kdist_N[:, None] / kdist_N[index_NK]).mean(1).float().cpu().numpy()
    return out
