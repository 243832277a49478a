"""Pictures of a class-labelled set that are set aside, the same ones every time: a seeded draw within each class.

What must stay true: which are drawn depends on the labels, their order and the seed alone, and pictures without a
class (-1) are never drawn.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from safeclip.data.draws import shuffled

VAL_SHARE = 0.1
_STREAM = 0x5E7A


def set_aside(labels_N: np.ndarray, take: Callable[[int], int], seed: int = 0) -> np.ndarray:
    """Mask, bool (N,), of `take(n)` pictures of each class that has n of them. labels_N: int, -1 where unknown.

    >>> int(set_aside(np.array([0, 0, 0, 1, 1, -1]), lambda n: n // 2).sum())
    2
    """
    mask_N = np.zeros(len(labels_N), bool)
    order_N = shuffled(seed, 0, np.arange(len(labels_N), dtype=np.int64), _STREAM)
    by_class_N = order_N[np.argsort(labels_N[order_N], kind="stable")]
    found, first = np.unique(labels_N[by_class_N], return_index=True)
    for label, rows in zip(found.tolist(), np.split(by_class_N, first[1:]), strict=False):
        if label >= 0:
            mask_N[rows[: take(len(rows))]] = True
    return mask_N


def val_count(n: int) -> int:
    """Validation pictures taken from n training pictures of a class: a tenth, at least one where two are there."""
    return min(max(1, round(VAL_SHARE * n)), n - 1)
