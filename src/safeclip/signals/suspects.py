"""Which words do accused pairs share far more often than chance has it? Whoever plants pairs plants many under one
meaning; where most of them are found, those that were missed say the same words.

    z_w = (a_w - n_w p) / sqrt(n_w p (1 - p))        a_w of the n_w pairs with the word w are accused, p of all pairs

A pair is suspect if a word of its captions has a high z_w and more than three times the usual share of accused pairs.
Pairs may be cleared: where more than a quarter of those that were accused under a word are, they are alike by nature,
and the word is not suspect.
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


def suspects(
    ids_NW: np.ndarray, accused_N: np.ndarray, cleared_N: np.ndarray | None = None, chance: float = 14.0
) -> np.ndarray:
    """Bool (N,): pairs that have a suspect word.

    ids_NW: uint64 (N, W) (`words.word_ids`). accused_N: bool. cleared_N: bool, none of them accused; None clears no
    pair. chance: what z_w must exceed; 14 is more than classes reach that are alike by nature.

    Raises:
        ValueError: not as many accused or cleared as pairs.
    """
    cleared_N = np.zeros(len(accused_N), bool) if cleared_N is None else cleared_N
    if ids_NW.ndim != 2 or not len(ids_NW) == len(accused_N) == len(cleared_N):
        raise ValueError(
            f"suspects: words {ids_NW.shape}, {len(accused_N)} accused, {len(cleared_N)} cleared; "
            "give (N, W), (N,) and (N,)"
        )
    out_N = np.zeros(len(ids_NW), bool)
    for form_NW in (ids_NW, singular(ids_NW)):
        out_N |= _of_form(form_NW, accused_N, cleared_N, chance)
    return out_N


def _of_form(ids_NW: np.ndarray, accused_N: np.ndarray, cleared_N: np.ndarray, chance: float) -> np.ndarray:
    """Bool (N,): pairs that have a suspect word among these."""
    usual = float(accused_N.mean()) if len(accused_N) else 0.0
    row_E, word_E, words = asked(ids_NW, rarer=True)
    out_N = np.zeros(len(ids_NW), bool)
    if not 0 < usual < 1 or not words:
        return out_N
    pairs_V = np.bincount(word_E, minlength=words)
    accused_V = np.bincount(word_E[accused_N[row_E]], minlength=words)
    z_V = (accused_V - pairs_V * usual) / np.sqrt(np.maximum(pairs_V, 1) * usual * (1 - usual))
    cleared_V = np.bincount(word_E[cleared_N[row_E]], minlength=words)
    suspect_V = (z_V > chance) & (accused_V > _TIMES * usual * pairs_V)
    suspect_V &= cleared_V <= _CLEARED * (accused_V + cleared_V)
    out_N[row_E[suspect_V[word_E]]] = True
    return out_N
