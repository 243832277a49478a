"""The dimensionality-aware outlier score against the loops, and where it differs from slof."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from safeclip.signals.dao import dao
from safeclip.signals.slof import slof
from tests.reference import outliers as slow
from tests.signals.points import CASES, case, unit
from tests.signals.test_slof import two_clusters


@settings(max_examples=60)
@given(**CASES)
def test_dao_equals_the_loops(count, copied, k, chunk, most, seed) -> None:
    points, among = case(count, copied, seed, most)
    fast = dao(points, k, chunk, most)
    assert fast.dtype == np.float32
    assert np.isfinite(fast).all()
    assert fast == pytest.approx(slow.log_dao(points.numpy(), k, among), rel=1e-3, abs=1e-3)


def test_in_one_dimension_it_is_slof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safeclip.signals.dao.dimensions", lambda distances: distances.new_ones(len(distances)))
    points = unit(80, 6, 3, copied=5)
    assert np.exp(dao(points)) == pytest.approx(slof(points), rel=1e-5)


def test_what_lies_beside_a_cluster_is_the_suspicious_one_and_exact_copies_are_not() -> None:
    score = dao(two_clusters())
    assert score.argmax() == 300
    copies = dao(unit(200, 16, 0, copied=40))[160:]
    assert copies == pytest.approx(0.0, abs=1e-6), "more than k copies look ordinary"


def test_few_planted_pairs_stand_out_against_a_small_reference_set_and_many_hide_in_a_large_one() -> None:
    """The published finding, and its limit: 1 % of the pairs in a tight cluster away from the others."""
    points, centre = unit(3000, 8, 0), unit(1, 8, 1)
    points[:30] = 0.05 * points[:30] - centre
    points[30:] = 0.8 * points[30:] + centre
    points /= points.norm(dim=1, keepdim=True)
    ranks = {most: dao(points, 16, max_reference=most).argsort().argsort() for most in (300, 3000)}
    assert np.median(ranks[300][:30]) > 0.9 * 3000
    assert 0.3 * 3000 < np.median(ranks[3000][:30]) < 0.7 * 3000, "as ordinary as any other pair"
