"""Shots of a picture whose levels tell where they were: red rises with x, green with y."""

from __future__ import annotations

import numpy as np
import pytest

from safeclip.attacks.shots import MAX_SIDE, STILL, Camera, shoot

WIDTH, HEIGHT = 120, 80


def places():
    """x along red, y along green, in px; blue is flat."""
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    picture[:, :, 0], picture[:, :, 1] = np.arange(WIDTH)[None, :], np.arange(HEIGHT)[:, None]
    return picture


def photo(height=HEIGHT, width=WIDTH):
    return np.random.default_rng(0).integers(60, 190, (height, width, 3)).astype(np.uint8)


def seen(shot):
    """Where the middle columns and rows of a shot of `places` lie in it: x and y at the left, right, top, bottom."""
    middle = shot[HEIGHT // 4 : -HEIGHT // 4, WIDTH // 4 : -WIDTH // 4].astype(float)
    return middle[:, 0, 0].mean(), middle[:, -1, 0].mean(), middle[0, :, 1].mean(), middle[-1, :, 1].mean()


def test_a_still_camera_changes_nothing():
    for picture in (photo(), photo(7, 1), photo(1, 9)):
        assert (shoot(picture, STILL, 1, 2, 3) == picture).all()


def test_the_view_is_its_share_of_each_side_and_lies_within_the_picture():
    shares = []
    for number in range(40):
        left, right, top, bottom = seen(shoot(places(), Camera(view=(0.7, 1.0)), 0, 0, number))
        across, down = (right - left) / (WIDTH / 2 - 1), (bottom - top) / (HEIGHT / 2 - 1)
        assert across == pytest.approx(down, abs=0.04)
        assert 0.69 <= across <= 1.01
        edge = across * WIDTH / 4
        assert left - edge >= -1.5
        assert right + edge <= WIDTH + 0.5
        shares.append(across)
    assert max(shares) - min(shares) > 0.2


def test_it_turns_up_to_so_many_degrees_either_way():
    turns = []
    for number in range(60):
        shot = shoot(places(), Camera(view=(0.7, 0.7), turn=15), 0, 0, number).astype(float)
        middle = shot[30:50, 45:75] / 0.7
        down, across = (middle[-1] - middle[0]).mean(0)[:2] / 19, (middle[:, -1] - middle[:, 0]).mean(0)[:2] / 29
        assert across @ across == pytest.approx(1, abs=0.1)
        assert down == pytest.approx([-across[1], across[0]], abs=0.1)  # a turn: nothing is sheared or stretched
        turns.append(np.degrees(np.arcsin(np.clip(across[1], -1, 1))))
    assert max(np.abs(turns)) <= 15.7
    assert min(turns) < -10
    assert max(turns) > 10


def test_a_flip_is_the_mirror_image_and_comes_as_often_as_asked():
    assert (shoot(photo(), Camera(flip=1.0), 0, 0, 0) == photo()[:, ::-1]).all()
    flipped = [not (shoot(photo(), Camera(flip=0.5), 0, 0, k) == photo()).all() for k in range(40)]
    assert 10 < sum(flipped) < 30


def test_light_and_noise_stay_within_their_ranges():
    flat = np.full((30, 40, 3), 100, np.uint8)
    bright = np.stack([shoot(flat, Camera(brightness=0.2), 0, 0, k)[0, 0] for k in range(50)]).astype(int)
    assert 80 <= bright.min() < 90
    assert 110 < bright.max() <= 120
    assert (bright == bright[:, :1]).all()
    white = np.stack([shoot(flat, Camera(white=0.1), 0, 0, k)[0, 0] for k in range(50)]).astype(int)
    assert white.min() >= 90
    assert white.max() <= 110
    assert (white.max(1) > white.min(1)).all()  # each colour by itself
    assert (shoot(flat, Camera(contrast=0.2), 0, 0, 0) == flat).all()  # contrast is about the mean level
    steep = [shoot(photo(), Camera(contrast=0.2), 0, 0, k).std() / photo().std() for k in range(30)]
    assert 0.79 <= min(steep) < 0.9
    assert 1.1 < max(steep) <= 1.21
    noisy = shoot(flat, Camera(noise=8), 0, 0, 0).astype(int) - 100
    assert np.abs(noisy).max() == 8
    assert abs(noisy.mean()) < 0.5


def test_a_shot_depends_on_picture_seed_uid_and_number_alone():
    camera = Camera(view=(0.8, 1.0), turn=5, flip=0.5, brightness=0.1, contrast=0.1, white=0.1, noise=3)
    before = photo()
    first = shoot(before, camera, 1, 2, 3)
    assert (before == photo()).all()
    assert (first == shoot(photo(), camera, 1, 2, 3)).all()
    for lens in (camera, Camera(noise=3)):
        first = shoot(photo(), lens, 1, 2, 3)
        for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4)):
            assert (first != shoot(photo(), lens, *other)).any()


def test_large_pictures_are_shot_smaller():
    assert shoot(photo(300, 2 * MAX_SIDE), STILL, 0, 0, 0).shape == (150, MAX_SIDE, 3)
    assert shoot(photo(300, MAX_SIDE), STILL, 0, 0, 0).shape == (300, MAX_SIDE, 3)
