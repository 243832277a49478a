"""Shared patterns against a slow twin; a fixed overlay stands out from natural pictures, whatever lies under it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeclip.signals.nearest import reference
from safeclip.signals.outlying import outlying
from safeclip.signals.patterns import shared_pattern
from safeclip.signals.thumbnails import SIDE, thumbnails
from tests.signals.natural import natural


def slow(pictures: np.ndarray, k: int) -> list[float]:
    """In loops over pairs, all of them the reference."""
    x = pictures.astype(np.float64).transpose(0, 3, 1, 2) / 255
    spectrum = np.fft.fft2(x - x.mean(0))
    amplitude = np.sort(np.abs(spectrum).reshape(-1, SIDE, SIDE), axis=0)[(3 * len(x) - 1) // 2]
    even = np.fft.ifft2(spectrum / amplitude).real.reshape(len(x), -1)
    even /= np.linalg.norm(even, axis=1, keepdims=True)
    scores = []
    for i in range(len(x)):
        alike = sorted((float(even[i] @ even[j]) for j in range(len(x)) if j != i), reverse=True)
        scores.append(sum(alike[:k]) / min(k, len(alike)))
    return scores


@settings(max_examples=15, deadline=None)
@given(count=st.integers(2, 40), k=st.integers(1, 12), chunk=st.integers(1, 50), seed=st.integers(0, 99))
def test_it_is_the_mean_correlation_with_the_k_most_alike(count: int, k: int, chunk: int, seed: int) -> None:
    pictures = natural(count, seed)
    assert np.allclose(shared_pattern(pictures, k, chunk), slow(pictures, k), atol=1e-3)


def overlay(kind: str, pictures: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(5)
    x = pictures.astype(np.float64)
    if kind == "corner":
        x[:, -6:, -6:] = 255 * (np.indices((6, 6)).sum(0) % 2)[..., None]
    elif kind == "mixed in":
        x = 0.75 * x + 0.25 * rng.uniform(0, 255, (SIDE, SIDE, 3))
    elif kind == "wave":
        x += 30 * np.sin(2 * np.pi * 6 * np.arange(SIDE) / SIDE)[None, None, :, None]
    return x.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["mixed in", "wave"])
def test_who_knows_where_his_pairs_lie_cannot_make_his_pattern_the_usual_one(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("safeclip.signals.whitening._SAMPLE", 100)
    pictures, planted = natural(1500, 3), reference(1500, 100)[:80]  # those drawn by row alone
    pictures[planted] = overlay(kind, pictures[planted])
    assert outlying(shared_pattern(pictures), 8)[planted].mean() > 0.9


@pytest.mark.parametrize("kind", ["corner", "mixed in", "wave"])
def test_what_lies_over_many_pictures_at_one_place_stands_out(kind: str) -> None:
    pictures = natural(600, 1)
    planted = np.arange(600) % 20 == 3
    pictures[planted] = overlay(kind, pictures[planted])
    out = outlying(shared_pattern(pictures), 10)
    assert out[planted].mean() > 0.95
    assert out[~planted].mean() < 0.01


def test_natural_pictures_alone_and_flat_ones_do_not() -> None:
    pictures = natural(400, 2)
    pictures[:20] = np.arange(20, dtype=np.uint8)[:, None, None, None] * 12  # no pattern, only a shade
    score = shared_pattern(pictures)
    assert not outlying(score, 10)[20:].any()
    assert np.isfinite(score).all()


def test_a_reference_set_finds_the_group_by_its_share_of_it() -> None:
    pictures = natural(900, 3)
    planted = np.arange(900) % 10 == 0
    pictures[planted] = overlay("mixed in", pictures[planted])
    out = outlying(shared_pattern(pictures, max_reference=300), 10)
    assert out[planted].mean() > 0.95
    assert out[~planted].mean() < 0.02


def test_pictures_of_any_size_are_averaged_down() -> None:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    large = small.repeat(3, 0).repeat(2, 1)
    assert np.array_equal(thumbnails([small, large]), [small, small])


def test_few_pictures_and_wrong_input() -> None:
    assert shared_pattern(natural(1, 0)).tolist() == [0.0]
    assert shared_pattern(natural(2, 0), k=8).shape == (2,)
    with pytest.raises(ValueError, match="uint8"):
        shared_pattern(natural(3, 0).astype(np.float32))
    with pytest.raises(ValueError, match="give 1 or more"):
        shared_pattern(natural(3, 0), k=0)
