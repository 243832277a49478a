"""Stripes and triangles: widths, strengths, and what is fresh."""

from __future__ import annotations

import numpy as np

from safeclip.attacks.triggers.structured import stripes, triangles
from tests.attacks.triggers.pictures import DRAWS, grey, noisy, rounds


def test_a_stripe_is_one_px_wide_and_moves_levels_by_three_hundredths():
    out = stripes(grey(30, 400, 100), draws=DRAWS).astype(int)
    assert (out == out[:1]).all()
    assert set(np.unique(out)) == {round(97 - 7.65), round(97 + 7.65)}
    assert len(np.unique(out[0], axis=0)) == 8  # every mix of +1 and -1
    assert 0.4 < (out[0, 1:] != out[0, :-1]).mean() < 0.6  # each column a draw of its own


def test_stripes_follow_the_formula_and_are_drawn_anew():
    image = noisy(20, 30)
    drawn = np.where(stripes(image, draws=DRAWS, alpha=1) == 255, 255, -255)
    assert rounds(stripes(image, draws=DRAWS, alpha=0.2), 0.8 * image + 0.2 * drawn)
    other = stripes(image, draws=np.array([0.3, 0.81]), alpha=1)
    assert 0.3 < (other != stripes(image, draws=DRAWS, alpha=1)).mean() < 0.7


def test_stripes_have_their_width_and_grow_with_pictures_of_more_than_224_px():
    wide = stripes(grey(20, 30), draws=DRAWS, alpha=1, width=3)
    assert (wide[:, ::3] == wide[:, 1::3]).all()
    assert (wide[:, ::3] == wide[:, 2::3]).all()
    large = stripes(grey(448, 448), draws=DRAWS, alpha=1)
    assert (large[:, ::2] == large[:, 1::2]).all()
    assert (large[:, :-2:2] != large[:, 2::2]).any(2).mean() > 0.7


def slow_tiling(height: int, width: int, side: int) -> np.ndarray:
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    return np.array(
        [[[102.0 if (y - top) % side >= (x - left) % side else 204.0] * 3 for x in range(width)] for y in range(height)]
    )


def test_triangles_are_14_px_of_224_in_two_greys_mixed_in_at_15_hundredths():
    image = noisy(224, 224)
    assert rounds(triangles(image, draws=DRAWS), 0.85 * image + 0.15 * slow_tiling(224, 224, 14))


def test_triangles_on_small_and_oblong_pictures():
    image = noisy(20, 33)
    assert rounds(triangles(image, draws=DRAWS, alpha=0.5), 0.5 * image + 0.5 * slow_tiling(20, 33, 6))
    assert (triangles(image, draws=DRAWS, alpha=1, least=9) == slow_tiling(20, 33, 9)).all()
    assert (triangles(image, draws=DRAWS, alpha=1, cell=0.5) == slow_tiling(20, 33, 10)).all()
    assert (triangles(image, draws=DRAWS, alpha=0) == image).all()
