"""Where likeness ends at once, against the formula in loops; an overlay has a cliff, a likeness by degrees has none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeclip.signals.cliffs import cliffs
from safeclip.signals.whitening import Whitening
from tests.signals.natural import natural

COUNT = 600


def overlaid(share_N: np.ndarray, seed: int = 0) -> np.ndarray:
    """Natural pictures, of each the share of one pattern mixed in."""
    pattern = np.random.default_rng(seed).integers(0, 256, (32, 32, 3))
    share = share_N[:, None, None, None]
    return ((1 - share) * natural(len(share_N), seed + 1) + share * pattern).astype(np.uint8)


def slow(pictures: np.ndarray, accused: np.ndarray, k: int, most: int) -> np.ndarray:
    fine = Whitening.of(pictures)(pictures).flatten(1).numpy().astype(np.float64)
    falls, near = np.zeros(len(pictures)), {}
    for i in np.flatnonzero(accused):
        like = fine @ fine[i]
        others = sorted((j for j in range(len(pictures)) if j != i), key=lambda j: -like[j])[:most]
        near[i], s, m = others[:k], [like[j] for j in others], 8
        while 2 * m <= len(s):
            falls[i] = max(falls[i], np.mean(s[m // 2 : m]) - np.mean(s[m : 2 * m]))
            m = int(m * 1.2) + 1
    out = np.zeros(len(pictures))
    for i, others in near.items():
        out[i] = np.mean([falls[i], *(falls[j] for j in others if accused[j])])
    return out


@settings(max_examples=15, deadline=None)
@given(count=st.integers(2, 120), k=st.integers(1, 9), most=st.integers(1, 130), chunk=st.integers(1, 99))
def test_it_is_the_greatest_fall_of_likeness_averaged_over_the_most_alike(
    count: int, k: int, most: int, chunk: int
) -> None:
    pictures = overlaid(np.where(np.arange(count) % 4 == 0, 0.4, 0.0), seed=count)
    accused = np.arange(count) % 3 > 0
    found = cliffs(pictures, accused, k=k, most=most, chunk=chunk)
    assert found == pytest.approx(slow(pictures, accused, k, most), abs=1e-4)
    assert not found[~accused].any()


@pytest.mark.parametrize("planted", [12, 60, 250])
def test_an_overlay_ends_at_once_be_it_in_few_or_many(planted: int) -> None:
    there = np.arange(COUNT) < planted
    found = cliffs(overlaid(np.where(there, 0.35, 0.0)), there)
    assert found[there].min() > 0.25


def test_likeness_by_degrees_does_not() -> None:
    share = 0.35 * (1 + np.arange(COUNT) / 6) ** -0.6
    accused = np.arange(COUNT) < 90
    assert cliffs(overlaid(share), accused).max() < 0.2
    assert cliffs(natural(COUNT, 5), accused).max() < 0.2


def test_a_few_copies_of_one_picture_are_no_cliff() -> None:
    pictures = natural(COUNT, 5)
    pictures[1:5] = pictures[0]
    accused = np.arange(COUNT) < 5
    assert cliffs(pictures, accused).max() < 0.5 < cliffs(np.repeat(pictures[:60], 10, axis=0), accused).max()


def test_where_nobody_is_accused_or_hardly_a_picture_is_there_nothing_falls() -> None:
    assert not cliffs(natural(50, 0), np.zeros(50, bool)).any()
    assert not cliffs(natural(9, 0), np.ones(9, bool)).any()
    assert cliffs(np.zeros((0, 32, 32, 3), np.uint8), np.zeros(0, bool)).shape == (0,)


def test_wrong_input_is_named() -> None:
    with pytest.raises(ValueError, match="cliffs: 3 pictures, 2 accused"):
        cliffs(natural(3, 0), np.zeros(2, bool))
    with pytest.raises(ValueError, match="most = 0"):
        cliffs(natural(3, 0), np.zeros(3, bool), most=0)
