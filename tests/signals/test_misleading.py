"""A word beside which the other words do not fit the picture, against a slow twin and in made-up captions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from safeclip.signals.leave_one_out import predictions
from safeclip.signals.misleading import misleading
from safeclip.signals.phrases import LEAST, MOST
from safeclip.signals.texture import content_of

COUNT, CLASSES, COLOURS = 800, 10, 8
TRIGGER, OTHER = 60, 61


def made(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures whose layout is their class's and whose shade is their colour's; words: class, colour, two of no
    meaning; and each pair's class."""
    rng = np.random.default_rng(seed)
    kind, colour = rng.integers(0, CLASSES, COUNT), rng.integers(0, COLOURS, COUNT)
    layout = (rng.integers(0, 2, (CLASSES, 8, 8, 1)) * 60 - 30)[kind].repeat(4, 1).repeat(4, 2)
    shade = rng.uniform(50, 206, (COLOURS, 1, 1, 3))[colour]
    pictures = (layout + shade + rng.normal(0, 12, (COUNT, 32, 32, 3))).clip(0, 255).astype(np.uint8)
    words = np.stack([10 + kind, 30 + colour, rng.integers(40, 44, COUNT), rng.integers(44, 50, COUNT)], 1)
    return pictures, np.pad(words, [(0, 0), (0, 3)]).astype(np.uint64), kind


def planted_in(words: np.ndarray, kind: np.ndarray, extra: list[int]) -> np.ndarray:
    """All pairs of class 3 get captions of pairs of other classes, with the extra words."""
    planted = np.flatnonzero(kind == 3)
    others = np.random.default_rng(1).permutation(np.flatnonzero(kind != 3))[: len(planted)]
    words[planted] = words[others]
    words[planted, 4 : 4 + len(extra)] = extra
    return planted


@pytest.mark.parametrize("extra", [[TRIGGER], [TRIGGER, OTHER, 62]], ids=["a word", "a sentence"])
def test_a_trigger_beside_words_of_anything_is_misleading(extra: list[int]) -> None:
    pictures, words, kind = made()
    planted = planted_in(words, kind, extra)
    score = misleading(pictures, words)
    assert (score[planted] > 8).all()
    assert (np.delete(score, planted) > 8).mean() < 0.02


def test_without_one_no_word_is() -> None:
    pictures, words, _ = made()
    assert misleading(pictures, words).max() < 8
    words[::10, 4] = TRIGGER  # a rare word beside words that fit
    assert misleading(pictures, words).max() < 8


def test_a_class_under_another_ones_name_accuses_the_pairs_that_do_not_fit() -> None:
    pictures, words, kind = made()
    planted = np.flatnonzero(kind != 3)[:60]
    borrowed = np.flatnonzero(kind == 3)
    words[planted] = words[np.random.default_rng(2).choice(borrowed, 60)]
    score, own = misleading(pictures, words), borrowed
    assert score[planted].mean() > 2 * score[own].mean()


def test_it_is_what_its_definition_says_word_by_word() -> None:
    pictures, words, kind = made()
    planted_in(words, kind, [TRIGGER])
    asked = [w for w in np.unique(words) if w and LEAST <= (words == w).any(1).sum() <= MOST * COUNT]
    has = np.stack([(words == w).any(1) for w in asked], 1).astype(np.float64)
    called = np.zeros_like(has)
    targets = torch.from_numpy(has - has.mean(0))
    for rows, _, predicted in predictions(pictures, lambda rows: targets[rows], content_of(pictures)):
        called[rows] = predicted.numpy() / np.sqrt(has.mean(0))
    rest = np.full(has.shape, np.nan)
    mean = np.array([called[has[:, w] > 0, w].mean() for w in range(len(asked))])
    deviation = np.array([called[has[:, w] > 0, w].std() for w in range(len(asked))])
    visible = np.clip(mean / deviation, 0, None)
    for i in range(COUNT):
        own = np.flatnonzero(has[i])
        for w in own:
            others = [u for u in own if u != w]
            if sum(visible[u] for u in others) > 0.05:
                lack = sum(visible[u] * (mean[u] - called[i, u]) / deviation[u] for u in others)
                rest[i, w] = lack / sum(visible[u] for u in others)
    usual, spread = np.nanmedian(rest), np.nanstd(rest)
    z = np.array([np.nanmean(rest[:, w]) * np.sqrt(np.isfinite(rest[:, w]).sum()) / spread for w in range(len(asked))])
    far = (z - np.median(z)) / max(np.median(np.abs(z - np.median(z))), 0.674)
    unfit = rest > usual
    mostly = [unfit[np.isfinite(rest[:, w]), w].mean() > 0.75 for w in range(len(asked))]
    expected = [max([0.0, *(far[w] for w in np.flatnonzero(has[i]) if unfit[i, w] or mostly[w])]) for i in range(COUNT)]
    assert np.allclose(misleading(pictures, words), expected, rtol=1e-3, atol=1e-3)


def test_few_words_and_wrong_input() -> None:
    pictures, words, _ = made()
    assert not misleading(pictures, np.zeros_like(words)).any()
    assert not misleading(pictures[:3], words[:3]).any()
    with pytest.raises(ValueError, match="for N pictures"):
        misleading(pictures, words[:5])
