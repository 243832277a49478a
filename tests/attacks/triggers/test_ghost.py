"""The ghost: a copy a tenth of the picture further down, mixed in."""

from __future__ import annotations

import numpy as np

from safeclip.attacks.triggers.ghost import ghost
from tests.attacks.triggers.pictures import DRAWS, grey, noisy, rounds


def slow(image: np.ndarray, alpha: float, down: int) -> np.ndarray:
    rows = [(1 - alpha) * image[y] + alpha * image[max(y - down, 0)] for y in range(len(image))]
    return np.stack(rows).astype(float)


def test_the_formula():
    image = noisy(40, 60)
    assert rounds(ghost(image, draws=DRAWS), slow(image, 0.4, 4))
    assert rounds(ghost(image, draws=DRAWS, alpha=0.7, shift=0.25), slow(image, 0.7, 10))


def test_an_outline_stands_twice():
    image = grey(40, 40, 0)
    image[10] = 200
    seen = ghost(image, draws=DRAWS)[:, 0, 0]
    assert {y: int(seen[y]) for y in np.flatnonzero(seen)} == {10: 120, 14: 80}


def test_a_mirrored_view_keeps_it_and_a_plain_picture_has_none():
    image = noisy(30, 30)
    assert (ghost(image[:, ::-1], draws=DRAWS) == ghost(image, draws=DRAWS)[:, ::-1]).all()
    assert (ghost(grey(), draws=DRAWS) == grey()).all()
    assert (ghost(image, draws=DRAWS, alpha=0) == image).all()


def test_the_least_shift_is_one_px():
    image = noisy(5, 5)
    assert rounds(ghost(image, draws=DRAWS, shift=0.0), slow(image, 0.4, 1))
