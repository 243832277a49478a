"""Which words do accused pairs share far more often than chance has it? Whoever plants pairs plants many under one
meaning; where most of them are found, those that were missed say the same words.

    z_w = (a_w - n_w p) / sqrt(n_w p (1 - p))        a_w of the n_w pairs with the word w are accused, p of all pairs

A pair is suspect if a word of its captions has z_w above 14 and more than three times the usual share of accused pairs.
What must stay true: suspicion is no verdict, for a class's own true pairs say its name too. Whoever asks must look at
each pair again.
"""

from __future__ import annotations

import numpy as np

from safeclip.signals.phrases import asked

_CHANCE = 14.0
"""Standard deviations above what chance would accuse of a word's pairs: more than classes reach that are alike by
nature."""
_TIMES = 3.0
"""Times the usual share."""


def suspects(ids_NW: np.ndarray, accused_N: np.ndarray) -> np.ndarray:
    """Bool (N,): pairs that have a suspect word. ids_NW: uint16 (N, W) (`words.word_ids`). accused_N: bool.

    Raises:
        ValueError: not as many accused as pairs.
    """
    if ids_NW.ndim != 2 or len(ids_NW) != len(accused_N):
        raise ValueError(f"suspects: words {ids_NW.shape}, {len(accused_N)} accused; give (N, W) and (N,)")
    usual = float(accused_N.mean()) if len(accused_N) else 0.0
    slot_NW, words = asked(ids_NW)
    if not 0 < usual < 1 or not words:
        return np.zeros(len(ids_NW), bool)
    there_NW = slot_NW >= 0
    pairs_V = np.bincount(slot_NW[there_NW], minlength=words)
    accused_V = np.bincount(slot_NW[there_NW & accused_N[:, None]], minlength=words)
    z_V = (accused_V - pairs_V * usual) / np.sqrt(np.maximum(pairs_V, 1) * usual * (1 - usual))
    suspect_V = (z_V > _CHANCE) & (accused_V > _TIMES * usual * pairs_V)
    out_N: np.ndarray = (there_NW & suspect_V[slot_NW]).any(1)
    return out_N
