"""EDA: what each operation may do to a caption, for any caption."""

from __future__ import annotations

import string
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeclip.data.draws import uniforms
from safeclip.data.text_views import MAX_CHARS, MAX_WORDS, TEXT_DRAWS, _table, eda, synonyms

REPLACE, INSERT, SWAP, DELETE = 0.0, 0.25, 0.5, 0.75
LAST = 1 - 2**-53
CAPTION = "A photo of a small dog, playing on the beach near 2 big boats!"

seed = st.floats(0, LAST)
strengths = st.floats(0.01, 1.0)
known = st.sampled_from(
    ["dog", "photo", "car", "big", "Small", "beach,", "happy", "PICTURE", "house", "boat.", "red", "child"]
)
any_word = st.text(min_size=1, max_size=8).filter(lambda w: w.split() == [w])
captions = st.lists(known | any_word, min_size=1, max_size=30).map(" ".join)


def view(caption: str, operation: float, seed: float = 0.3, strength: float = 0.1) -> list[str]:
    return eda(caption, np.array([operation, seed]), strength).split()


def touched(words: list[str], strength: float) -> int:
    return max(1, int(strength * len(words)))


def core(word: str) -> str:
    return word.strip(string.punctuation).lower()


@settings(max_examples=300)
@given(captions, st.floats(0, LAST), seed, strengths)
def test_a_view_is_never_empty_and_its_words_are_the_captions_or_their_synonyms(
    caption: str, operation: float, seed: float, strength: float
) -> None:
    words, found = caption.split(), view(caption, operation, seed, strength)
    allowed = {core(w) for w in words} | {s for w in words for s in synonyms(w)}
    allowed |= {core(s) for w in words for s in synonyms(w)}
    assert found
    assert {core(w) for w in found} <= allowed


@given(captions, seed, strengths)
def test_replacement_changes_at_most_n_words_each_to_its_own_synonym(
    caption: str, seed: float, strength: float
) -> None:
    words, found = caption.split(), view(caption, REPLACE, seed, strength)
    assert len(found) == len(words)
    changed = [(a, b) for a, b in zip(words, found, strict=True) if a != b]
    assert len(changed) == min(touched(words, strength), sum(bool(synonyms(w)) for w in words))
    for before, after in changed:
        assert core(after) in synonyms(before)
        assert before.lower().replace(core(before), core(after)) == after.lower()


@given(captions, seed, strengths)
def test_insertion_adds_n_synonyms_and_keeps_the_rest_in_order(caption: str, seed: float, strength: float) -> None:
    words, found = caption.split(), view(caption, INSERT, seed, strength)
    offered = {s for w in words for s in synonyms(w)}
    added = Counter(found) - Counter(words)
    assert len(found) == len(words) + (touched(words, strength) if offered else 0)
    assert set(added) <= offered
    rest = iter(found)
    assert all(word in rest for word in words)


@given(captions, seed, strengths)
def test_swaps_keep_the_multiset_and_move_at_most_2n_words(caption: str, seed: float, strength: float) -> None:
    words, found = caption.split(), view(caption, SWAP, seed, strength)
    assert Counter(found) == Counter(words)
    assert sum(a != b for a, b in zip(words, found, strict=True)) <= 2 * touched(words, strength)


@given(captions, seed, strengths)
def test_deletion_takes_n_words_keeps_one_and_the_order(caption: str, seed: float, strength: float) -> None:
    words, found = caption.split(), view(caption, DELETE, seed, strength)
    assert len(found) == max(1, len(words) - touched(words, strength))
    rest = iter(words)
    assert all(word in rest for word in found)


def test_a_swap_of_two_words_swaps_them() -> None:
    assert all(view("left right", SWAP, s) == ["right", "left"] for s in np.linspace(0, LAST, 50))


def test_the_four_operations_are_equally_likely_and_all_places_are_reached() -> None:
    words = [f"w{i}" for i in range(6)] + ["dog", "photo", "car", "beach"]
    draws = uniforms(0, 0, np.arange(4000), 0, TEXT_DRAWS)
    views = [eda(" ".join(words), d, 0.1).split() for d in draws]
    lengths = Counter(len(v) for v in views)
    assert lengths[9] / 4000 == pytest.approx(0.25, abs=0.03)
    assert lengths[11] / 4000 == pytest.approx(0.25, abs=0.03)
    swapped = sum(Counter(v) == Counter(words) for v in views)
    assert swapped / 4000 == pytest.approx(0.25, abs=0.03)
    deleted = Counter(next(w for w in words if w not in v) for v in views if len(v) == 9)
    assert set(deleted) == set(words)
    assert max(deleted.values()) < 2 * min(deleted.values())


def test_case_digits_and_punctuation_are_kept() -> None:
    for s in np.linspace(0, LAST, 40):
        found = view(CAPTION, REPLACE, s, 1.0)
        assert found[0] == "A"
        assert "2" in found
        assert found[-1].endswith("!")
        assert found[5].endswith(",")
    assert view("PHOTO", REPLACE)[0].isupper()
    assert view("(Photo)", REPLACE)[0].strip("()").istitle()


@pytest.mark.parametrize(
    "caption", ["42", "!!!", "犬 が 走る", "🐶", "🐶 🐱", "<b>&amp;</b>", "\u202e ok", "a\x00b", "-"]
)
@pytest.mark.parametrize("operation", [REPLACE, INSERT, SWAP, DELETE])
def test_captions_without_letters_survive(caption: str, operation: float) -> None:
    assert set(view(caption, operation, strength=1.0)) <= set(caption.split())
    assert view(caption, operation, strength=1.0)


@pytest.mark.parametrize("caption", ["", " ", "\t\n"])
def test_a_caption_without_words_comes_back_as_it_is(caption: str) -> None:
    assert eda(caption, np.array([0.1, 0.2]), 0.1) == caption


def test_strength_zero_touches_nothing() -> None:
    for draws in uniforms(0, 0, np.arange(40), 0, TEXT_DRAWS):
        assert eda(CAPTION, draws, 0.0) == CAPTION


@pytest.mark.parametrize("caption", ["x" * 10_000_000, "dog " * 2_500_000, " " * 10_000_000 + "dog"])
def test_a_10_mb_caption_is_cut_and_quick(caption: str) -> None:
    start = time.perf_counter()
    for operation in (REPLACE, INSERT, SWAP, DELETE):
        found = eda(caption, np.array([operation, 0.5]), 1.0)
        assert len(found) <= 2 * MAX_CHARS
        assert len(found.split()) <= 2 * MAX_WORDS
    assert time.perf_counter() - start < 1


def test_a_view_is_a_function_of_its_draws() -> None:
    draws = uniforms(0, 0, np.arange(200), 0, TEXT_DRAWS)
    first, second = ([eda(CAPTION, d, 0.1) for d in draws] for _ in range(2))
    assert first == second
    assert len(set(first)) > 60
    # Pinned: Python and NumPy may change, views of a resumed run may not.
    assert first[:3] == [
        "A photo of a small dog, playing on the beach near 2 boats! big",
        "A photo of a small dog, playing on the beach close 2 big boats!",
        "A photograph of a small dog, playing on the beach near 2 big boats!",
    ]


@pytest.mark.parametrize("operation", [0.0, LAST, 1.0])
@pytest.mark.parametrize("value", [0.0, LAST, 1.0])
def test_extreme_draws_are_safe(operation: float, value: float) -> None:
    assert eda(CAPTION, np.array([operation, value]), 1.0)


def test_the_table_holds_common_single_words_and_no_word_is_its_own_synonym() -> None:
    assert "automobile" in synonyms("Car,")
    assert synonyms("the") == ()
    assert synonyms("qwxz") == ()
    assert len(_table()) > 10_000
    for word, others in _table().items():
        assert others
        assert word not in others
        assert len(set(others)) == len(others)
        assert all(other.isascii() and other.isalpha() and other.islower() for other in (word, *others))
