"""The simplified local outlier factor against the loops; what it means where densities differ."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings

from safeclip.signals.slof import slof
from tests.reference import outliers as slow
from tests.signals.points import CASES, case, unit


@settings(max_examples=40)
@given(**CASES)
def test_slof_equals_the_loops(count, copied, k, chunk, most, seed) -> None:
    points, among = case(count, copied, seed, most)
    fast = slof(points, k, chunk, most)
    assert fast.dtype == np.float32
    assert np.isfinite(fast).all()
    assert fast == pytest.approx(slow.slof(points.numpy(), k, among), rel=1e-5, abs=1e-6)


def two_clusters() -> torch.Tensor:
    """A wide cluster of 150, a narrow one of 150, and pair 300 just outside the narrow one."""
    centres = F.normalize(torch.randn(2, 16, generator=torch.Generator().manual_seed(1)), dim=1)
    spread = unit(300, 16, 2)
    wide = F.normalize(centres[0] + 0.6 * spread[:150], dim=1)
    narrow = F.normalize(centres[1] + 0.02 * spread[150:], dim=1)
    outside = F.normalize(centres[1] + 0.2 * F.normalize(torch.ones(1, 16), dim=1), dim=1)
    return torch.cat([wide, narrow, outside])


def test_both_clusters_are_inliers_whatever_their_density_and_what_lies_beside_one_is_not() -> None:
    score = slof(two_clusters())
    assert score.argmax() == 300
    assert score[300] > 3
    assert 0.8 < np.median(score[:150]) < 1.2
    assert 0.8 < np.median(score[150:300]) < 1.2


def test_more_copies_than_k_are_inliers_to_each_other_and_push_the_others_out_by_a_finite_number() -> None:
    points = unit(200, 16, 0, copied=40)
    score = slof(points)
    assert score[160:] == pytest.approx(1.0), "an attacker's exact copies look ordinary"
    assert np.isfinite(score).all()
