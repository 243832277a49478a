"""Scores -> mixture -> safe mask -> growth (PAPER 1.1 step 3, bug 6 of 1.4, and 5.1.6; DESIGN section 4.4).

    p(c) = w_lo N(c; m_lo, v_lo) + w_hi N(c; m_hi, v_hi),  m_lo <= m_hi         fitted by EM to the pairs' cosines
    first split:  safe = { c >= cut },  cut = lowest c >= m_lo at which P(hi | c) >= posterior
    later:        safe = the round(share_t * N) pairs of least risk,  share_t = share_0 + growth * t, capped

What must stay true: the first split is monotone in the score. The posterior itself is not: where the variances differ
it turns round in one tail, and the official code then calls the least similar pairs safe, or the most similar risky.

EM works on a histogram: ranks add counts, and 400 million scores cost what 32,768 bins cost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from safeclip.errors import RunError

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
    counts = np.zeros(bins, np.int64)
    for start in range(0, len(scores_N), 1 << 22):
        part = scores_N[start : start + (1 << 22)].astype(np.float64)
        _check_scores(part)
        index = ((part + 1) * (bins / 2)).astype(np.int64)
        counts += np.bincount(index.clip(0, bins - 1), minlength=bins)
    return counts


def fit_mixture(scores_N: np.ndarray, fit: Literal["converged", "paper"] = "converged") -> Mixture:
    """The mixture of cosines (N,); `fit_histogram` of their histogram.

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
        raise RunError("split: the mixture of the similarities is NaN; set safeclip.share_first")
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


def first_share(
    mixture: Mixture, scores_N: np.ndarray, posterior: float, share_min: float, share_max: float
) -> tuple[float, float, bool]:
    """Share of the pairs at or above the mixture's cut, held within share_min..share_max.

    Returns the share, the cut that gives it (the mixture's, or where it was clamped the score of the last pair let in),
    and whether it was clamped.

    Raises:
        RunError: the share leaves one side empty, or a score is NaN.
    """
    scores_N = np.asarray(scores_N, np.float64)
    _check_scores(scores_N)
    cut = cut_at(mixture, posterior)
    natural = float((scores_N >= cut).mean())
    share = min(max(natural, share_min), share_max)
    count = round(share * len(scores_N))
    if not 0 < count < len(scores_N):
        side = (
            "empty: lower safeclip.posterior or raise safeclip.share_min"
            if count == 0
            else "full: lower safeclip.share_max"
        )
        raise RunError(
            f"split: {count} of {len(scores_N)} pairs are safe at posterior {posterior:g}; the split is {side}"
        )
    if share != natural:
        cut = float(-np.partition(-scores_N, count - 1)[count - 1])
    return share, cut, share != natural


def share_at(t: int, first: float, growth: float, cap: float) -> float:
    """Safe share of defended epoch t, counted from 0: first + growth * t, at most `cap`, and never below `first`."""
    return min(first + growth * t, max(cap, first))


def risk_of(signals: dict[str, np.ndarray]) -> np.ndarray:
    """Sum over the signals of each pair's rank / N, float64 (N,): higher is riskier. A signal's highest value has
    rank 0, ties share their mean rank.

    Raises:
        ValueError: no signals, or of different lengths.
        RunError: a signal is not finite.

    >>> risk_of({"cosine": np.array([0.9, 0.1, 0.5, 0.5])}).tolist()
    [0.0, 0.75, 0.375, 0.375]
    """
    if not signals or len({values.shape for values in signals.values()}) != 1:
        raise ValueError(f"risk_of: shapes {[v.shape for v in signals.values()]}; give one or more signals, each (N,)")
    risk_N = np.zeros(len(next(iter(signals.values()))))
    for name, values_N in signals.items():
        bad = int((~np.isfinite(values_N)).sum())
        if bad:
            raise RunError(f"split: signal {name} is not finite for {bad} pairs; lower optim.rate")
        _, inverse_N, count_U = np.unique(-values_N.astype(np.float64), return_inverse=True, return_counts=True)
        rank_U = np.cumsum(count_U) - count_U + (count_U - 1) / 2
        risk_N += rank_U[inverse_N.reshape(-1)] / len(values_N)
    return risk_N


def safest(risk_N: np.ndarray, share: float, allowed_N: np.ndarray | None = None) -> np.ndarray:
    """Mask (N,) of the round(share * N) pairs of least risk; ties go to the lower index, that is the lower uid.

    allowed_N: bool, False for pairs that never enter; where fewer are allowed than asked for, all of those.

    Raises:
        ValueError: lengths differ, or the share is not within 0..1.
        RunError: the mask would be empty or full, or a risk is NaN.
    """
    count = len(risk_N)
    allowed_N = np.ones(count, bool) if allowed_N is None else np.asarray(allowed_N, bool)
    if allowed_N.shape != risk_N.shape or not 0 <= share <= 1:
        raise ValueError(f"safest: {risk_N.shape} risks, {allowed_N.shape} allowed, share = {share}")
    if np.isnan(risk_N).any():
        raise RunError(f"split: the risk of {int(np.isnan(risk_N).sum())} pairs is NaN; lower optim.rate")
    wanted = min(round(share * count), int(allowed_N.sum()))
    if not 0 < wanted < count:
        raise RunError(_one_sided(wanted, count, int(allowed_N.sum())))
    candidates = np.flatnonzero(allowed_N)
    risk_A = risk_N[candidates]
    last = np.partition(risk_A, wanted - 1)[wanted - 1]
    below, tied = candidates[risk_A < last], candidates[risk_A == last]
    mask_N = np.zeros(count, bool)
    mask_N[below] = True
    mask_N[tied[: wanted - len(below)]] = True
    return mask_N


def _one_sided(wanted: int, count: int, allowed: int) -> str:
    if allowed == 0:
        return f"split: all {count} pairs are vetoed; raise safeclip.copies_allowed or clear safeclip.veto"
    if wanted == 0:
        return f"split: 0 of {count} pairs are safe; raise safeclip.share_min or safeclip.share_first"
    return f"split: all {count} pairs are safe and none is risky; lower safeclip.share_cap, share_max or growth"


def _check_scores(scores: np.ndarray) -> None:
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
