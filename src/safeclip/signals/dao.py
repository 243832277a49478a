"""Is a picture's surrounding sparser than its neighbours', in the dimensions that they live in? Dimensionality-aware
outlier score (Anderberg et al., SIAM SDM 2024, arXiv 2401.05453).

    dao(x) = mean over o in kNN(x) of ( kdist(x) / kdist(o) )^lid(o)

A ratio of radii to the power of the dimension is a ratio of densities; with lid(o) = 1 it is `slof`. Huang et al. (ICLR
2025) drop the pairs of highest score. Here lid is the maximum-likelihood estimate, from the same k neighbours, and the
score is the logarithm of dao: it ranks alike, and in some twenty dimensions dao itself overflows.
What must stay true: high is suspicious; never NaN or infinite.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from safeclip.signals.kdist import last
from safeclip.signals.lid import dimensions
from safeclip.signals.nearest import SAME_POINT, distances


def dao(
    image_ND: Tensor,
    k: int = 16,
    chunk: int = 2048,
    max_reference: int = 100_000,
    device: torch.device | None = None,
) -> np.ndarray:
    """ln dao(x), float32 (N,), about 0 among its like; 0 for a pair that has no other. High is suspicious.

    Arguments, reference set and errors as `kdist`; k-distances below SAME_POINT count as SAME_POINT.

    >>> angle = torch.tensor([0.0, 0.1, 0.25, 0.33, 0.9])
    >>> dao(torch.stack([angle.cos(), angle.sin()], 1), k=2).round(1)
    array([ 2.2, -0.4, -0.3,  1.8,  4. ], dtype=float32)
    """
    distance_NK, index_NK = distances(image_ND, k, chunk, max_reference, device)
    width = index_NK.shape[1]
    if width == 0:
        return np.zeros(len(index_NK), np.float32)
    log_N = last(distance_NK).clamp(min=SAME_POINT).log()
    exponent_NK = dimensions(distance_NK)[index_NK] * (log_N[:, None] - log_N[index_NK])
    out: np.ndarray = (torch.logsumexp(exponent_NK, dim=1) - math.log(width)).float().cpu().numpy()
    return out
