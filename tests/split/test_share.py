"""Shares and the safe set: against literal loops, and the promises over random data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from safeclip.errors import RunError
from safeclip.split import cut_at, first_share, fit_mixture, in_parts, risk_of, safest, share_at
from safeclip.split.in_parts import PART
from tests.reference import share as slow_share
from tests.split.drawn import draw


def test_first_share_is_what_lies_above_the_cut_and_is_clamped_on_both_sides() -> None:
    scores = draw("apart", 5000)
    mixture = fit_mixture(scores)
    share, cut, clamped = first_share(mixture, scores, 0.9, 0.05, 0.9)
    assert (cut, clamped) == (cut_at(mixture, 0.9), False)
    assert share == (scores >= cut).mean()
    for low, high, expected in ((0.05, 0.2, 0.2), (0.7, 0.9, 0.7)):
        share, cut, clamped = first_share(mixture, scores, 0.9, low, high)
        assert (share, clamped) == (expected, True)
        assert (scores >= cut).sum() == round(expected * 5000)
    assert first_share(mixture, scores, 1.0, 0.05, 0.5)[0] == 0.05, "a posterior that is never reached gives share_min"


def test_a_first_share_with_an_empty_side_says_what_to_change() -> None:
    scores = draw("apart", 500)
    mixture = fit_mixture(scores)
    with pytest.raises(RunError, match=r"empty.*safeclip\.posterior.*safeclip\.share_min"):
        first_share(mixture, scores, 1.0, 0.0, 0.5)
    with pytest.raises(RunError, match=r"full.*safeclip\.share_max"):
        first_share(mixture, scores, 0.9, 1.0, 1.0)
    with pytest.raises(RunError, match="NaN"):
        first_share(mixture, np.array([0.1, math.nan]), 0.9, 0.05, 0.5)


@given(t=st.integers(0, 60), first=st.floats(0.01, 0.99), growth=st.floats(0, 0.1), cap=st.floats(0, 1))
def test_share_grows_step_by_step_to_the_cap_and_never_shrinks(t: int, first: float, growth: float, cap: float) -> None:
    share = share_at(t, first, growth, cap)
    assert share == pytest.approx(slow_share.share_at(t, first, growth, cap))
    assert share >= share_at(max(t - 1, 0), first, growth, cap)


@settings(deadline=None)
@given(
    risks=st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.5]), min_size=2, max_size=40),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
    veto=st.floats(0, 1),
)
def test_safe_set_is_exactly_the_least_risky_allowed_pairs(
    risks: list[float], share: float, seed: int, veto: float
) -> None:
    allowed = np.random.default_rng(seed).random(len(risks)) >= veto
    expected = slow_share.safest(risks, share, allowed.tolist())
    if not 0 < sum(expected) < len(risks):
        with pytest.raises(RunError, match=r"safeclip\."):
            safest(np.array(risks), share, allowed)
        return
    mask = safest(np.array(risks), share, allowed)
    assert mask.tolist() == expected
    assert mask.sum() == min(round(share * len(risks)), allowed.sum())


@settings(deadline=None)
@given(count=st.integers(3, 60), share=st.floats(0.05, 0.95), seed=st.integers(0, 999))
def test_the_split_does_not_depend_on_the_order_of_the_pairs(count: int, share: float, seed: int) -> None:
    assume(0 < round(share * count) < count)
    rng = np.random.default_rng(seed)
    scores, order = rng.permutation(count) / count, rng.permutation(count)
    mask = safest(risk_of({"cosine": scores}), share)
    assert np.array_equal(safest(risk_of({"cosine": scores[order]}), share), mask[order])
    assert scores[mask].min() > scores[~mask].max(), "monotone in the score"


def test_a_safe_set_with_an_empty_side_says_what_to_change() -> None:
    risk = np.arange(10) / 10
    with pytest.raises(RunError, match=r"safeclip\.share_min"):
        safest(risk, 0.01)
    with pytest.raises(RunError, match=r"safeclip\.share_cap"):
        safest(risk, 1.0)
    with pytest.raises(RunError, match=r"safeclip\.copies_allowed"):
        safest(risk, 0.5, np.zeros(10, bool))
    with pytest.raises(RunError, match="NaN"):
        safest(np.array([0.1, math.nan]), 0.5)
    with pytest.raises(ValueError, match="safest"):
        safest(risk, 0.5, np.ones(9, bool))


def test_a_safe_set_of_many_parts_is_that_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ties and vetoes reach over the borders of the parts that the scores are walked in."""
    rng = np.random.default_rng(0)
    risk = rng.integers(0, 6, 3 * PART + 17).astype(np.float32)
    allowed = rng.random(len(risk)) < 0.7
    for share in (0.05, 0.35, 0.6):
        order = np.lexsort((np.arange(len(risk)), risk))
        expected = np.zeros(len(risk), bool)
        expected[order[allowed[order]][: round(share * len(risk))]] = True
        assert np.array_equal(safest(risk, share, allowed), expected)
    cosine = (risk / 10).astype(np.float32)
    share, cut, clamped = first_share(fit_mixture(cosine), cosine, 0.9, 0.02, 0.1)
    assert (share, clamped) == (0.1, True)
    assert cut == cosine.max(), "a sixth of the scores are the highest"


def test_the_split_does_not_depend_on_the_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    cosine = draw("overlapping", 5 * PART + 3).astype(np.float32)
    found = []
    for cores in (1, 2, 5):
        monkeypatch.setattr(in_parts, "wanted_threads", lambda n=cores: n)
        mixture = fit_mixture(cosine)
        share, cut, _ = first_share(mixture, cosine, 0.9, 0.05, 0.95)
        found.append((mixture, share, cut, safest(-cosine, share).tobytes()))
    assert found[0] == found[1] == found[2]
