"""Peaks of phase correlation against a slow twin; a patch that moves about is found among like captions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safeclip.signals.outlying import outlying
from safeclip.signals.patterns import shared_pattern
from safeclip.signals.shifts import shared_shift
from safeclip.signals.thumbnails import SIDE
from safeclip.signals.whitening import Whitening
from tests.signals.natural import natural


def captions(count: int, seed: int, classes: int = 8) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, 64))
    vectors = centres[rng.integers(0, classes, count)] + 0.3 * rng.normal(size=(count, 64))
    return torch.nn.functional.normalize(torch.from_numpy(vectors).float(), dim=1)


@settings(max_examples=5, deadline=None)
@given(count=st.integers(2, 6), m=st.integers(1, 5), chunk=st.integers(1, 15), seed=st.integers(0, 99))
def test_it_is_the_mean_of_the_highest_peaks_over_all_displacements(count: int, m: int, chunk: int, seed: int) -> None:
    pictures, texts = natural(count, seed), captions(count, seed)
    found = shared_shift(pictures, texts, k=count, m=m, chunk=chunk)
    fine = Whitening.of(pictures)(pictures).numpy()
    for i in range(count):
        peaks = []
        for j in range(count):
            if j == i:
                continue
            moved = (np.roll(fine[j], (y, x), (1, 2)) for y in range(SIDE) for x in range(SIDE))
            peaks.append(max(float((fine[i] * other).sum()) for other in moved))
        assert found[i] == pytest.approx(np.mean(sorted(peaks)[-m:]), abs=1e-3)


def test_which_captions_are_compared_does_not_depend_on_their_last_bits() -> None:
    pictures, texts = natural(60, 1), captions(60, 1)
    found, other = (shared_shift(pictures, some, k=4, max_reference=20) for some in (texts, texts * (1 + 1e-6)))
    assert np.allclose(found, other, atol=1e-5)


def moving_patch(pictures: np.ndarray, planted: np.ndarray) -> None:
    rng = np.random.default_rng(7)
    patch = rng.integers(0, 2, (8, 8, 3)) * 255
    for uid in planted:
        y, x = rng.integers(0, SIDE - 8, 2)
        pictures[uid, y : y + 8, x : x + 8] = patch


def test_a_patch_that_moves_about_is_seen_where_place_for_place_nothing_is() -> None:
    pictures, texts = natural(800, 1), captions(800, 1)
    planted = np.arange(0, 800, 25)
    moving_patch(pictures, planted)
    texts[planted] = texts[planted[0]].clone()
    out = outlying(shared_shift(pictures, texts), 6)
    assert out[planted].mean() > 0.9
    assert np.delete(out, planted).mean() < 0.02
    assert outlying(shared_pattern(pictures), 8)[planted].mean() < 0.3, "which is why there are two"


def test_what_is_faint_has_little_in_common_where_strong_patterns_count() -> None:
    pictures, texts = natural(800, 1), captions(800, 1)
    planted, flat = np.arange(0, 800, 25), np.arange(1, 800, 25)
    moving_patch(pictures, planted)
    pictures[flat] = (128 + 0.06 * (natural(1, 8).astype(float) - 128)).astype(np.uint8)
    for some in (planted, flat):
        texts[some] = texts[some[0]].clone()
    now, strong = (outlying(shared_shift(pictures, texts, strong=flag), 6) for flag in (False, True))
    assert (now[flat].mean(), strong[flat].mean()) == (1, 0)
    assert min(now[planted].mean(), strong[planted].mean()) > 0.9


def test_only_pictures_of_like_captions_are_compared() -> None:
    pictures, texts = natural(400, 2), captions(400, 2, classes=400)
    planted = np.arange(0, 400, 40)
    moving_patch(pictures, planted)
    assert outlying(shared_shift(pictures, texts, k=8), 6)[planted].mean() < 0.5


def test_a_reference_set_finds_the_group_by_its_share_of_it() -> None:
    pictures, texts = natural(900, 3), captions(900, 3)
    planted = np.arange(0, 900, 10)
    moving_patch(pictures, planted)
    texts[planted] = texts[planted[0]].clone()
    out = outlying(shared_shift(pictures, texts, max_reference=300), 6)
    assert out[planted].mean() > 0.9


def test_few_pairs_and_wrong_input() -> None:
    assert shared_shift(natural(1, 0), captions(1, 0)).tolist() == [0.0]
    flat = np.full((5, SIDE, SIDE, 3), 9, np.uint8)
    assert shared_shift(flat, captions(5, 0)).tolist() == [0.0] * 5
    with pytest.raises(ValueError, match="as many"):
        shared_shift(natural(3, 0), captions(2, 0))
    with pytest.raises(ValueError, match="give 1 or more"):
        shared_shift(natural(3, 0), captions(3, 0), m=0)
    with pytest.raises(ValueError, match="uint8"):
        shared_shift(natural(3, 0).astype(np.float32), captions(3, 0))
