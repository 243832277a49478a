"""The losses, one logit at a time in float64."""

from __future__ import annotations

import math

import numpy as np


def cross_entropy(rows: np.ndarray, columns: np.ndarray, scale: float) -> float:
    """Mean over i of -log( exp(s <r_i, c_i>) / sum_j exp(s <r_i, c_j>) )."""
    total = 0.0
    for i in range(len(rows)):
        logits = [scale * sum(float(a) * float(b) for a, b in zip(rows[i], column, strict=True)) for column in columns]
        highest = max(logits)
        total += highest + math.log(sum(math.exp(logit - highest) for logit in logits)) - logits[i]
    return total / len(rows)


def clip_loss(image: np.ndarray, text: np.ndarray, scale: float) -> float:
    return (cross_entropy(image, text, scale) + cross_entropy(text, image, scale)) / 2


def clip_loss_crossed(
    image1: np.ndarray, text1: np.ndarray, image2: np.ndarray, text2: np.ndarray, scale: float
) -> float:
    return (cross_entropy(image1, text2, scale) + cross_entropy(text1, image2, scale)) / 2


def unimodal_loss(view2: np.ndarray, anchor: np.ndarray, scale: float) -> float:
    return cross_entropy(view2, anchor, scale)
