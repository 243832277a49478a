"""How many pairs are safe, and which.

    share_0 = the share of cosines at or above the mixture's cut, held within share_min..share_max
    share_t = share_0 + growth * t, capped
    safe    = the round(share_t * N) pairs of least risk that no veto keeps out; of equal risks the lower uid

What must stay true: a split has two sides, or the error says what to change.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from safeclip.errors import RunError
from safeclip.split.in_parts import on_cores, parts
from safeclip.split.least import kth_least
from safeclip.split.mixture import Mixture, check_scores, cut_at


def first_share(
    mixture: Mixture, scores_N: np.ndarray, posterior: float, share_min: float, share_max: float
) -> tuple[float, float, bool]:
    """Share of the pairs at or above the mixture's cut, held within share_min..share_max.

    scores_N: cosines (N,) in -1..1, float32 or float64, those that the mixture was fitted to. posterior: of the upper
    component, in 0..1, that the cut has to reach. share_min, share_max: in 0..1.
    Returns the share, the cut that gives it (the mixture's, or where it was clamped the score of the last pair let in),
    and whether it was clamped.

    Raises:
        RunError: the share leaves one side empty, or a score is NaN.
    """
    cut = cut_at(mixture, posterior)

    def above(some: Iterator[slice]) -> int:
        count = 0
        for part in some:
            scores = scores_N[part].astype(np.float64)
            check_scores(scores)
            count += int(np.count_nonzero(scores >= cut))
        return count

    natural = sum(on_cores(above, len(scores_N))) / len(scores_N)
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
        cut = kth_least(scores_N, len(scores_N) - count)
    return share, cut, share != natural


def share_at(t: int, first: float, growth: float, cap: float) -> float:
    """Safe share of defended epoch t, counted from 0: first + growth * t, at most `cap`, and never below `first`. All
    are shares of the pairs, in 0..1; growth: what an epoch adds."""
    return min(first + growth * t, max(cap, first))


def safest(risk_N: np.ndarray, share: float, allowed_N: np.ndarray | None = None) -> np.ndarray:
    """Mask, bool (N,), of the round(share * N) pairs of least risk; ties go to the lower index, that is the lower uid.

    risk_N: float32 or float64; of a signal that is high where a pair is safe, such as the cosine, give its negative.
    allowed_N: bool, False for pairs that never enter; where fewer are allowed than asked for, all of those.

    Raises:
        ValueError: shapes differ, or the share is not within 0..1.
        RunError: the mask would be empty or full, or a risk is NaN.
    """
    count = len(risk_N)
    if (allowed_N is not None and allowed_N.shape != risk_N.shape) or not 0 <= share <= 1:
        shape = None if allowed_N is None else allowed_N.shape
        raise ValueError(f"safest: {risk_N.shape} risks, {shape} allowed, share = {share}")
    bad = sum(on_cores(lambda some: sum(int(np.isnan(risk_N[part]).sum()) for part in some), count))
    if bad:
        raise RunError(f"split: the risk of {bad} pairs is NaN; lower optim.rate")
    allowed = count if allowed_N is None else int(allowed_N.sum())
    wanted = min(round(share * count), allowed)
    if not 0 < wanted < count:
        raise RunError(one_sided(wanted, count, allowed))
    last = kth_least(risk_N, wanted - 1, allowed_N)
    mask_N = np.empty(count, bool)

    def fill(some: Iterator[slice]) -> int:
        filled = 0
        for part in some:
            mask_N[part] = risk_N[part] < last
            if allowed_N is not None:
                mask_N[part] &= allowed_N[part]
            filled += int(np.count_nonzero(mask_N[part]))
        return filled

    missing = wanted - sum(on_cores(fill, count))
    for part in parts(count):
        if missing == 0:
            break
        tied = np.flatnonzero(risk_N[part] == last if allowed_N is None else (risk_N[part] == last) & allowed_N[part])
        mask_N[part.start + tied[:missing]] = True
        missing -= len(tied[:missing])
    return mask_N


def one_sided(wanted: int, count: int, allowed: int) -> str:
    """What is wrong with a split that has one side alone, and the mend."""
    if allowed == 0:
        return f"split: all {count} pairs are vetoed; raise safeclip.copies_allowed or a veto's limit, or clear veto"
    if wanted == 0:
        return f"split: 0 of {count} pairs are safe; raise safeclip.share_min or safeclip.share_first"
    return f"split: all {count} pairs are safe and none is risky; lower safeclip.share_cap, share_first or growth"
