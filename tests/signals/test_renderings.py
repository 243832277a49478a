"""Renderings of one picture are a crowd apart, whatever light and place do to them; classes of alike ones are not."""

from __future__ import annotations

import numpy as np
import pytest

from safeclip.attacks.shot_attacks import RENDERED
from safeclip.attacks.shots import shoot
from safeclip.signals.outlying import outlying
from safeclip.signals.renderings import crowded, palette
from safeclip.signals.thumbnails import SIDE, thumbnails
from tests.signals.natural import natural


def scene(seed: int) -> np.ndarray:
    """A picture of a few even fields, uint8 (48, 48, 3)."""
    rng = np.random.default_rng(seed)
    picture = np.full((48, 48, 3), rng.integers(0, 256, 3), np.uint8)
    for _ in range(4):
        y, x, height, width = rng.integers(4, 30, 4)
        picture[y : y + height // 2, x : x + width // 2] = rng.integers(0, 256, 3)
    return picture


def pictures(count: int = 600) -> np.ndarray:
    return thumbnails([scene(seed) for seed in range(count)])


def test_renderings_of_one_picture_are_a_crowd_apart() -> None:
    all_of_them = pictures()
    planted = np.arange(100, 116)
    all_of_them[planted] = thumbnails([shoot(scene(7), RENDERED, 0, 7, i) for i in range(len(planted))])
    score = crowded(all_of_them)
    out = outlying(score, 6)
    assert out[planted].mean() > 0.9
    others = np.delete(out, [*planted, 7])
    assert others.mean() < 0.03
    assert np.allclose(score, crowded(all_of_them, chunk=77), atol=1e-4)


def test_a_class_of_many_alike_pictures_is_not() -> None:
    all_of_them = pictures()
    many = np.arange(100, 250)
    all_of_them[many] = thumbnails([shoot(scene(7), RENDERED, 0, 7, i) for i in range(len(many))])
    assert outlying(crowded(all_of_them), 6)[many].mean() < 0.1


def test_light_contrast_white_balance_and_place_do_not_change_the_palette() -> None:
    picture = natural(1, 3).astype(np.float64) * 0.4 + 60
    lighter, warmer = picture * 1.3 - 20, picture + np.array([20.0, 0.0, -15.0])
    flipped = picture[:, :, ::-1]
    found = palette(np.concatenate([picture, lighter, warmer, flipped]).round().astype(np.uint8))
    edited, another = float((found @ found[0]).min()), float(found[0] @ palette(natural(1, 4))[0])
    assert 1 - edited < (1 - another) / 3


def test_the_score_is_the_jump_from_the_kth_to_the_mth_distance() -> None:
    all_of_them = natural(40, 5)
    unit = palette(all_of_them).double().numpy()
    expected = []
    for i in range(40):
        apart = sorted(max(1 - float(unit[i] @ unit[j]), 1e-4) for j in range(40) if j != i)
        expected.append(np.log(apart[8] / apart[2]))
    assert np.allclose(crowded(all_of_them, k=3, m=9), expected, atol=1e-2)


def test_few_flat_and_wrong_input() -> None:
    assert not crowded(natural(24, 0)).any()
    flat = np.full((40, SIDE, SIDE, 3), 9, np.uint8)
    assert not crowded(flat).any()
    assert not crowded(np.zeros((0, SIDE, SIDE, 3), np.uint8)).any()
    with pytest.raises(ValueError, match="k = 9"):
        crowded(natural(40, 0), k=9, m=9)
    with pytest.raises(ValueError, match="uint8"):
        crowded(natural(40, 0).astype(np.float32))
