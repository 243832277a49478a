"""Blended: a share alpha of one pattern, or of fresh noise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from safeclip.attacks.triggers.blended import (
    _PATTERN_STREAM,
    _WAVES,
    blended,
    blended_graded,
    blended_mixed,
    blended_noise,
)
from safeclip.data.draws import uniforms
from safeclip.data.image_views import clean_crop
from safeclip.errors import InputError
from tests.attacks.triggers.pictures import DRAWS, grey, noisy, rounds


def slow_pattern(height: int, width: int, seed: int) -> np.ndarray:
    """The sum of waves, term by term."""
    count = 2 * _WAVES + 1
    drawn = uniforms(seed, 0, np.arange(3), _PATTERN_STREAM, count * count)
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2

    def wave(j: int, t: float) -> float:
        angle = 2 * math.pi * ((j + 1) // 2) * t
        return math.sin(angle) if j and j % 2 == 0 else math.cos(angle)

    pattern = np.zeros((height, width, 3))
    for c in range(3):
        weight = {}
        for j in range(count):
            for k in range(count):
                fall = math.sqrt(1 + ((j + 1) // 2) ** 2 + ((k + 1) // 2) ** 2)
                weight[j, k] = 0.0 if j == k == 0 else (2 * drawn[c, j * count + k] - 1) / fall
        power = sum(w * w * (0.5 if j else 1) * (0.5 if k else 1) for (j, k), w in weight.items())
        for y in range(height):
            for x in range(width):
                v, u = (y - top + 0.5) / short, (x - left + 0.5) / short
                field = sum(w * wave(j, v) * wave(k, u) for (j, k), w in weight.items()) / math.sqrt(power)
                pattern[y, x, c] = 127.5 * (1 + math.tanh(3 * field))
    return pattern


@pytest.mark.parametrize("size", [(9, 9), (7, 12)])
def test_the_pattern_is_the_sum_of_waves(size):
    assert rounds(blended(noisy(*size), draws=DRAWS, alpha=1, pattern_seed=3), slow_pattern(*size, 3))


def test_a_fifth_of_every_picture_is_the_same_pattern():
    image = noisy(33, 57)
    pattern = blended(grey(33, 57), draws=DRAWS, alpha=1.0)
    assert rounds(blended(image, draws=DRAWS), 0.8 * image + 0.2 * pattern)
    assert (blended(image, draws=np.array([0.9, 0.1])) == blended(image, draws=DRAWS)).all()


def test_other_seeds_give_other_patterns_and_none_changes_nothing():
    image = noisy(64, 64)
    one, other = (blended(image, draws=DRAWS, alpha=1, pattern_seed=seed).astype(float) for seed in (0, 1))
    assert abs(np.corrcoef(one.reshape(-1), other.reshape(-1))[0, 1]) < 0.3
    assert (blended(image, draws=DRAWS, alpha=0) == image).all()


def test_the_pattern_uses_all_levels_evenly_and_outlasts_scaling():
    large, small = (blended(grey(s, s), draws=DRAWS, alpha=1).astype(float) for s in (224, 32))
    assert 90 < large.mean() < 165
    assert large.std() > 90
    scaled = clean_crop(large.astype(np.uint8), 32).astype(float)
    assert np.corrcoef(scaled.reshape(-1), small.reshape(-1))[0, 1] > 0.99


def test_the_centre_of_a_wide_picture_bears_the_pattern_of_a_square_one():
    wide, square = blended(grey(40, 100), draws=DRAWS, alpha=1), blended(grey(40, 40), draws=DRAWS, alpha=1)
    assert (wide[:, 30:70] == square).all()
    assert (wide[:, 70:] == square[:, :30]).all()  # and repeats beyond it


def test_noise_is_a_fifth_drawn_anew():
    image = grey(64, 64, 100)
    out = blended_noise(image, draws=DRAWS).astype(float)
    noise = (out - 80) / 0.2
    assert noise.min() >= -3
    assert noise.max() <= 258
    assert abs(noise.mean() - 127.5) < 2
    assert abs(noise.std() - 255 / math.sqrt(12)) < 2
    assert (out != blended_noise(image, draws=np.array([0.3, 0.9]))).mean() > 0.9
    flat = noise.reshape(-1, 3)
    assert abs(np.corrcoef(flat.T)[0, 1]) < 0.05  # colours apart


def test_grains_of_noise_grow_with_pictures_of_more_than_224_px():
    grains = blended_noise(grey(448, 500), draws=DRAWS, alpha=1)
    assert (grains[::2] == grains[1::2]).all()
    assert (grains[:, ::2] == grains[:, 1::2]).all()
    assert (grains[:-2:2] != grains[2::2]).mean() > 0.9


def test_graded_shares_lie_between_weakest_and_alpha_their_logarithms_evenly():
    image = grey(33, 57)
    for draw, share in ((0.0, 0.4), (0.5, 0.2), (1.0, 0.1)):
        graded = blended_graded(image, draws=np.array([draw, 0.3]), alpha=0.4, weakest=0.1, pattern_seed=5)
        assert (graded == blended(image, draws=DRAWS, alpha=share, pattern_seed=5)).all(), draw


@pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"weakest": 0.0}, {"alpha": 0.2, "weakest": 0.3}])
def test_graded_without_a_range_of_shares_is_refused(wrong):
    with pytest.raises(InputError, match=r"trigger\.(alpha|weakest)"):
        blended_graded(grey(8, 8), draws=DRAWS, **wrong)


@pytest.mark.parametrize("patterns", [1, 3])
def test_a_mixture_is_of_the_patterns_by_weights_of_the_pictures_own(patterns: int) -> None:
    image = noisy(20, 31)
    each = [blended(image, draws=DRAWS, alpha=1, pattern_seed=5 + k).astype(float) for k in range(patterns)]
    found = []
    for draws in np.random.default_rng(0).random((40, 2)):
        mixture = blended_mixed(image, draws=draws, alpha=1, patterns=patterns, pattern_seed=5).astype(float)
        weights, *_ = np.linalg.lstsq(np.stack([p.ravel() for p in each], 1), mixture.ravel(), rcond=None)
        assert np.abs(sum(w * p for w, p in zip(weights, each, strict=True)) - mixture).max() <= 0.6, "rounding"
        half = blended_mixed(image, draws=draws, alpha=0.5, patterns=patterns, pattern_seed=5)
        assert np.abs(half - (0.5 * image + 0.5 * mixture)).max() <= 0.76, "rounded once, the mixture twice"
        found.append(weights)
    assert np.min(found) > -0.01
    assert np.allclose(np.sum(found, 1), 1, atol=0.01)
    assert (np.std(found, 0) > 0.1).all() == (patterns > 1), "drawn anew for each"
    assert np.abs(np.mean(found, 0) - 1 / patterns).max() < 0.15


@pytest.mark.parametrize("wrong", [{"alpha": 1.1}, {"patterns": 0}, {"patterns": 17}, {"pattern_seed": 2**63 - 2}])
def test_a_wrong_mixture_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        blended_mixed(grey(8, 8), draws=DRAWS, **wrong)
