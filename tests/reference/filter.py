"""Dropping the most outlying pairs, one after the other."""

from __future__ import annotations


def least_outlying(risk: list[float], share: float) -> list[bool]:
    kept = [True] * len(risk)
    for _ in range(round(share * len(risk))):
        left = [i for i, stays in enumerate(kept) if stays]
        worst = max(left, key=lambda i: (risk[i], i))
        kept[worst] = False
    return kept
