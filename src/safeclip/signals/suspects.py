"""Which words do accused pairs share far more often than chance has it? Whoever plants pairs plants many under one
meaning; where most of them are found, those that were missed say the same words.

    z_w = (a_w - n_w p) / sqrt(n_w p (1 - p))        a_w of the n_w pairs with the word w are accused, p of all pairs

A pair is suspect if a word of its captions has a high z_w and more than three times the usual share of accused pairs.
Two kinds of words are not suspect, since their pairs are alike by nature. One with many pairs that were cleared: more
than a quarter of those that had been accused. And one whose pairs a score accuses of which most lean that way: those
accused are the tail of one hump, where planted ones are a hump of their own, far from the word's true pairs.
Each word is asked as it stands, and once more with its plural ("barelands" is "bareland"): who plants captions of a
class plants both, but where he plants one, the other's true pairs would hide it.
What must stay true: suspicion is no verdict, for a class's own true pairs say its name too. Whoever asks must look at
each pair again.
"""

from __future__ import annotations

import numpy as np

from safeclip.signals.phrases import asked
from safeclip.signals.words import singular

_TIMES = 3.0
"""Times the usual share."""
_CLEARED = 0.25
"""Share of a word's pairs, of those accused and those cleared: where planted pairs lie, hardly any are cleared."""
_APART = 3.25
"""Deviations between the medians of a word's pairs that are accused and those that are not: of classes that are a
texture, at most 2.9 were seen where z_w was above 11; of planted pairs 3.4 and more."""
_MOST = 0.6
"""Share of accused pairs from which a word's others are too few to compare with: all its pairs may be planted."""


def suspects(
    ids_NW: np.ndarray,
    accused_N: np.ndarray,
    cleared_N: np.ndarray | None = None,
    lean_N: np.ndarray | None = None,
    chance: float = 11.0,
) -> np.ndarray:
    """Bool (N,): pairs that have a suspect word.

    ids_NW: uint64 (N, W) (`words.word_ids`). accused_N: bool. cleared_N: bool, none of them accused; None clears no
    pair. lean_N: float (N,), the score that accuses pairs, in deviations; NaN of those that something else accuses;
    None: no score does. chance: what z_w must exceed; 11 is more than words reach by chance.

    Raises:
        ValueError: not as many accused, cleared or scores as pairs.
    """
    cleared_N = np.zeros(len(accused_N), bool) if cleared_N is None else cleared_N
    lean_N = np.full(len(accused_N), np.nan) if lean_N is None else lean_N
    if ids_NW.ndim != 2 or not len(ids_NW) == len(accused_N) == len(cleared_N) == len(lean_N):
        raise ValueError(
            f"suspects: words {ids_NW.shape}, {len(accused_N)} accused, {len(cleared_N)} cleared, {len(lean_N)} "
            "scores; give (N, W), and (N,) of the others"
        )
    out_N = np.zeros(len(ids_NW), bool)
    for form_NW in (ids_NW, singular(ids_NW)):
        out_N |= _of_form(form_NW, accused_N, cleared_N, lean_N, chance)
    return out_N


def _of_form(
    ids_NW: np.ndarray, accused_N: np.ndarray, cleared_N: np.ndarray, lean_N: np.ndarray, chance: float
) -> np.ndarray:
    """Bool (N,): pairs that have a suspect word among these."""
    usual = float(accused_N.mean()) if len(accused_N) else 0.0
    row_E, word_E, words = asked(ids_NW, rarer=True)
    out_N = np.zeros(len(ids_NW), bool)
    if not 0 < usual < 1 or not words:
        return out_N
    pairs_V = np.bincount(word_E, minlength=words)
    accused_V = np.bincount(word_E[accused_N[row_E]], minlength=words)
    cleared_V = np.bincount(word_E[cleared_N[row_E]], minlength=words)
    suspect_V = _many(accused_V, pairs_V, usual, chance) & (cleared_V <= _CLEARED * (accused_V + cleared_V))
    asked_V = np.flatnonzero(suspect_V & (accused_V < _MOST * pairs_V))
    for word, rows in zip(asked_V, _rows(row_E, word_E, asked_V), strict=True):
        accused_V[word] -= _tail(accused_N[rows], lean_N[rows])
    suspect_V &= _many(accused_V, pairs_V, usual, chance)
    out_N[row_E[suspect_V[word_E]]] = True
    return out_N


def _many(accused_V: np.ndarray, pairs_V: np.ndarray, usual: float, chance: float) -> np.ndarray:
    """Bool (V,): words of far more accused pairs than the usual share of them."""
    z_V = (accused_V - pairs_V * usual) / np.sqrt(np.maximum(pairs_V, 1) * usual * (1 - usual))
    many: np.ndarray = (z_V > chance) & (accused_V > _TIMES * usual * pairs_V)
    return many


def _rows(row_E: np.ndarray, word_E: np.ndarray, asked_V: np.ndarray) -> list[np.ndarray]:
    """The pairs of each of these words, which ascend."""
    some_E = np.isin(word_E, asked_V)
    row_E, word_E = row_E[some_E], word_E[some_E]
    order_E = np.argsort(word_E, kind="stable")
    return np.split(row_E[order_E], np.searchsorted(word_E[order_E], asked_V[1:])) if len(asked_V) else []


def _tail(accused_M: np.ndarray, lean_M: np.ndarray) -> int:
    """How many of a word's pairs are accused by the score as the tail of one hump; 0 where they stand apart."""
    tail_M = accused_M & ~np.isnan(lean_M)
    others_M = ~accused_M & ~np.isnan(lean_M)
    if not tail_M.any() or not others_M.any() or np.median(lean_M[tail_M]) - np.median(lean_M[others_M]) > _APART:
        return 0
    return int(tail_M.sum())
