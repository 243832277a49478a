"""The risk of a pair: how far down it stands in each signal, added up.

    risk_i = sum over signals of rank(i) / N,     rank 0 for the signal's highest value, ties share their mean rank

Up to RANKED_EXACTLY pairs the ranks are exact. Above, where sorting is what costs, a rank is read off the cumulative
histogram: the mean rank of the pairs in the value's bin, of RANK_BINS over [-1, 1]. That is off by at most half of the
pairs in the bin, and what must stay true: a higher value never gets a higher rank, and equal values get the same one.
One signal needs no rank to be split by: its own order is the rank's.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from safeclip.errors import RunError
from safeclip.split.in_parts import on_cores, parts
from safeclip.split.mixture import bin_of, histogram

RANKED_EXACTLY = 1 << 21
"""Pairs up to which the ranks are exact: sorting them costs about a second a signal."""
RANK_BINS = 1 << 20
"""Bins over [-1, 1], 2e-6 wide: of 400 million cosines with a spread of 0.1 none holds more than 8 in a million."""


def risk_of(signals: dict[str, np.ndarray]) -> np.ndarray:
    """Sum over the signals of each pair's rank / N, float64 (N,): higher is riskier. A signal's highest value has
    rank 0, ties share their mean rank. Above RANKED_EXACTLY pairs it is float32, and the signals have to be cosines or
    means of them.

    Raises:
        ValueError: no signals, or of different lengths.
        RunError: a signal is not finite, or of that many pairs and outside [-1, 1].

    >>> risk_of({"cosine": np.array([0.9, 0.1, 0.5, 0.5])}).tolist()
    [0.0, 0.75, 0.375, 0.375]
    """
    if not signals or len({values.shape for values in signals.values()}) != 1:
        raise ValueError(f"risk_of: shapes {[v.shape for v in signals.values()]}; give one or more signals, each (N,)")
    count = len(next(iter(signals.values())))
    for name, values_N in signals.items():
        bad = sum(int((~np.isfinite(values_N[part])).sum()) for part in parts(count))
        if bad:
            raise RunError(f"split: signal {name} is not finite for {bad} pairs; lower optim.rate")
    risk_N = np.zeros(count, np.float64 if count <= RANKED_EXACTLY else np.float32)
    if count <= RANKED_EXACTLY:
        for values_N in signals.values():
            risk_N += _ranks(values_N) / count
        return risk_N
    ranks = {name: _rank_of_bins(histogram(values_N, RANK_BINS)) for name, values_N in signals.items()}

    def fill(some: Iterator[slice]) -> None:
        for part in some:
            all_ranks = [ranks[name][bin_of(values_N[part], RANK_BINS)] for name, values_N in signals.items()]
            risk_N[part] = sum(all_ranks) / count

    on_cores(fill, count)
    return risk_N


def _ranks(values_N: np.ndarray) -> np.ndarray:
    """Exact ranks, float64 (N,)."""
    _, inverse_N, count_U = np.unique(-values_N.astype(np.float64), return_inverse=True, return_counts=True)
    ranks_N: np.ndarray = (np.cumsum(count_U) - count_U + (count_U - 1) / 2)[inverse_N.reshape(-1)]
    return ranks_N


def _rank_of_bins(counts_B: np.ndarray) -> np.ndarray:
    """Mean rank of the values in each bin, float64 (B,); the highest bin has the least."""
    above_B = np.cumsum(counts_B[::-1])[::-1] - counts_B
    rank_B: np.ndarray = above_B + np.maximum(counts_B - 1, 0) / 2
    return rank_B
