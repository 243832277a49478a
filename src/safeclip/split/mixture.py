"""The mixture of the pairs' cosines, and the one cut that it gives.

    p(c) = w_lo N(c; m_lo, v_lo) + w_hi N(c; m_hi, v_hi),  m_lo <= m_hi         fitted by EM
    cut  = lowest c >= m_lo at which P(hi | c) >= posterior

What must stay true: the cut is monotone in the score. The posterior itself is not: where the variances differ it turns
round in one tail, and the official code then calls the least similar pairs safe, or the most similar risky.

EM works on a histogram: ranks add counts, and 400 million scores cost what 32,768 bins cost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from safeclip.errors import RunError
from safeclip.split.in_parts import on_cores

BINS = 1 << 15
"""Bins of a histogram over [-1, 1]: 6e-5 wide, a thousandth of a usual spread."""
_CELLS = 2048
"""Cells over the occupied range that EM works on, each with its exact mean and second moment."""
_SLACK = 1e-3
"""How far rounding may carry a cosine out of [-1, 1]."""


@dataclass(frozen=True)
class Mixture:
    """Two normal components over the scores, the lower mean first. iterations: EM steps that were run."""

    means: tuple[float, float]
    variances: tuple[float, float]
    weights: tuple[float, float]
    iterations: int


def histogram(scores_N: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Counts int64 (bins,) of cosines over [-1, 1]. Histograms of parts add up to the histogram of the whole.

    Raises:
        RunError: a score is NaN or no cosine.
    """

    def count(some: Iterator[slice]) -> np.ndarray:
        counts = np.zeros(bins, np.int64)
        for part in some:
            scores = scores_N[part].astype(np.float64)
            check_scores(scores)
            counts += np.bincount(bin_of(scores, bins), minlength=bins)
        return counts

    counts_B: np.ndarray = np.sum(on_cores(count, len(scores_N)), axis=0)
    return counts_B


def bin_of(scores: np.ndarray, bins: int) -> np.ndarray:
    """Which of `bins` bins over [-1, 1] each score lies in, int64; what rounding carried outside lies in the last."""
    index: np.ndarray = ((scores.astype(np.float64) + 1) * (bins / 2)).astype(np.int64)
    return index.clip(0, bins - 1)


def fit_mixture(scores_N: np.ndarray, fit: Literal["converged", "paper"] = "converged") -> Mixture:
    """The mixture of cosines (N,), any float, in -1..1; `fit_histogram` of their histogram. fit: as there.

    Raises:
        ValueError: no such `fit`.
        RunError: a score is NaN or no cosine, or there are fewer than 2, or all of them are equal.

    >>> rng = np.random.default_rng(0)
    >>> mixture = fit_mixture(np.concatenate([rng.normal(0.0, 0.05, 5000), rng.normal(0.4, 0.05, 5000)]))
    >>> [round(mean, 1) + 0 for mean in mixture.means]
    [0.0, 0.4]
    """
    return fit_histogram(histogram(scores_N), fit)


def fit_histogram(counts: np.ndarray, fit: Literal["converged", "paper"] = "converged") -> Mixture:
    """EM for two components from counts over [-1, 1], started from the exact 2-means cut.

    "converged": until the mean log-likelihood gains less than 1e-12 a step; variances at least 1e-4 of the total.
    "paper": scikit-learn's defaults, as the official code has them: until it gains less than 1e-3, at most 100 steps,
    1e-6 added to each variance. On overlapping components this stops far from the optimum.

    Raises:
        RunError: fewer than 2 scores, or all of them equal.
    """
    if fit not in ("converged", "paper"):
        raise ValueError(f"fit = {fit!r}: give converged or paper")
    cells_3C, centre = _cells(counts)
    spread = float(cells_3C[0] @ cells_3C[2])
    added, floor = (1e-6, 0.0) if fit == "paper" else (0.0, 1e-4 * spread)
    tolerance, most = (1e-3, 100) if fit == "paper" else (1e-12, 10_000)

    parts_32 = _maximise(cells_3C, _two_means(cells_3C), added, floor)
    likelihood, gained, steps = -math.inf, math.inf, 0
    while gained >= tolerance and steps < most:
        upper_C, now = _expect(cells_3C, parts_32)
        parts_32 = _maximise(cells_3C, upper_C, added, floor)
        gained, likelihood, steps = abs(now - likelihood), now, steps + 1
    if not np.isfinite(parts_32).all():
        raise RunError("split: the mixture of the similarities is NaN; lower optim.rate")
    lo, hi = np.argsort(parts_32[0], kind="stable").tolist()
    means, variances, weights = parts_32.tolist()
    means = (means[lo] + centre, means[hi] + centre)
    return Mixture(means, (variances[lo], variances[hi]), (weights[lo], weights[hi]), steps)


def upper_posterior(mixture: Mixture, scores_N: np.ndarray) -> np.ndarray:
    """P(upper component | score), float64 (N,). Not monotone in the score; see `cut_at`."""
    scores_N = np.asarray(scores_N, np.float64)
    (m_lo, m_hi), (v_lo, v_hi), (w_lo, w_hi) = mixture.means, mixture.variances, mixture.weights
    odds = math.log(w_hi) - math.log(w_lo) + 0.5 * (math.log(v_lo) - math.log(v_hi))
    logit_N = odds + (scores_N - m_lo) ** 2 / (2 * v_lo) - (scores_N - m_hi) ** 2 / (2 * v_hi)
    upper_N: np.ndarray = 0.5 + 0.5 * np.tanh(logit_N / 2)
    return upper_N


def cut_at(mixture: Mixture, posterior: float) -> float:
    """The monotone cut: the lowest score at or above the lower mean at which P(upper) rises to `posterior`.

    With u = c - m_lo and d = m_hi - m_lo, logit P(upper) = a u^2 + b u + g, a = 1/2v_lo - 1/2v_hi, b = d/v_hi >= 0,
    g = ln(w_hi/w_lo) + ln(v_lo/v_hi)/2 - d^2/2v_hi. It rises through logit(posterior) at most once, and where it does,
        u = 2 (logit(posterior) - g) / (b + sqrt(b^2 + 4 a (logit(posterior) - g)))
    Four cases need a rule. Upper component wider (a > 0): below the lower mean the posterior rises again; nothing there
    is safe. Upper narrower (a < 0): far above the upper mean the posterior falls again; all of it is safe. Posterior
    reached already at the lower mean: the cut is the lower mean. Never reached: infinity, nothing is safe.

    >>> round(cut_at(Mixture((0.08, 0.32), (0.06**2, 0.12**2), (0.65, 0.35), 1), 0.9), 3)
    0.243
    """
    if not 0 <= posterior <= 1:
        raise ValueError(f"posterior = {posterior}: give a probability")
    (m_lo, m_hi), (v_lo, v_hi), (w_lo, w_hi) = mixture.means, mixture.variances, mixture.weights
    if posterior in (0, 1):
        return m_lo if posterior == 0 else math.inf
    d = m_hi - m_lo
    a, b = 0.5 / v_lo - 0.5 / v_hi, d / v_hi
    g = math.log(w_hi / w_lo) + 0.5 * math.log(v_lo / v_hi) - d * d / (2 * v_hi)
    rise = math.log(posterior / (1 - posterior)) - g
    if rise <= 0:
        return m_lo
    under_root = b * b + 4 * a * rise
    if under_root < 0 or b + math.sqrt(under_root) == 0:
        return math.inf
    return m_lo + 2 * rise / (b + math.sqrt(under_root))


def check_scores(scores: np.ndarray) -> None:
    """Raises RunError where one of the scores is NaN or no cosine."""
    bad = int(np.isnan(scores).sum())
    if bad:
        raise RunError(f"split: {bad} similarities are NaN; lower optim.rate or set optim.clip_norm")
    if len(scores) and np.abs(scores).max() > 1 + _SLACK:
        worst = float(scores[np.abs(scores).argmax()])
        raise RunError(f"split: similarity {worst:g} is no cosine; embeddings must have unit length")


def _cells(counts: np.ndarray) -> tuple[np.ndarray, float]:
    """What EM works on: share, mean and mean square of at most _CELLS cells (3, C) about the centre, and the centre.
    The moments are exactly those of the bins that a cell gathers."""
    total = int(counts.sum())
    if total < 2:
        raise RunError(f"split: {total} scores; give at least 2 usable pairs (data.spec, RUN/bad_pairs.parquet)")
    bin_B = np.flatnonzero(counts)
    x_B = (bin_B + 0.5) * (2 / len(counts)) - 1
    if len(bin_B) == 1:
        raise RunError(
            f"split: all {total} similarities are {x_B[0]:.4f}, the towers tell no pairs apart; "
            "raise safeclip.align_epochs or safeclip.align_travel, or lower optim.rate"
        )
    share_B = counts[bin_B] / total
    centre = float(share_B @ x_B)
    x_B = x_B - centre
    cell_B = (bin_B - bin_B[0]) * _CELLS // (bin_B[-1] - bin_B[0] + 1)
    sums_3C = np.stack([np.bincount(cell_B, share_B * x_B**power, minlength=_CELLS) for power in range(3)])
    sums_3C = sums_3C[:, sums_3C[0] > 0]
    return np.stack([sums_3C[0], sums_3C[1] / sums_3C[0], sums_3C[2] / sums_3C[0]]), centre


def _two_means(cells_3C: np.ndarray) -> np.ndarray:
    """1 in the upper of two clusters, by the least squares over all cuts (Otsu's): exact k-means in one dimension."""
    low_C, sum_C = np.cumsum(cells_3C[0])[:-1], np.cumsum(cells_3C[0] * cells_3C[1])
    between_C = sum_C[:-1] ** 2 / low_C + (sum_C[-1] - sum_C[:-1]) ** 2 / np.maximum(1 - low_C, 1e-300)
    return (np.arange(cells_3C.shape[1]) > int(between_C.argmax())).astype(np.float64)


def _expect(cells_3C: np.ndarray, parts_32: np.ndarray) -> tuple[np.ndarray, float]:
    """P(upper) of each cell (C,), and the mean log-likelihood."""
    mean_21, variance_21, weight_21 = parts_32[:, :, None]
    square_2C = cells_3C[2] - 2 * mean_21 * cells_3C[1] + mean_21**2
    log_2C = np.log(weight_21) - 0.5 * np.log(2 * math.pi * variance_21) - square_2C / (2 * variance_21)
    upper_C = 0.5 + 0.5 * np.tanh((log_2C[1] - log_2C[0]) / 2)
    return upper_C, float(cells_3C[0] @ np.logaddexp(log_2C[0], log_2C[1]))


def _maximise(cells_3C: np.ndarray, upper_C: np.ndarray, added: float, floor: float) -> np.ndarray:
    """Means, variances, weights (3, 2) from the cells' responsibilities."""
    part_2C = np.stack([1 - upper_C, upper_C]) * cells_3C[0]
    weights = np.maximum(part_2C.sum(1), 1e-300)
    means = part_2C @ cells_3C[1] / weights
    variances = np.maximum(part_2C @ cells_3C[2] / weights - means**2, 0) + added
    return np.stack([means, np.maximum(variances, floor), weights / weights.sum()])
