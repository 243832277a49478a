"""Neighbour agreement, pair by pair."""

from __future__ import annotations

import numpy as np


def neighbour_agreement(image: np.ndarray, text: np.ndarray, k: int, groups: list[int]) -> list[float]:
    out = []
    for i in range(len(image)):
        others = [j for j in range(len(image)) if groups[j] != groups[i]]
        others.sort(key=lambda j: -float(image[i] @ image[j]))
        near = others[:k]
        out.append(sum(float(text[i] @ text[j]) for j in near) / len(near) if near else 0.0)
    return out
