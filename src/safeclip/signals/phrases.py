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
"""Words asked about, at most: the most frequent ones."""
_TOGETHER = 0.8
"""Two words are one if they stand together in more than this share of the pairs that have either."""


def asked(ids_NW: np.ndarray) -> tuple[np.ndarray, int]:
    """For each word of each pair its place among the words asked about, int64 (N, W), -1 for others and for the second
    word of a phrase; and how many places there are. ids_NW: uint32 (N, W) (`words.word_ids`)."""
    word_V, pairs_V = counted(ids_NW, LEAST)
    fits_V = pairs_V <= MOST * len(ids_NW)
    chosen = np.sort(word_V[fits_V][np.argsort(-pairs_V[fits_V], kind="stable")[:_WORDS]])
    if len(chosen) == 0:
        return np.full(ids_NW.shape, -1), 0
    slot_NW = place_among(chosen, ids_NW)
    there_NW = slot_NW >= 0
    has_NV = csr_array(
        (np.ones(there_NW.sum()), (np.nonzero(there_NW)[0], slot_NW[there_NW])), (len(ids_NW), len(chosen))
    )
    both_VV = (has_NV.T @ has_NV).toarray()
    either_VV = both_VV.diagonal()[:, None] + both_VV.diagonal() - both_VV
    phrases, phrase_V = connected_components(csr_array(both_VV > _TOGETHER * either_VV))
    slot_NW = np.sort(np.where(there_NW, phrase_V[slot_NW], -1), axis=1)
    slot_NW[:, 1:][slot_NW[:, 1:] == slot_NW[:, :-1]] = -1
    return slot_NW, phrases
