"""Overlays against the formula in loops; their bearers are found by a trace, and nothing that is alike by nature."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeclip.signals.overlays import overlays
from safeclip.signals.whitening import Whitening
from tests.signals.natural import natural

COUNT = 600


def overlaid(share_N: np.ndarray, seed: int = 0) -> np.ndarray:
    """Natural pictures, of each the share of one pattern mixed in."""
    pattern = np.random.default_rng(seed).integers(0, 256, (32, 32, 3))
    share = share_N[:, None, None, None]
    return ((1 - share) * natural(len(share_N), seed + 1) + share * pattern).astype(np.uint8)


def slow(pictures: np.ndarray, accused: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    whiten = Whitening.of(pictures)
    fine = whiten(pictures).flatten(1).numpy().astype(np.float64)
    mean = pictures.mean(0, keepdims=True) / 255
    spectrum = np.fft.rfft2((mean - mean.mean((1, 2), keepdims=True)).transpose(0, 3, 1, 2)) / whiten.amplitude.numpy()
    spectrum[..., 0, 0] = 0
    taken_off = np.fft.irfft2(spectrum, s=(32, 32)).ravel()
    bears, second, found = np.zeros(len(pictures), bool), np.ones(len(pictures)), []
    for i in np.flatnonzero(accused):
        others = sorted((j for j in range(len(pictures)) if j != i), key=lambda j: -(fine[j] @ fine[i]))[:k]
        t = sum(fine[j] for j in [i, *others])
        t /= np.linalg.norm(t)
        trace = fine @ t - np.median(fine @ t)
        limit = 7 * np.median(np.abs(trace))
        bearers = [j for j in np.argsort(-trace) if trace[j] > limit]
        if len(bearers) < 16:
            continue
        values, vectors = np.linalg.eigh(fine[bearers[:64]] @ fine[bearers[:64]].T)
        t = vectors[:, -1] * np.sign(vectors[:, -1].sum()) @ fine[bearers[:64]]
        t /= np.linalg.norm(t)
        second[i] = values[-2] / values[-1]
        signed = len(bearers) >= 64 and (trace < -limit).sum() <= 0.1 * len(bearers)
        bare = t @ taken_off / np.linalg.norm(taken_off) <= -0.2
        if second[i] < (0.2 if signed and not bare else 0.09) and not any(t @ other > 0.5 for other in found):
            found.append(t)
    for t in found:
        trace = fine @ t
        middle = np.median(trace)
        bears |= trace > middle + 7 * np.median(np.abs(trace - middle))
    return bears, second


@settings(max_examples=12, deadline=None)
@given(count=st.integers(16, 160), k=st.integers(1, 9), chunk=st.integers(1, 99))
def test_it_is_the_formula_whatever_the_chunk(count: int, k: int, chunk: int) -> None:
    pictures = overlaid(np.where(np.arange(count) % 4 == 0, 0.4, 0.0), seed=count)
    accused = np.arange(count) % 3 > 0
    bears, second = overlays(pictures, accused, k=k, chunk=chunk)
    slow_bears, slow_second = slow(pictures, accused, k)
    assert second == pytest.approx(slow_second, abs=1e-4)
    assert np.array_equal(bears, slow_bears)


@pytest.mark.parametrize("strength", ["one", "all"])
def test_who_bears_an_overlay_is_found_by_a_trace_of_it_and_nobody_else(strength: str) -> None:
    there = np.arange(COUNT) < 80
    share = np.where(there, 0.35 if strength == "one" else 0.4 * 0.2 ** (np.arange(COUNT) / 80), 0.0)
    bears, second = overlays(overlaid(share), np.arange(COUNT) < 20)
    assert np.array_equal(bears, there), "three in four were not accused"
    assert second[:20].max() < 0.09
    assert (second[20:] == 1).all()


@pytest.mark.parametrize("at_once", [1, 64])
def test_two_overlays_are_told_apart(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safeclip.signals.overlays._AT_ONCE", at_once)
    share = np.where(np.arange(COUNT) < 40, 0.35, 0.0)
    one, other = overlaid(share), overlaid(share, seed=9)[::-1]
    pictures = np.where(np.arange(COUNT)[:, None, None, None] < 300, one, other)
    bears, _ = overlays(pictures, np.isin(np.arange(COUNT), [*range(30), *range(590, 600)]))
    assert np.array_equal(np.flatnonzero(bears), [*range(40), *range(560, 600)])


def mixed(several: np.ndarray, weights_NP: np.ndarray) -> np.ndarray:
    """Natural pictures, of the first N each of the patterns mixed in, of each as much as the weights say."""
    pictures = natural(COUNT, 5).astype(float)
    pictures[: len(weights_NP)] *= 0.5
    pictures[: len(weights_NP)] += 64 + np.einsum("np,phwc->nhwc", weights_NP, several)
    return pictures.clip(0, 255).astype(np.uint8)


def test_what_is_alike_in_several_ways_or_changes_sides_is_alike_by_nature() -> None:
    rng = np.random.default_rng(3)
    several = rng.uniform(-64, 64, (3, 32, 32, 3))
    accused = np.arange(COUNT) < 90
    bears, second = overlays(mixed(several, rng.normal(0, 1, (90, 3))), accused)
    assert second[:90].min() > 0.09
    assert not bears.any()
    assert not overlays(natural(COUNT, 5), accused)[0].any()


def test_several_patterns_mixed_anew_for_each_picture_have_a_sign() -> None:
    rng = np.random.default_rng(3)
    several = rng.uniform(-64, 64, (3, 32, 32, 3))
    accused = np.arange(COUNT) < 90
    bears, second = overlays(mixed(several, rng.dirichlet(np.ones(3), 90)), accused)
    assert np.median(second[:90]) > 0.09, "they are more than one"
    assert bears[:90].mean() > 0.95
    assert bears[90:].mean() < 0.01


def test_an_overlay_that_two_pictures_hardly_show_in_common_is_told_by_its_sign() -> None:
    there = np.arange(2 * COUNT) < 100
    bears, second = overlays(overlaid(np.where(there, 0.13, 0.0)), np.arange(2 * COUNT) < 10)
    assert second[:10].min() > 0.09
    assert bears[there].mean() > 0.95
    assert bears[~there].mean() < 0.01


def test_few_that_hardly_show_a_pattern_and_a_pattern_that_changes_sides_are_no_overlay() -> None:
    there = np.arange(2 * COUNT) < 50
    bears, second = overlays(overlaid(np.where(there, 0.15, 0.0)), np.arange(2 * COUNT) < 10)
    assert 0.09 < second[:10].min() < 0.2
    assert not bears.any()
    pattern = np.random.default_rng(0).uniform(-128, 128, (32, 32, 3))
    side = np.where(np.arange(2 * COUNT) < 90, 1, -1) * (np.arange(2 * COUNT) < 150)
    pictures = 0.87 * natural(2 * COUNT, 1) + 17 + 0.13 * side[:, None, None, None] * pattern
    bears, second = overlays(pictures.clip(0, 255).astype(np.uint8), np.arange(2 * COUNT) < 10)
    assert 0.09 < second[:10].min() < 0.2
    assert not bears.any()


def test_pictures_without_detail_share_the_mean_picture_that_was_taken_off_them_and_no_overlay() -> None:
    pictures = natural(COUNT, 5)
    pictures[:80] = pictures[:80].mean((1, 2), keepdims=True)
    pictures[:80, :16] += np.arange(80, dtype=np.uint8)[:, None, None, None] % 9 + 4  # or they would be flat
    bears, second = overlays(pictures, np.arange(COUNT) < 80)
    assert second[:80].max() < 1
    assert not bears.any()


def test_a_few_are_no_overlay() -> None:
    there = np.arange(COUNT) < 12
    bears, second = overlays(overlaid(np.where(there, 0.4, 0.0)), there)
    assert not bears.any()
    assert (second == 1).all()


def test_where_nobody_is_accused_or_hardly_a_picture_is_there_is_no_overlay() -> None:
    assert not overlays(natural(50, 0), np.zeros(50, bool))[0].any()
    assert not overlays(natural(15, 0), np.ones(15, bool))[0].any()
    assert overlays(np.zeros((0, 32, 32, 3), np.uint8), np.zeros(0, bool))[0].shape == (0,)
    assert not overlays(np.full((50, 32, 32, 3), 7, np.uint8), np.ones(50, bool))[0].any(), "no pattern at all"


def test_wrong_input_is_named() -> None:
    with pytest.raises(ValueError, match="overlays: 3 pictures, 2 accused"):
        overlays(natural(3, 0), np.zeros(2, bool))
    with pytest.raises(ValueError, match="k = 0"):
        overlays(natural(3, 0), np.zeros(3, bool), k=0)
