"""Which scores lie far above the others: in median absolute deviations, which the outliers themselves hardly move."""

from __future__ import annotations

import numpy as np


def outlying(score_N: np.ndarray, deviations: float, told_N: np.ndarray | None = None) -> np.ndarray:
    """Bool (N,): scores more than so many median absolute deviations above the median. Of a normal distribution, 3
    leave 2.2 % above, 6 leave 3 in 100,000. Where half of the scores are one value, the others' deviation is taken.
    told_N: bool, the pairs of which the score tells anything, and whose median and deviation count; None: all.

    >>> outlying(np.array([0.10, 0.11, 0.12, 0.13, 0.90]), 10)
    array([False, False, False, False,  True])
    """
    middle, usual = _usual(score_N, told_N)
    above: np.ndarray = score_N > middle + deviations * usual
    return above


def deviations_of(score_N: np.ndarray, told_N: np.ndarray | None = None) -> np.ndarray:
    """How many median absolute deviations each score lies above the median, float (N,); 0 where all are one value.

    >>> deviations_of(np.array([1.0, 2.0, 3.0, 9.0])).tolist()
    [-1.5, -0.5, 0.5, 6.5]
    """
    middle, usual = _usual(score_N, told_N)
    apart: np.ndarray = (score_N - middle) / (usual if 0 < usual < np.inf else np.inf)
    return apart


def _usual(score_N: np.ndarray, told_N: np.ndarray | None) -> tuple[float, float]:
    """Median and median absolute deviation; nothing lies above them where there are no scores."""
    some_N = score_N if told_N is None else score_N[told_N]
    if len(some_N) == 0:
        return 0.0, np.inf
    middle = np.median(some_N)
    apart_N = np.abs(some_N - middle)
    usual = np.median(apart_N)
    if usual == 0 and apart_N.any():
        usual = np.median(apart_N[apart_N > 0])
    return float(middle), float(usual)
