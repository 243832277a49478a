"""The linear probe's objective and its gradient, picture by picture (Radford et al. 2021, A.3)."""

from __future__ import annotations

import math


def objective_gradient(
    weights: list[list[float]], biases: list[float], pictures: list[list[float]], labels: list[int], C: float
) -> tuple[float, list[list[float]], list[float]]:
    """sum_i CE(W x_i + b, y_i) + |W|^2 / (2 C), and its gradient by W and b. The bias is not penalised."""
    total = sum(w * w for row in weights for w in row) / (2 * C)
    by_weight = [[w / C for w in row] for row in weights]
    by_bias = [0.0] * len(biases)
    for x, y in zip(pictures, labels, strict=True):
        logits = [sum(w * v for w, v in zip(row, x, strict=True)) + b for row, b in zip(weights, biases, strict=True)]
        top = max(logits)
        whole = sum(math.exp(z - top) for z in logits)
        total += top + math.log(whole) - logits[y]
        for c, z in enumerate(logits):
            off = math.exp(z - top) / whole - (c == y)
            by_bias[c] += off
            for d, v in enumerate(x):
                by_weight[c][d] += off * v
    return total, by_weight, by_bias
