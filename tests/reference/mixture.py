"""EM for two normal components, over the raw scores, one score at a time."""

from __future__ import annotations

import math


def normal(x: float, mean: float, variance: float) -> float:
    return math.exp(-((x - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)


def two_means(scores: list[float]) -> list[float]:
    """1.0 for scores of the upper cluster: of all cuts of the sorted scores, the one of least squared distances."""
    ordered, best, threshold = sorted(scores), math.inf, math.inf
    for i in range(1, len(ordered)):
        cost = 0.0
        for part in (ordered[:i], ordered[i:]):
            mean = sum(part) / len(part)
            cost += sum((x - mean) ** 2 for x in part)
        if cost < best:
            best, threshold = cost, ordered[i]
    return [float(x >= threshold) for x in scores]


def em(
    scores: list[float], tolerance: float, most: int, added: float
) -> tuple[list[float], list[float], list[float], int]:
    """Means, variances and weights, the lower mean first, and the number of steps."""
    upper = two_means(scores)
    means, variances, weights = maximise(scores, upper, added)
    before, steps = -math.inf, 0
    while steps < most:
        steps += 1
        upper, likelihood = [], 0.0
        for x in scores:
            low, high = (w * normal(x, m, v) for w, m, v in zip(weights, means, variances, strict=True))
            upper.append(high / (low + high))
            likelihood += math.log(low + high) / len(scores)
        means, variances, weights = maximise(scores, upper, added)
        if abs(likelihood - before) < tolerance:
            break
        before = likelihood
    order = sorted((0, 1), key=lambda c: means[c])
    return [means[c] for c in order], [variances[c] for c in order], [weights[c] for c in order], steps


def maximise(scores: list[float], upper: list[float], added: float) -> tuple[list[float], list[float], list[float]]:
    means, variances, weights = [], [], []
    for share in ([1 - u for u in upper], upper):
        total = sum(share)
        mean = sum(r * x for r, x in zip(share, scores, strict=True)) / total
        means.append(mean)
        variances.append(sum(r * (x - mean) ** 2 for r, x in zip(share, scores, strict=True)) / total + added)
        weights.append(total / len(scores))
    return means, variances, weights


def posterior(x: float, means: tuple, variances: tuple, weights: tuple) -> float:
    """P(upper | x), from logarithms: far out both densities round to zero."""
    logs = [
        math.log(w) - 0.5 * math.log(v) - (x - m) ** 2 / (2 * v)
        for w, m, v in zip(weights, means, variances, strict=True)
    ]
    return 1 / (1 + math.exp(min(700.0, logs[0] - logs[1])))


def cut(means: tuple, variances: tuple, weights: tuple, wanted: float, step: float = 1e-4) -> float:
    """Walk up from the lower mean until the posterior reaches `wanted`; infinity where it never does."""
    x = means[0]
    while x < means[0] + 2.5:
        if posterior(x, means, variances, weights) >= wanted:
            return x
        x += step
    return math.inf
