"""Unit embeddings of made-up pictures, some of them copies of others."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import strategies as st

from safeclip.signals.nearest import drawn

CASES = {
    "count": st.integers(1, 26),
    "copied": st.integers(0, 12),
    "k": st.integers(2, 14),
    "chunk": st.integers(1, 30),
    "most": st.integers(1, 30),
    "seed": st.integers(0, 999),
}
"""Of a hypothesis test against a slow twin: as many pairs as k and fewer, copies, a reference set of `most`."""


def unit(count: int, dim: int, seed: int, copied: int = 0) -> torch.Tensor:
    """copied: so many pictures, the last ones, are copies of the first."""
    points = F.normalize(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)), dim=1)
    points[max(1, count - copied) :] = points[0]
    return points


def case(count: int, copied: int, seed: int, most: int) -> tuple[torch.Tensor, list[int]]:
    """The points, and the indices of their reference set."""
    points = unit(count, 5, seed, copied)
    return points, drawn(points, most).tolist()
