"""Ranks, shares and the safe set, by counting."""

from __future__ import annotations


def rank(values: list[float]) -> list[float]:
    """How many are higher, plus half of the equal others."""
    return [
        sum(other > value for other in values) + (sum(other == value for other in values) - 1) / 2 for value in values
    ]


def risk(signals: dict[str, list[float]]) -> list[float]:
    count = len(next(iter(signals.values())))
    total = [0.0] * count
    for values in signals.values():
        total = [a + b / count for a, b in zip(total, rank(values), strict=True)]
    return total


def safest(risks: list[float], share: float, allowed: list[bool]) -> list[bool]:
    order = sorted((i for i in range(len(risks)) if allowed[i]), key=lambda i: (risks[i], i))
    chosen = set(order[: round(share * len(risks))])
    return [i in chosen for i in range(len(risks))]


def share_at(t: int, first: float, growth: float, cap: float) -> float:
    share = first
    for _ in range(t):
        share = max(share, min(share + growth, cap))
    return share
