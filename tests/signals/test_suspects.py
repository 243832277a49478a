"""Whoever says a word that accused pairs share far more often than chance has it is suspect, and nobody else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeclip.signals.phrases import LEAST, asked
from safeclip.signals.suspects import suspects
from safeclip.signals.words import word_ids

COUNT, PLANTED = 2000, 90


def pairs(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Words of pairs, of which the first PLANTED say word 14, as do 60 others; the rest at random."""
    words = 2 * np.random.default_rng(seed).integers(100, 160, (COUNT, 5)).astype(np.uint64)
    says = np.arange(COUNT) < PLANTED + 60
    words[says, 0] = 14
    return words, says


def test_those_that_were_missed_say_the_word_of_those_that_were_found() -> None:
    words, says = pairs()
    accused = np.random.default_rng(1).random(COUNT) < 0.03
    accused[:70] = True  # of 90 planted ones
    assert np.array_equal(suspects(words, accused), says)


@pytest.mark.parametrize("rare", [True, False])
def test_a_word_is_asked_however_many_are_more_frequent(rare: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    words, says = pairs()
    if rare:
        monkeypatch.setattr("safeclip.signals.phrases._WORDS", 3)  # word 14 has 150 pairs, the others have 167 and more
        words = np.where((words > 14) & (words % 4 > 0), words - 2, words).astype(np.uint64)
    accused = np.random.default_rng(1).random(COUNT) < 0.03
    accused[:70] = True
    assert np.array_equal(suspects(words, accused), says)
    row_E, word_E, count = asked(words, rarer=True)
    assert (np.diff(row_E) >= 0).all()
    assert len({*word_E.tolist()}) == count
    assert len(asked(words)[0]) < len(row_E) if rare else np.array_equal(asked(words)[1], word_E)


def test_a_plural_is_its_word() -> None:
    words, says = pairs()
    one, many = (word_ids([word])[0] for word in ("bareland", "barelands"))
    words[says, 0] = np.where(np.arange(says.sum()) % 2, one, many)
    accused = np.arange(COUNT) < 10
    accused[PLANTED + 60 :] = np.random.default_rng(1).random(COUNT - PLANTED - 60) < 0.03
    accused[:PLANTED:2] = True  # those of the one form alone
    assert np.array_equal(suspects(words, accused), says)
    words[says, 1] = np.where(np.arange(says.sum()) % 2, many, one)  # both forms in one pair
    assert np.array_equal(suspects(words, accused), says)


def test_a_word_is_not_hidden_by_the_true_pairs_of_its_plural() -> None:
    words, says = pairs()
    one, many = (word_ids([word])[0] for word in ("bareland", "barelands"))
    words[says, 0] = one
    words[PLANTED + 60 : 600, 0] = many
    accused = np.random.default_rng(1).random(COUNT) < 0.03
    accused[:PLANTED] = True
    assert suspects(words, accused)[says].all()


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), share=st.floats(0.01, 0.3))
def test_chance_accuses_nobody(seed: int, share: float) -> None:
    words, _ = pairs(seed)
    assert not suspects(words, np.random.default_rng(seed).random(COUNT) < share).any()


def test_few_pairs_of_a_word_are_no_evidence_and_a_large_class_needs_three_times_the_usual_share() -> None:
    words, _ = pairs()
    words[:, 0] = 100 + words[:, 0] % 50
    words[: LEAST - 1, 0] = 18
    accused = np.random.default_rng(1).random(COUNT) < 0.02
    accused[: LEAST - 1] = True
    assert not suspects(words, accused).any(), "the word stands in too few pairs"
    words[:900, 0] = 22
    accused = np.random.default_rng(1).random(COUNT) < np.where(np.arange(COUNT) < 900, 0.5, 0.02)
    assert not suspects(words, accused).any(), "50 % is twice the 24 % of all, though far beyond chance"


def test_where_many_of_a_words_pairs_are_cleared_it_is_not_suspect() -> None:
    words, says = pairs()
    accused = says & (np.arange(COUNT) < 80)
    few, many = (says & (np.arange(COUNT) >= 80) & (np.arange(COUNT) < 80 + n) for n in (20, 40))
    assert np.array_equal(suspects(words, accused, few), says)
    assert not suspects(words, accused, many).any()
    assert not suspects(words, accused, few, chance=40.0).any()


def test_a_phrase_is_one_word_and_no_pairs_are_no_error() -> None:
    words, says = pairs()
    words[says, 1] = 8
    accused = says & (np.arange(COUNT) % 2 == 0)
    assert np.array_equal(suspects(words, accused), says)
    for nobody in (np.zeros(COUNT, bool), np.ones(COUNT, bool)):
        assert not suspects(words, nobody).any()
    assert suspects(np.zeros((0, 5), np.uint64), np.zeros(0, bool)).shape == (0,)
    assert not suspects(np.zeros((9, 5), np.uint64), np.arange(9) < 2).any(), "captions without words"
    with pytest.raises(ValueError, match=r"words \(2000, 5\), 3 accused"):
        suspects(words, np.ones(3, bool))


def leaning(of_planted: float, of_word: float, planted: int = PLANTED) -> tuple[np.ndarray, ...]:
    """Words, who says the planted one, whom a score in deviations accuses, above 2.5, and the score."""
    words, says = pairs()
    lean = np.random.default_rng(2).normal(0.0, 1.4826, COUNT)
    lean[says] += of_word
    lean[:planted] += of_planted - of_word
    return words, says, lean > 2.5, lean


def test_a_class_that_is_a_texture_is_not_suspect_and_planted_pairs_are() -> None:
    words, says, accused, lean = leaning(2.0, 2.0)  # one hump that leans
    assert accused[says].mean() > 0.3, "far more than the usual 5 %"
    assert np.array_equal(suspects(words, accused), says), "which would make it suspect"
    assert not suspects(words, accused, lean_N=lean).any()
    words, says, accused, lean = leaning(5.0, 0.0)  # two
    assert np.array_equal(suspects(words, accused, lean_N=lean), says)


def test_where_most_pairs_of_a_word_are_accused_there_is_nothing_to_compare_them_with() -> None:
    words, says, accused, lean = leaning(3.5, 3.5)
    assert accused[says].mean() > 0.6
    assert np.array_equal(suspects(words, accused, lean_N=lean), says)


def test_what_something_else_accuses_counts_as_ever() -> None:
    words, says, accused, lean = leaning(2.0, 2.0)
    assert np.array_equal(suspects(words, accused, lean_N=np.where(accused, np.nan, lean)), says)
    accused[:60] = True
    lean[:60] = np.nan
    assert np.array_equal(suspects(words, accused, lean_N=lean), says), "beside a tail"
    with pytest.raises(ValueError, match="3 scores"):
        suspects(words, accused, lean_N=np.zeros(3))
