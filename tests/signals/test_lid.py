"""Local intrinsic dimensionality against the loops, and on surfaces whose dimension is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings

from safeclip.signals.lid import MOST, lid
from tests.reference import outliers as slow
from tests.signals.points import CASES, case, unit


@settings(max_examples=40)
@given(**CASES)
def test_lid_equals_the_loops(count, copied, k, chunk, most, seed) -> None:
    points, among = case(count, copied, seed, most)
    fast = lid(points, k, chunk, most)
    assert fast.dtype == np.float32
    assert np.isfinite(fast).all()
    assert fast == pytest.approx(slow.lid(points.numpy(), k, among), rel=1e-3)


@pytest.mark.parametrize("dimension", [1, 2, 4])
def test_it_finds_the_dimension_of_a_sphere_in_a_larger_space(dimension: int) -> None:
    random = torch.Generator().manual_seed(dimension)
    sphere = F.normalize(torch.randn(1500, dimension + 1, generator=random), dim=1)
    turn = torch.linalg.qr(torch.randn(32, 32, generator=random))[0][: dimension + 1]
    assert np.median(lid(sphere @ turn, k=60)) == pytest.approx(dimension, rel=0.1)


def test_neighbours_all_equally_far_are_cut_at_most_and_neighbours_all_at_one_point_have_no_dimension() -> None:
    assert lid(torch.eye(8), k=4).tolist() == [MOST] * 8
    assert lid(unit(30, 8, 0, copied=20), k=4)[10:].tolist() == [0.0] * 20
