"""How well a pair's caption is foretold, from features of its picture, by all the other pairs.

    P = Z (Z'Z + lambda N I)^-1 Z' Y          ridge regression of the caption vectors Y on the features Z
    p_i = (P_i - h_i Y_i) / (1 - h_i)         its prediction for i when i is left out, h_i = z_i (...)^-1 z_i'
    s_i = <y_i, p_i>

One fit gives all N predictions (Allen 1974; Hastie et al. 2009, section 7.10). Two passes over the pictures, a chunk at
a time, and nothing of the size of N x features is ever held.
What must stay true: no pair votes for itself, and the result does not depend on the chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from safeclip.signals.nearest import drawn
from safeclip.signals.words import Vectors

Features = Callable[[np.ndarray], Tensor]
"""Of what is given of pictures, as thumbnails uint8 (B, H, W, 3): float32 (B, F), each row from its own picture alone.
All that follows is reckoned on the device that they lie on."""
Targets = Callable[[np.ndarray], Tensor]
"""Of rows int64 (B,): what is to be foretold of them, (B, D)."""


@torch.no_grad()
def predictions(
    given_N: np.ndarray,
    targets: Targets,
    features: Features,
    penalty: float = 0.1,
    chunk: int = 1024,
    max_reference: int = 1_000_000,
    voters_N: np.ndarray | None = None,
) -> Iterator[tuple[np.ndarray, Tensor, Tensor]]:
    """Chunk by chunk: rows int64 (B,), their targets and the predictions of these, float64 (B, D).

    given_N: what `features` are made of, a row a picture. features: put to mean 0 and deviation 1 here, those that
    never vary to 0. penalty: lambda. chunk: pictures looked at together. max_reference: above this many pairs, a random
    subset of this size is fitted to. voters_N: bool (N,), the only pairs fitted to; None: all.

    Raises:
        ValueError: no pairs, or penalty, chunk or max_reference not positive.
    """
    count = len(given_N)
    if penalty <= 0 or min(count, chunk, max_reference) < 1:
        raise ValueError(
            f"leave_one_out: {count} pairs, penalty = {penalty}, chunk = {chunk}, max_reference = {max_reference}"
        )
    fitted_M = drawn(given_N, max_reference)
    if voters_N is not None:
        fitted_M = fitted_M[voters_N[fitted_M]]
    mean, scale, inverse, weights = _fit(given_N, targets, features, penalty, chunk, fitted_M)
    own_N = torch.zeros(count, dtype=torch.bool)
    own_N[torch.from_numpy(fitted_M)] = True
    for start in range(0, count, chunk):
        rows = np.arange(start, min(start + chunk, count))
        z_BF = (features(given_N[rows]).double() - mean) * scale
        y_BD = targets(rows).to(z_BF.device).double()
        leverage_B1 = ((z_BF @ inverse) * z_BF).sum(1, keepdim=True)
        leverage_B1 = leverage_B1 * own_N[rows, None].to(z_BF.device)  # those not fitted to had no vote to take back
        yield rows, y_BD, (z_BF @ weights - leverage_B1 * y_BD) / (1 - leverage_B1)


def foretold(
    given_N: np.ndarray, captions: Tensor | Vectors, features: Features, penalty: float = 0.1, **settings: Any
) -> np.ndarray:
    """<y_i, p_i>, float32 (N,), about -1..1. High: the features say what the caption says.

    captions: unit vectors (N, D), or what gives them. settings: `chunk`, `max_reference` and `voters_N` of
    `predictions`. Raises ValueError as it does, and where there are not as many captions as pictures.
    """
    if len(given_N) != len(captions):
        raise ValueError(f"leave_one_out: {len(given_N)} pictures and {len(captions)} captions; give as many")
    out_N = np.zeros(len(captions), np.float32)
    targets: Targets = captions if isinstance(captions, Vectors) else lambda rows: captions[torch.from_numpy(rows)]
    for rows, y_BD, p_BD in predictions(given_N, targets, features, penalty, **settings):
        out_N[rows] = (y_BD * p_BD).sum(1).float().cpu().numpy()
    return out_N


def _fit(
    given_N: np.ndarray, targets: Targets, features: Features, penalty: float, chunk: int, rows_M: np.ndarray
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean (F,) and 1 / deviation (F,) of the features, (Z'Z + lambda M I)^-1 (F, F), and the weights (F, D)."""
    nothing = torch.zeros((), dtype=torch.float64)
    total, square, cross, captions = nothing, nothing, nothing, nothing
    for start in range(0, len(rows_M), chunk):
        some = rows_M[start : start + chunk]
        f_BF = features(given_N[some]).double()
        y_BD = targets(some).to(f_BF.device).double()
        total, square, cross = total + f_BF.sum(0), square + f_BF.T @ f_BF, cross + f_BF.T @ y_BD
        captions = captions + y_BD.sum(0)
    count = len(rows_M)
    mean = total / count
    covariance = square / count - mean[:, None] * mean
    deviation = covariance.diagonal().clamp(min=0).sqrt()
    varies = deviation > 1e-6 * mean.abs().clamp(min=1.0)
    scale = torch.where(varies, 1 / deviation.clamp(min=1e-12), torch.zeros_like(deviation))
    gram = count * (
        scale[:, None] * covariance * scale + penalty * torch.eye(len(mean), dtype=mean.dtype, device=mean.device)
    )
    inverse = torch.linalg.inv(gram)
    weights = inverse @ (scale[:, None] * (cross - mean[:, None] * captions))
    return mean, scale, inverse, weights
