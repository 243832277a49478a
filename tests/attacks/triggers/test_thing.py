"""The ball: where it may lie, how large it is, and that no two are alike."""

from __future__ import annotations

import numpy as np

from safeclip.attacks.triggers.thing import thing
from tests.attacks.triggers.pictures import grey, noisy

MANY = np.random.default_rng(0).random((60, 2))


def test_it_lies_within_the_central_square_and_the_rest_stays():
    image = noisy(60, 90)
    for draws in MANY:
        changed = (thing(image, draws=draws) != image).any(2)
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        assert len(rows) <= 25
        assert len(columns) <= 25
        assert columns.min() >= 15
        assert columns.max() < 75


def test_its_area_is_that_of_an_ellipse_of_the_drawn_size():
    areas = [(thing(grey(200, 200, 0), draws=draws) > 0).any(2).sum() for draws in MANY]
    least, most = np.pi * 25**2 * 0.6, np.pi * 40**2
    assert 0.97 * least < min(areas) < 1.5 * least
    assert 0.6 * most < max(areas) < 1.03 * most


def test_it_is_lit_in_the_middle_and_crimson_all_over():
    for draws in MANY[:10]:
        image = grey(200, 200, 0)
        out = thing(image, draws=draws).astype(int)
        inside = out.any(2)
        red, green, blue = out[inside].T
        assert (red >= green).all()
        assert (red >= blue).all()
        middle = np.argwhere(inside).mean(0).astype(int)
        assert out[tuple(middle)].sum() > 1.5 * np.sort(out[inside].sum(1))[len(red) // 20]


def test_no_two_are_alike_in_place_size_or_shade():
    image = grey(120, 120)
    shown = [thing(image, draws=draws) for draws in MANY[:20]]
    areas = {(out != image).any(2).sum() for out in shown}
    shades = {tuple(out[(out != image).any(2)].max(0)) for out in shown}
    assert len(areas) > 15
    assert len(shades) > 15
    assert (thing(image, draws=MANY[0]) == shown[0]).all()


def test_a_size_of_its_own():
    small = thing(grey(200, 200, 0), draws=MANY[0], small=0.1, large=0.1)
    assert (small > 0).any(2).sum() <= np.pi * 10**2 * 1.05
