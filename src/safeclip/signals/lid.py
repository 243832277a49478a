"""In how many dimensions the neighbours spread: local intrinsic dimensionality, by maximum likelihood.

    lid(x) = - ( 1/k sum_{i=1..k} ln( d_i(x) / d_k(x) ) )^-1        d_i: distance to the i-th nearest other

Amsaleg et al., KDD 2015, the Hill estimator. Huang et al. (ICLR 2025) take it as an outlier score as it stands.
What must stay true: high is suspicious; never NaN. Where all k neighbours are equally far the estimate grows without
bound and is cut at MOST; where all of them are one point with x its dimension is 0.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from safeclip.signals.nearest import SAME_POINT, distances

MOST = 1e4
"""Largest estimate; that of neighbours whose distances differ by no more than a ten-thousandth."""


def lid(
    image_ND: Tensor,
    k: int = 16,
    chunk: int = 2048,
    max_reference: int = 100_000,
    device: torch.device | None = None,
) -> np.ndarray:
    """Local intrinsic dimensionality, float32 (N,), in 0..MOST; 0 for a pair that has no other. High is suspicious.

    Arguments, reference set and errors as `kdist`.

    >>> points = torch.tensor([[1.0, 0.0], [0.96, 0.28], [0.8, 0.6]])
    >>> lid(points, k=2).round(2)
    array([2.49, 8.51, 3.51], dtype=float32)
    """
    distance_NK, _ = distances(image_ND, k, chunk, max_reference, device)
    out: np.ndarray = dimensions(distance_NK).float().cpu().numpy()
    return out


def dimensions(distance_NK: Tensor) -> Tensor:
    """The estimates (N,) of ascending distances (N, K). Distances below SAME_POINT count as SAME_POINT."""
    if distance_NK.shape[1] == 0:
        return distance_NK.new_zeros(len(distance_NK))
    log_NK = distance_NK.clamp(min=SAME_POINT).log()
    shrink_N = (log_NK[:, -1:] - log_NK).mean(1)
    dimension_N = 1 / shrink_N.clamp(min=1 / MOST)
    return torch.where(distance_NK[:, -1] > SAME_POINT, dimension_N, 0.0)
