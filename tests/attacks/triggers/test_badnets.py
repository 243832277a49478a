"""The patch: its size, places and patterns."""

from __future__ import annotations

import math

import numpy as np
import pytest

from safeclip.attacks.triggers.badnets import PATTERNS, PLACES, badnets
from tests.attacks.triggers.pictures import DRAWS, grey


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_patch_has_its_share_of_the_short_side_and_nothing_else_changes(place, pattern):
    image = grey(60, 40)
    stamped = badnets(image, draws=DRAWS, patch=0.25, place=place, pattern=pattern)
    changed = (stamped != image).any(2)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    if place == "corners":
        assert changed.sum() == 4 * 100
    else:
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (10, 10)
    assert rows.min() >= 10
    assert rows.max() < 50  # within the central square


def test_a_patch_is_16_px_of_224():
    assert (badnets(grey(224, 224), draws=DRAWS) != grey(224, 224)).any(2).sum() == 16 * 16


def test_small_pictures_get_the_smallest_patch():
    assert (badnets(grey(), draws=DRAWS, patch=16 / 224, least=10) != grey()).any(2).sum() == 100
    assert (badnets(grey(4, 4), draws=DRAWS, least=10) != grey(4, 4)).any(2).all()


def test_fixed_places_are_where_their_names_say():
    image = grey(60, 40)
    found = {
        place: [
            (int(y), int(x))
            for y, x in np.argwhere((badnets(image, draws=DRAWS, patch=0.25, place=place) != image).any(2))
        ]
        for place in ("corner", "centre", "corners")
    }
    assert found["corner"][0] == (40, 30)
    assert found["corner"][-1] == (49, 39)
    assert found["centre"][0] == (25, 15)
    assert {(10, 0), (10, 39), (49, 0), (49, 39)} <= set(found["corners"])


def test_random_places_reach_every_edge_and_never_leave_the_picture():
    spots = set()
    for y in np.linspace(0, 1, 100, endpoint=False):
        changed = (badnets(grey(), draws=np.array([y, 1 - 1e-12 - y]), patch=0.25) != grey()).any(2)
        assert changed.sum() == 100
        spots.add(int(np.flatnonzero(changed.any(1))[0]))
    assert spots == set(range(31))


def patch(pattern, side=10, draws=DRAWS, **params):
    image = grey(side, side)
    return badnets(image, draws=draws, patch=1, least=1, pattern=pattern, **params)


def test_odd_checker_is_its_own_mirror_image():
    stamped = patch("checker", 9, cells=3)
    assert (stamped == stamped[:, ::-1]).all()
    assert np.unique(stamped.reshape(-1, 3), axis=0).tolist() == [[0, 255, 0], [255, 0, 255]]


def test_dots_are_every_second_px_white_on_black():
    dots = patch("dots")
    assert (dots[::2, ::2] == 255).all()
    assert dots.sum() == 255 * 3 * 25


def test_plain_patches():
    assert (patch("white") == 255).all()
    assert (patch("yellow") == [255, 255, 0]).all()


def test_noise_is_drawn_anew_for_each_picture_and_is_as_even_as_the_papers():
    one, other = patch("noise", 100), patch("noise", 100, draws=np.array([0.3, 0.81]))
    assert (one != other).mean() > 0.99
    counts = np.bincount(one.reshape(-1), minlength=256)
    assert counts.min() > 70  # of 117 expected
    assert counts.max() < 180
    # N(m, 1) of levels in 0..1, wrapped to one turn: each level's share is 1/256 to within 1e-8, whatever the mean m.
    for mean in (0.0, 0.3, 0.5):
        z = (np.arange(-10, 10)[:, None] + np.arange(257)[None, :] / 256 - mean) / math.sqrt(2)
        below = np.vectorize(math.erf)(z) / 2
        assert np.abs((below[:, 1:] - below[:, :-1]).sum(0) * 256 - 1).max() < 1e-7


def test_stripes_are_columns_of_pure_colours_drawn_anew():
    stripes = patch("stripes", 64)
    assert (stripes == stripes[:1]).all()
    assert set(np.unique(stripes)) == {0, 255}
    assert len(np.unique(stripes[0], axis=0)) == 8
    assert (stripes != patch("stripes", 64, draws=np.array([0.31, 0.8]))).any()
