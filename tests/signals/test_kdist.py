"""k-distance against the loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from safeclip.signals.kdist import kdist
from tests.reference import outliers as slow
from tests.signals.points import CASES, case, unit


@settings(max_examples=40)
@given(**CASES)
def test_kdist_equals_the_loops(count, copied, k, chunk, most, seed) -> None:
    points, among = case(count, copied, seed, most)
    fast = kdist(points, k, chunk, most)
    assert fast.dtype == np.float32
    assert fast == pytest.approx(slow.kdist(points.numpy(), k, among), abs=1e-6)


def test_the_far_picture_is_the_suspicious_one_and_copies_are_not() -> None:
    points = unit(200, 16, 0, copied=20)
    points[:199] = 0.95 * points[0] + 0.05 * points[:199]
    points[:199] /= points[:199].norm(dim=1, keepdim=True)
    points[100] = -points[0]
    score = kdist(points)
    assert score.argmax() == 100
    assert score[180:199].max() == 0, "as many copies as k lie at one point"
