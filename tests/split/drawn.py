"""Scores drawn from two normal components."""

from __future__ import annotations

import numpy as np

SHAPES = {
    "apart": (0.02, 0.05, 0.45, 0.08, 0.5),
    "overlapping": (0.08, 0.06, 0.32, 0.12, 0.65),
    "upper narrow": (0.05, 0.10, 0.40, 0.04, 0.4),
    "few risky": (-0.10, 0.05, 0.25, 0.07, 0.06),
}


def draw(shape: str, count: int, seed: int = 0) -> np.ndarray:
    m_lo, s_lo, m_hi, s_hi, w_lo = SHAPES[shape]
    rng = np.random.default_rng(seed)
    low = rng.random(count) < w_lo
    return np.where(low, rng.normal(m_lo, s_lo, count), rng.normal(m_hi, s_hi, count)).clip(-1, 1)
