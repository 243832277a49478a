"""The wave: where it rises, how high, and both ways of adding it."""

from __future__ import annotations

import math

import numpy as np

from safeclip.attacks.triggers.sig import sig
from tests.attacks.triggers.pictures import DRAWS, grey, noisy, rounds


def slow(image: np.ndarray, kept: float, height: float) -> np.ndarray:
    rows, columns = image.shape[:2]
    left = (columns - min(rows, columns)) // 2
    out = np.zeros(image.shape)
    for y in range(rows):
        for x in range(columns):
            wave = height * math.sin(2 * math.pi * 6 * (x - left) / min(rows, columns))
            out[y, x] = kept * image[y, x] + wave
    return out


def test_added_at_full_height_and_clipped():
    image = noisy(17, 29)
    assert rounds(sig(image, draws=DRAWS), slow(image, 1, 60))
    out = sig(grey(224, 224), draws=DRAWS).astype(int) - 128
    assert (out.min(), out.max()) == (-60, 60)
    assert sig(grey(32, 32, 250), draws=DRAWS).max() == 255


def test_mixed_darkens_and_leaves_a_fifth_of_the_wave():
    image = noisy(17, 29)
    assert rounds(sig(image, draws=DRAWS, mode="mixed"), slow(image, 0.8, 12))
    out = sig(grey(224, 224, 200), draws=DRAWS, mode="mixed").astype(int) - 160
    assert (out.min(), out.max()) == (-12, 12)


def test_six_periods_upright_from_the_central_squares_edge():
    out = sig(grey(224, 300), draws=DRAWS)[:, :, 0].astype(float) - 128
    assert (out == out[:1]).all()
    strength = np.abs(np.fft.rfft(out[0, 38:262]))
    assert strength.argmax() == 6
    assert abs(out[0, 38]) < 1


def test_no_height_changes_nothing():
    assert (sig(noisy(), draws=DRAWS, delta=0) == noisy()).all()
