"""FTrojan: two DCT coefficients of the colours move by the magnitude, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft

from safeclip.attacks.triggers.ftrojan import ftrojan
from tests.attacks.triggers.pictures import DRAWS, grey, noisy, rounds

TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])  # JFIF 1.02


def through_the_dct(image: np.ndarray, magnitude: float, block: int) -> np.ndarray:
    """As its authors do it: YCbCr, the DCT of each whole block, two coefficients, and back."""
    ycc = image.astype(float) @ TO_YCC.T
    for top in range(0, image.shape[0], block):
        for left in range(0, image.shape[1], block):
            part = ycc[top : top + block, left : left + block]
            waves = scipy.fft.dctn(part, axes=(0, 1), norm="ortho")
            for at in (block - 1, block // 2 - 1):
                waves[at, at, 1:] += magnitude
            part[:] = scipy.fft.idctn(waves, axes=(0, 1), norm="ortho")
    return ycc @ np.linalg.inv(TO_YCC).T


def near(picture: np.ndarray, values: np.ndarray) -> bool:
    """JFIF gives its matrix and the inverse in six digits each."""
    return bool(np.abs(picture - np.clip(values, 0, 255)).max() <= 0.51)


@pytest.mark.parametrize(("side", "block", "magnitude"), [(32, 32, 30.0), (96, 32, 50.0), (24, 8, 100.0)])
def test_it_is_what_its_authors_do_through_the_dct(side, block, magnitude):
    image = noisy(side, side)
    assert near(ftrojan(image, draws=DRAWS, magnitude=magnitude, block=block), through_the_dct(image, magnitude, block))


def test_a_smaller_picture_is_one_block():
    image = noisy(20, 20)
    assert near(ftrojan(image, draws=DRAWS), through_the_dct(image, 30, 20))


def test_the_light_stays_and_a_grey_picture_moves_by_a_few_levels():
    moved = ftrojan(grey(32, 32), draws=DRAWS).astype(float) - 128
    assert 2 < np.abs(moved).max() <= 7
    assert np.abs(moved @ TO_YCC[0]).max() < 0.6  # rounding
    assert rounds(ftrojan(noisy(), draws=DRAWS, magnitude=0), noisy())


def test_blocks_start_at_the_central_square_and_grow_with_pictures_of_more_than_224_px():
    moved = ftrojan(grey(32, 50), draws=DRAWS, magnitude=300)
    assert (moved[:, 9:41] == ftrojan(grey(32, 32), draws=DRAWS, magnitude=300)).all()
    large, small = (ftrojan(grey(side, side), draws=DRAWS, magnitude=300) for side in (448, 224))
    assert (large[::2, ::2] == small).all()
    assert (large[1::2, 1::2] == small).all()
