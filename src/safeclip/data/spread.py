"""Some of many things, evenly spread over them: what samples, pages and examples take."""

from __future__ import annotations

import numpy as np


def spread(count: int, most: int) -> np.ndarray:
    """Indices of at most `most` of `count` things, int64, rising and distinct: the first, and of several the last too.

    >>> spread(9, 3).tolist(), spread(2, 3).tolist(), spread(0, 3).tolist()
    ([0, 4, 8], [0, 1], [])
    """
    return np.linspace(0, count - 1, min(count, most)).astype(np.int64)
