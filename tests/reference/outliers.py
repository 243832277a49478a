"""The outlier scores, point by point in float64. Distances below SAME count as SAME; a dimension is MOST at most."""

from __future__ import annotations

import math

import numpy as np

SAME, MOST = 1e-4, 1e4


def neighbours(points: np.ndarray, k: int, among: list[int]) -> list[list[tuple[float, int]]]:
    """(distance, index) of the nearest of `among`, without the point itself; as many for each as all of them have."""
    k = min(k, len(among) - 1)
    found = []
    for i, x in enumerate(points):
        apart = []
        for j in among:
            if j != i:
                squares = [(float(a) - float(b)) ** 2 for a, b in zip(x, points[j], strict=True)]
                apart.append((math.sqrt(sum(squares)), j))
        found.append(sorted(apart)[: max(k, 0)])
    return found


def kdist(points: np.ndarray, k: int, among: list[int]) -> list[float]:
    return [near[-1][0] if near else 0.0 for near in neighbours(points, k, among)]


def slof(points: np.ndarray, k: int, among: list[int]) -> list[float]:
    radius = [max(r, SAME) for r in kdist(points, k, among)]
    out = []
    for i, near in enumerate(neighbours(points, k, among)):
        ratios = [radius[i] / radius[o] for _, o in near]
        out.append(sum(ratios) / len(ratios) if ratios else 0.0)
    return out


def lid(points: np.ndarray, k: int, among: list[int]) -> list[float]:
    out = []
    for near in neighbours(points, k, among):
        if not near or near[-1][0] <= SAME:
            out.append(0.0)
            continue
        logs = [math.log(max(d, SAME) / near[-1][0]) for d, _ in near]
        mean = sum(logs) / len(logs)
        out.append(MOST if mean > -1 / MOST else -1 / mean)
    return out


def log_dao(points: np.ndarray, k: int, among: list[int]) -> list[float]:
    """ln of mean over o of (kdist(x) / kdist(o))^lid(o); the highest power is taken out of the sum, or it overflows."""
    radius = [max(r, SAME) for r in kdist(points, k, among)]
    dimension = lid(points, k, among)
    out = []
    for i, near in enumerate(neighbours(points, k, among)):
        powers = [dimension[o] * math.log(radius[i] / radius[o]) for _, o in near]
        highest = max(powers, default=0.0)
        out.append(highest + math.log(sum(math.exp(p - highest) for p in powers) / len(powers)) if powers else 0.0)
    return out
