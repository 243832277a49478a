"""Patterns that are tied to no caption, against a slow twin: frames and watermarks are, whatever lies beside them; what
an attacker laid over pictures is not, be it few of them or hidden among many."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeclip.signals.untied import untied
from safeclip.signals.whitening import Whitening
from safeclip.signals.words import WIDTH
from tests.signals.natural import natural

COUNT = 1200
CLASSES = 20


def captions(count: int, seed: int = 0) -> np.ndarray:
    """Word ids (N, 5): one of the pair's class, three of anything, and room for another."""
    ids = np.random.default_rng(seed).integers(100, 140, (count, 5)).astype(np.uint64)
    ids[:, 0] = 1 + np.arange(count) % CLASSES
    ids[:, 4] = 0
    return ids


def marked(pictures: np.ndarray, some: np.ndarray) -> np.ndarray:
    """With one mark at one place on some of them."""
    out = pictures.copy()
    out[some, -8:, -8:] = np.random.default_rng(5).integers(0, 256, (8, 8, 3))
    return out


def asked(pictures: np.ndarray, ids: np.ndarray, accused: np.ndarray, **settings: Any) -> np.ndarray:
    """With captions that all fit their pictures."""
    fits = np.ones(len(ids), np.float32)
    return untied(pictures, ids, accused, fits, ~accused, **settings)


def some_of(among: np.ndarray, count: int) -> np.ndarray:
    return np.isin(np.arange(len(among)), np.random.default_rng(3).permutation(np.flatnonzero(among))[:count])


def slow(pictures: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """p of every pair, in loops; nan where one of its words is in less than eight pairs."""
    pattern = Whitening.of(pictures)(pictures).flatten(1).double().numpy()
    said = [{int(word) for word in row if word} for row in ids]
    found = []
    for i, own in enumerate(said):
        pairs = {word: sum(word in other for other in said) for word in own}
        if min(pairs.values()) < 8:
            found.append(math.nan)
            continue
        others = sorted((j for j in range(len(said)) if j != i), key=lambda j: -float(pattern[i] @ pattern[j]))
        tails = []
        for word in own:
            share = (pairs[word] - 1) / (len(said) - 1)
            for k in (8, 32, 128):
                asked = others[:k]
                have, most = sum(word in said[j] for j in asked), len(asked)
                tails.append(
                    sum(math.comb(most, x) * share**x * (1 - share) ** (most - x) for x in range(have, most + 1))
                )
        found.append(min(tails))
    return np.array(found)


@settings(max_examples=12, deadline=None)
@given(count=st.integers(8, 160), chunk=st.integers(1, 200), at=st.floats(0.05, 0.95), seed=st.integers(0, 99))
def test_it_is_the_least_chance_of_a_word_among_the_most_alike(count: int, chunk: int, at: float, seed: int) -> None:
    pictures = natural(count, seed)
    ids = np.random.default_rng(seed).permuted(np.arange(1, 12)[None].repeat(count, 0), axis=1)[:, :3].astype(np.uint64)
    p = slow(pictures, ids)
    accused = np.arange(count) % 3 > 0
    limit = float(np.nanquantile(p, at)) * 0.999 if not np.isnan(p).all() else 0.5
    clear = ~(abs(p - limit) < 1e-6 * limit)
    found = asked(pictures, ids, accused, chance=limit, chunk=chunk)
    assert np.array_equal(found[clear], (accused & (p >= limit))[clear])


def test_a_watermark_under_captions_of_anything_is_untied_and_the_same_over_one_caption_is_not() -> None:
    ids = captions(COUNT)
    watermarked = some_of(np.ones(COUNT, bool), 150)
    assert asked(marked(natural(COUNT, 1), watermarked), ids, watermarked)[watermarked].mean() > 0.9
    planted = some_of(ids[:, 0] != 7, 60)
    ids[planted, 0] = 7
    assert not asked(marked(natural(COUNT, 1), planted), ids, planted).any()


@pytest.mark.parametrize(("planted_count", "others"), [(9, 0), (9, 20), (40, 120)])
def test_planted_pairs_are_tied_be_they_few_or_hidden_among_more_with_true_captions(
    planted_count: int, others: int
) -> None:
    ids = captions(COUNT)
    with_mark = some_of(ids[:, 0] != 7, planted_count + others)
    planted = some_of(with_mark, planted_count)
    ids[planted, 0] = 7
    pictures = natural(COUNT, 1)
    pictures[:400] = marked(pictures, np.arange(COUNT) < 400)[:400, ::-1]  # another mark, at the top, under anything
    found = asked(marked(pictures, with_mark), ids, with_mark)
    assert found[planted].mean() <= 0.1
    assert found.any() == (others > 0)


def test_nothing_is_said_of_words_that_hardly_another_pair_has_nor_of_none() -> None:
    ids = captions(COUNT)
    watermarked = some_of(np.ones(COUNT, bool), 150)
    pictures = marked(natural(COUNT, 1), watermarked)
    first, others = np.flatnonzero(watermarked)[:30], np.flatnonzero(~watermarked)[:8]
    ids[first[:7], 4] = 5000  # seven pairs have it
    ids[first[7:14], 4] = 5001
    ids[others[:1], 4] = 5001  # and now eight
    ids[first[29]] = 0
    found = asked(pictures, ids, watermarked)
    assert not found[first[:7]].any()
    assert found[first[14:29]].mean() > 0.8
    assert not found[first[29]]
    ids[others, 4] = 5000
    ids[first[:7], 4], ids[first[0], 4] = 0, 5000
    assert asked(pictures, ids, watermarked)[first[0]], "nine pairs have it, and no other with the mark"


def test_one_meaning_in_many_spellings_is_tied_to_no_word_and_does_not_fit() -> None:
    """A tokenizer reads them all alike; other pairs that have each spelling make it known."""
    ids = captions(COUNT)
    planted = some_of(ids[:, 0] != 7, 90)
    ids[planted, 0] = 7000 + np.arange(90) % 30
    ids[~planted, 4] = 7000 + np.arange(COUNT - 90) % 150  # a fifth of these are the spellings
    pictures = marked(natural(COUNT, 1), planted)
    assert asked(pictures, ids, planted)[planted].mean() > 0.5, "words alone let them go"
    fits = np.where(planted, 0.02, 0.2).astype(np.float32)
    assert not untied(pictures, ids, planted, fits, ~planted).any()
    covers = some_of(~planted, 60)
    hidden = marked(pictures, covers)
    found = untied(hidden, ids, planted | covers, fits, ~(planted | covers))
    assert not found[planted].any()
    assert not untied(pictures, ids, planted, -fits, ~planted).any(), "where nothing is foretold, nothing is said"


def test_what_is_not_told_whole_is_not_spared() -> None:
    ids = np.zeros((COUNT, WIDTH), np.uint64)
    ids[:, :4] = captions(COUNT)[:, :4]
    watermarked = some_of(np.ones(COUNT, bool), 150)
    pictures = marked(natural(COUNT, 1), watermarked)
    one = np.flatnonzero(watermarked & asked(pictures, ids, watermarked))[0]
    others = np.flatnonzero(~watermarked)[:40]  # which say the same, and what comes after, too
    ids[np.append(others, one), 4 : WIDTH - 1] = np.arange(200, 195 + WIDTH)
    assert asked(pictures, ids, watermarked)[one]
    ids[np.append(others, one), WIDTH - 1] = 900
    assert not asked(pictures, ids, watermarked)[one]


def test_of_large_data_a_word_must_be_known_in_the_subset_that_is_compared() -> None:
    ids = captions(COUNT)
    watermarked = some_of(np.ones(COUNT, bool), 150)
    first = np.flatnonzero(watermarked)[0]
    ids[first, 4] = 5000
    ids[np.flatnonzero(~watermarked)[:8], 4] = 5000
    pictures = marked(natural(COUNT, 1), watermarked)
    assert asked(pictures, ids, watermarked, max_reference=COUNT)[first]
    assert not asked(pictures, ids, watermarked, max_reference=COUNT // 2)[first]


def test_a_reference_set_says_the_same() -> None:
    ids = captions(COUNT)
    planted = some_of(ids[:, 0] != 7, 120)
    ids[planted, 0] = 7
    assert not asked(marked(natural(COUNT, 1), planted), ids, planted, max_reference=400).any()


def test_nobody_accused_and_wrong_input() -> None:
    ids = captions(40)
    assert not asked(natural(40, 0), ids, np.zeros(40, bool)).any()
    assert not asked(natural(1, 0), ids[:1], np.ones(1, bool)).any()
    with pytest.raises(ValueError, match="40 pictures, 40 lists of words, 39 accused, 40 fits, 39 trusted"):
        asked(natural(40, 0), ids, np.zeros(39, bool))
    with pytest.raises(ValueError, match="give 1 or more"):
        asked(natural(40, 0), ids, np.zeros(40, bool), chunk=0)
