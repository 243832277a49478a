"""How far a pair's k-th nearest picture lies: the oldest outlier score (Ramaswamy, Rastogi and Shim, SIGMOD 2000).

    kdist(x) = distance from x to the k-th nearest other of the reference set

Huang et al. (ICLR 2025) find backdoored pictures by it and its kin on the poisoned model's own image embeddings.
What must stay true: high is suspicious; never NaN, whatever copies there are.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from safeclip.signals.nearest import distances


def kdist(
    image_ND: Tensor,
    k: int = 16,
    chunk: int = 2048,
    max_reference: int = 100_000,
    device: torch.device | None = None,
) -> np.ndarray:
    """Distance to the k-th nearest other, float32 (N,), in 0..2; 0 for a pair that has no other. High is suspicious.

    image_ND: unit embeddings. chunk: rows compared at once. max_reference: above this many pairs, neighbours are sought
    among a random subset of this size. device: where they are compared; None: where the embeddings lie. Where there are
    fewer than k others, the farthest of them counts.

    Raises:
        ValueError: image_ND is not (N, D), or k, chunk or max_reference is below 1.
        RunError: an embedding is not finite.

    >>> import torch
    >>> kdist(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]), k=1).round(3)
    array([0.   , 0.   , 1.414, 1.414], dtype=float32)
    """
    distance_NK, _ = distances(image_ND, k, chunk, max_reference, device)
    out: np.ndarray = last(distance_NK).float().cpu().numpy()
    return out


def last(distance_NK: Tensor) -> Tensor:
    """k-distance (N,) of ascending distances (N, K); zeros where K is 0."""
    return distance_NK[:, -1] if distance_NK.shape[1] else distance_NK.new_zeros(len(distance_NK))
