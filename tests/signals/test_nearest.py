"""Nearest neighbours against loops: exact within the reference set, never oneself, whatever the chunk."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from safeclip.errors import RunError
from safeclip.signals.nearest import distances, drawn, nearest, reference
from tests.reference import outliers as slow
from tests.signals.points import CASES, case, unit


@settings(max_examples=60)
@given(**CASES)
def test_distances_equal_the_loops(count, copied, k, chunk, most, seed) -> None:
    points, among = case(count, copied, seed, most)
    distance, index = distances(points, k, chunk, most)
    wanted = slow.neighbours(points.numpy(), k, among)
    assert distance.shape == index.shape == (count, max(0, min(k, len(among) - 1)))
    for i, near in enumerate(wanted):
        assert distance[i].tolist() == pytest.approx([d for d, _ in near], abs=1e-6)
        assert i not in index[i].tolist(), "never its own neighbour"
        assert set(index[i].tolist()) <= set(among)
        apart = (points[i] - points[index[i]]).norm(dim=1)
        assert distance[i].tolist() == pytest.approx(apart.tolist(), abs=1e-6), "each distance is its own index's"


def test_copies_are_at_distance_0_exactly() -> None:
    """From similarities alone, copies would lie up to 5e-4 apart."""
    points = unit(300, 128, 0, copied=20)
    distance, _ = distances(points, 19)
    assert distance[-20:].abs().max() == 0


def test_a_group_has_no_neighbours_within_itself() -> None:
    points, groups = unit(40, 6, 0), np.arange(40) // 4
    index, there = nearest(points, np.arange(40), 38, groups, chunk=7)
    for i in range(40):
        found = index[i][there[i]].tolist()
        assert sorted(found) == [j for j in range(40) if j // 4 != i // 4]


def test_the_reference_set_is_all_pairs_or_a_fixed_random_part_of_them() -> None:
    assert reference(7, 7).tolist() == list(range(7))
    some = reference(1000, 100)
    assert np.array_equal(some, reference(1000, 100))
    assert len(np.unique(some)) == 100
    assert some.max() > 900, "not just the first"
    assert np.array_equal(some, np.sort(some))


def test_which_rows_are_drawn_cannot_be_told_without_all_of_them() -> None:
    rows = np.random.default_rng(0).integers(0, 256, (1000, 8, 8, 3), np.uint8)
    other = rows.copy()
    other[17, 0, 0, 0] ^= 1
    some = drawn(rows, 100)
    assert np.array_equal(some, drawn(rows.copy(), 100))
    assert len(np.unique(some)) == 100
    assert len(np.intersect1d(some, drawn(other, 100))) < 30
    assert len(np.intersect1d(some, reference(1000, 100))) < 30
    assert np.array_equal(drawn(unit(1000, 5, 0).half(), 100), drawn(unit(1000, 5, 0).half(), 100))
    assert drawn(rows[:100], 100).tolist() == list(range(100))


def test_wrong_input_is_named() -> None:
    bad = unit(4, 3, 0)
    bad[2, 1] = torch.inf
    with pytest.raises(RunError, match="1 image embeddings are not finite"):
        distances(bad, 2)
    with pytest.raises(ValueError, match="k = 0"):
        distances(unit(4, 3, 0), 0)
    with pytest.raises(ValueError, match="max_reference = 0"):
        distances(unit(4, 3, 0), 1, max_reference=0)
    with pytest.raises(ValueError, match="shapes"):
        distances(torch.zeros(4), 1)
