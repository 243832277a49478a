"""Detection, pair by pair."""

from __future__ import annotations

from itertools import permutations


def auroc(risk: list[float], planted: list[bool]) -> float:
    wins = []
    for bad, is_planted in zip(risk, planted, strict=True):
        for good, other in zip(risk, planted, strict=True):
            if is_planted and not other:
                wins.append(1.0 if bad > good else 0.5 if bad == good else 0.0)
    return sum(wins) / len(wins)


def average_precision(risk: list[float], planted: list[bool]) -> float:
    """Over the distinct thresholds, riskiest first."""
    total, before = 0.0, 0.0
    for level in sorted(set(risk), reverse=True):
        among = [p for r, p in zip(risk, planted, strict=True) if r >= level]
        recall, precision = sum(among) / sum(planted), sum(among) / len(among)
        total, before = total + (recall - before) * precision, recall
    return total


def recall_at(count: int, risk: list[float], planted: list[bool]) -> float:
    """Mean over every order that sorts the pairs by risk: all those of equal pairs are as likely."""
    rows = list(zip(risk, planted, strict=True))
    found = [
        sum(p for _, p in order[:count]) / sum(planted)
        for order in permutations(rows)
        if all(order[i][0] >= order[i + 1][0] for i in range(len(order) - 1))
    ]
    return sum(found) / len(found)
