"""How well a pair's image and caption agree: the cosine of their embeddings (PAPER 1.1 step 3).

    c_i = <I_i, T_i>

What must stay true: unit embeddings in, so that the dot product is the cosine. High is unsuspicious.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor


def cosine(image_ND: Tensor, text_ND: Tensor) -> np.ndarray:
    """Cosine of each pair, float32 (N,), within [-1, 1]. image_ND, text_ND: unit embeddings.

    Raises:
        ValueError: the shapes differ or are not (N, D).

    >>> import torch
    >>> cosine(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]]))
    array([0.6], dtype=float32)
    """
    if image_ND.ndim != 2 or image_ND.shape != text_ND.shape:
        raise ValueError(
            f"cosine: shapes {tuple(image_ND.shape)} and {tuple(text_ND.shape)}; give two of one shape (N, D)"
        )
    scores_N = (image_ND.detach().float() * text_ND.detach().float()).sum(1)
    out: np.ndarray = scores_N.clamp(-1, 1).cpu().numpy()
    return out
