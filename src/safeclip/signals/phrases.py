"""The words of captions that a signal asks about one by one: neither rare nor everywhere; those that always come
together are one, a phrase."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from safeclip.signals.words import counted, place_among

LEAST, MOST = 8, 0.5
"""A word is asked about if it stands in this many pairs at least, and in this share of them at most."""
_WORDS = 4096
"""The most frequent words, which are compared with one another for phrases."""
_TOGETHER = 0.8
"""Two words are one if they stand together in more than this share of the pairs that have either."""


def asked(ids_NW: np.ndarray, rarer: bool = False) -> tuple[np.ndarray, np.ndarray, int]:
    """The words of pairs that are asked about, a phrase once: rows int64 (E,), ascending, and which of the words each
    is, int64 (E,); and how many words there are. ids_NW: uint64 (N, W) (`words.word_ids`). rarer: also those that are
    not among the _WORDS most frequent, each by itself."""
    word_V, pairs_V = counted(ids_NW, LEAST)
    fits_V = pairs_V <= MOST * len(ids_NW)
    by_count_V = word_V[fits_V][np.argsort(-pairs_V[fits_V], kind="stable")]
    row_E, word_E, words = _phrases(ids_NW, np.sort(by_count_V[:_WORDS]))
    if rarer and len(by_count_V) > _WORDS:
        row_F, place_F = _places(ids_NW, np.sort(by_count_V[_WORDS:]))
        row_E, word_E = np.concatenate([row_E, row_F]), np.concatenate([word_E, words + place_F])
        words += len(by_count_V) - _WORDS
        order_E = np.argsort(row_E, kind="stable")
        row_E, word_E = row_E[order_E], word_E[order_E]
    return row_E, word_E, words


def _places(ids_NW: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the chosen words stand: rows int64 (E,), ascending, and the place of each among the chosen, int64 (E,)."""
    row_E, column_E = np.nonzero(ids_NW)
    place_E = place_among(chosen, ids_NW[row_E, column_E])
    return row_E[place_E >= 0], place_E[place_E >= 0]


def _phrases(ids_NW: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """As `asked`, of the chosen words."""
    if len(chosen) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), 0
    row_E, place_E = _places(ids_NW, chosen)
    has_NV = csr_array((np.ones(len(row_E)), (row_E, place_E)), (len(ids_NW), len(chosen)))
    both_VV = (has_NV.T @ has_NV).toarray()
    either_VV = both_VV.diagonal()[:, None] + both_VV.diagonal() - both_VV
    phrases, phrase_V = connected_components(csr_array(both_VV > _TOGETHER * either_VV))
    row_E, word_E = np.divmod(np.unique(row_E * phrases + phrase_V[place_E]), phrases)
    return row_E, word_E, phrases
