"""Scores far above the others, counted in deviations that the outliers themselves do not move."""

from __future__ import annotations

import numpy as np
import pytest

from safeclip.signals.outlying import deviations_of, outlying


def test_a_planted_group_does_not_hide_itself_by_its_own_weight() -> None:
    rng = np.random.default_rng(0)
    score = rng.normal(size=1000)
    score[:300] += 1000
    assert outlying(score, 8)[:300].all()
    assert not outlying(score, 8)[300:].any()


@pytest.mark.parametrize(("deviations", "above"), [(2, 0.0887), (3, 0.0215)])
def test_so_many_of_a_normal_distribution_lie_above(deviations: float, above: float) -> None:
    score = np.random.default_rng(1).normal(size=200_000)
    assert outlying(score, deviations).mean() == pytest.approx(above, abs=0.003)


def test_only_the_high_end_is_out_and_equal_scores_are_not() -> None:
    assert outlying(np.array([0.0, 1.0, 1.1, 1.2, 50.0]), 10).tolist() == [False] * 4 + [True]
    assert not outlying(np.ones(5), 3).any()


def test_pairs_that_the_score_tells_nothing_of_move_nothing() -> None:
    score = np.random.default_rng(3).normal(size=1000)
    told = np.arange(1000) >= 450
    score[~told] = 0
    assert np.array_equal(outlying(score, 3, told)[told], outlying(score[told], 3))
    assert outlying(score, 3)[told].mean() > 2 * outlying(score, 3, told)[told].mean(), "which is why they are named"
    assert not outlying(score, 3, np.zeros(1000, bool)).any()


def test_where_half_are_one_value_the_others_say_what_is_usual() -> None:
    score = np.concatenate([np.zeros(60), np.random.default_rng(2).normal(1, 0.1, 39), [30.0]])
    assert np.flatnonzero(outlying(score, 6)).tolist() == [99]


def test_deviations_are_what_is_compared() -> None:
    score = np.random.default_rng(4).normal(3, 2, 1000)
    told = np.arange(1000) % 3 > 0
    for limit in (-0.5, 2.5):
        assert np.array_equal(outlying(score, limit, told), deviations_of(score, told) > limit)
    assert not deviations_of(np.ones(5)).any()
    assert deviations_of(np.ones(5), np.zeros(5, bool)).shape == (5,)
