"""What the data alone says against its pairs, before anything is trained: those never become safe.

    copies      the picture occurs more often than `copies_allowed`              signals/copies.py
    renderings  it is one of a small crowd of one palette, apart from the rest   signals/renderings.py
    patterns    it shares a fine pattern with others, place for place            signals/patterns.py
                or bears a trace of one that was laid over others                signals/overlays.py
    shifts      the same, wherever it lies, with pictures of like captions       signals/shifts.py
    texture     its texture says what the caption says, its content does not,    signals/texture.py
                and it shares a word with many such pairs, or does so strikingly
    words       its caption has a word beside which the others do not fit it     signals/misleading.py
    suspects    it says what accused pairs say, and `texture` is a little so     signals/suspects.py

`patterns` and `shifts` may spare pairs for which others vouch (signals/vouching.py), and `patterns` those whose pattern
lies under captions of anything (signals/untied.py).
What must stay true: a verdict comes of a look at the pairs and of nothing else, no model among it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from safeclip.config import SafeclipConfig
from safeclip.signals.copies import copy_groups, occurrences
from safeclip.signals.glance import Glance
from safeclip.signals.misleading import misleading
from safeclip.signals.outlying import deviations_of, outlying
from safeclip.signals.overlays import overlays
from safeclip.signals.patterns import shared_pattern
from safeclip.signals.renderings import crowded
from safeclip.signals.shifts import shared_shift
from safeclip.signals.suspects import suspects
from safeclip.signals.texture import textured
from safeclip.signals.untied import untied
from safeclip.signals.vouching import fits, vouched

Score = Callable[[Glance, torch.device], np.ndarray]
"""What a look at the data gives, reckoned on the device: float32 (N,), high where it is suspicious."""


@dataclass(frozen=True)
class Veto:
    """score: of every pair. column: the score's name in `scores/`. limit: how far it may lie, by the settings.
    deviates: the score is in deviations already (of words, over all words); else it is put in the pairs' own. reads:
    it tells nothing of pairs whose captions share no word with another's.
    """

    score: Score
    column: str
    limit: Callable[[SafeclipConfig], float]
    deviates: bool = False
    reads: bool = False

    def bars(self, score_N: np.ndarray, limit: float, glance: Glance) -> np.ndarray:
        """Bool (N,): pairs whose score lies beyond the limit."""
        if self.deviates:
            barred: np.ndarray = score_N > limit
            return barred
        return outlying(score_N, limit, seen(glance) if self.reads else None)


SCORED = {
    "renderings": Veto(
        lambda glance, device: crowded(glance.thumbnails, device=device),
        "rendering",
        lambda own: own.rendering_deviations,
    ),
    "patterns": Veto(
        lambda glance, device: shared_pattern(glance.thumbnails, device=device),
        "pattern",
        lambda own: own.pattern_deviations,
    ),
    "shifts": Veto(
        lambda glance, device: shared_shift(glance.thumbnails, glance.captions, device=device),
        "shift",
        lambda own: own.shift_deviations,
    ),
    "texture": Veto(
        lambda glance, device: textured(glance.textures, glance.thumbnails, glance.meanings, device=device),
        "texture",
        lambda own: own.texture_deviations,
        reads=True,
    ),
    "words": Veto(
        lambda glance, device: misleading(glance.thumbnails, glance.said, device=device),
        "word",
        lambda own: own.word_deviations,
        deviates=True,
    ),
}
"""The vetoes that have a score, by name; `copies` counts, and `suspects` goes by the others."""
JUDGED = (*SCORED, "suspects")
"""All that `judge` decides."""
SPARING = ("patterns", "shifts")
"""Those that may spare pairs for which others vouch."""
READING = ("texture", "words", "suspects")
"""Those that see nothing in a pair whose captions share no word with another's."""
_TOGETHER = 5.0
"""Standard deviations beyond which a word of pairs that `texture` is against says that they belong together."""
_STRIKING = 1.6
"""Times its limit above which `texture` asks for no such word: in large data, a common one hides those planted with
it."""
_DOUBT = 7.0
"""Standard deviations beyond which a word of barred pairs speaks against sparing a pair that says it too: less than
`suspects` asks, for such a pair is accused already."""


@dataclass(frozen=True)
class Verdict:
    """Of pairs that were looked at together. scores: by veto, float32 (N,), high where it is suspicious. barred: by
    veto, `suspects` too, bool (N,): the pairs that it keeps out.
    """

    scores: dict[str, np.ndarray]
    barred: dict[str, np.ndarray]


def judge(glance: Glance, own: SafeclipConfig, device: torch.device) -> Verdict:
    """What the vetoes that `own` names have to say of these pairs, but for `copies`, which counts over all pairs."""
    scores = {name: veto.score(glance, device) for name, veto in SCORED.items() if name in own.veto}
    return conclude(glance, scores, own, device)


def conclude(glance: Glance, scores: dict[str, np.ndarray], own: SafeclipConfig, device: torch.device) -> Verdict:
    """What follows from these scores, by veto, float32 (N,): of each veto of `own` that has one."""
    scores = {name: score_N for name, score_N in scores.items() if name in own.veto}
    out, laid_over = accused(glance, scores, own, device)
    if "patterns" in scores:
        scores["patterns"] = scores["patterns"] + laid_over  # above all others: the score itself is 1 at most
    barred = {name: out[name] for name in scores}
    if "texture" in out:
        barred["texture"] = out["texture"] & together(glance, out["texture"], scores["texture"], own)
    if own.spare:
        kept = spared(glance, out, laid_over, own, device)
        barred |= {name: out[name] & ~kept for name in SPARING if name in out}
    if "suspects" in own.veto:
        barred["suspects"] = suspected(glance, out, scores["texture"], own)
    return Verdict(scores, barred)


def accused(
    glance: Glance, scores: dict[str, np.ndarray], own: SafeclipConfig, device: torch.device
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """By veto, bool (N,): the pairs that it is against at first sight; and those that bear an overlay, bool (N,)."""
    out = {name: SCORED[name].bars(score_N, SCORED[name].limit(own), glance) for name, score_N in scores.items()}
    if "copies" in own.veto:
        out["copies"] = occurrences(copy_groups(glance.hashes)) > own.copies_allowed
    laid_over = np.zeros(len(glance.hashes), bool)
    if "patterns" in out:
        laid_over, _ = overlays(glance.thumbnails, out["patterns"], device=device)
        out["patterns"] |= laid_over
    return out, laid_over


def together(glance: Glance, out_N: np.ndarray, texture_N: np.ndarray, own: SafeclipConfig) -> np.ndarray:
    """Bool (N,): pairs that share a word with many that `texture` is against, apart from the word's others, or whose
    texture is striking. The rest that it is against (out_N, bool (N,)) are the tail that clean pictures have too, and
    classes that are a texture. texture_N: its score."""
    striking = SCORED["texture"].bars(texture_N, _STRIKING * own.texture_deviations, glance)
    lean_N = deviations_of(texture_N, seen(glance))
    found: np.ndarray = suspects(glance.said, out_N, lean_N=lean_N, chance=_TOGETHER) | striking
    return found


def spared(
    glance: Glance, out: dict[str, np.ndarray], laid_over_N: np.ndarray, own: SafeclipConfig, device: torch.device
) -> np.ndarray:
    """Bool (N,): pairs that have a pattern in common with others because of what they show, or one that foretells no
    caption. out, laid_over_N: of `accused`.

    Others may vouch for a pair, but not for one that bears an overlay, which may lie on pictures of its class
    (label-consistent) or make others look like it; nor for one that shares a strong pattern that moves about. Spared in
    neither way are pairs of a word under which hardly another is: one planted pair is enough to learn a pattern from.
    """
    common = [name for name in SPARING if name in out]
    kept = np.zeros(len(glance.hashes), bool)
    for name in common:
        kept |= out[name]
    if not kept.any():
        return kept
    barred = np.any([*out.values()], axis=0)
    fits_N = fits(glance.thumbnails, glance.captions, barred, device=device)
    if fits_N is None:
        return np.zeros_like(kept)
    kept &= vouched(fits_N, glance.captions, barred, device=device) & ~laid_over_N
    if "shifts" in out and kept.any():
        strong_N = shared_shift(glance.thumbnails, glance.captions, device=device, strong=True)
        kept &= ~outlying(strong_N, own.shift_deviations)
    if "patterns" in out:
        by_pattern = out["patterns"] & ~out.get("shifts", np.zeros_like(kept))
        trusted = ~barred & seen(glance)
        kept |= untied(glance.thumbnails, glance.words, by_pattern, fits_N, trusted, device=device)
    for name in out.keys() - {*SPARING}:
        kept &= ~out[name]
    kept &= ~suspects(glance.said, barred & ~kept, kept, chance=_DOUBT)
    return kept


def suspected(glance: Glance, out: dict[str, np.ndarray], texture_N: np.ndarray, own: SafeclipConfig) -> np.ndarray:
    """Bool (N,): pairs that say a word which accused ones share, and whose texture is a little suspicious. out: as for
    `spared`; those of SPARING do not count here, since many pictures are alike by nature. texture_N: its score."""
    otherwise = np.zeros(len(texture_N), bool)
    for name in out.keys() - {*SPARING, "texture"}:
        otherwise |= out[name]
    lean_N = np.where(otherwise, np.nan, deviations_of(texture_N, seen(glance)))
    again: np.ndarray = suspects(glance.said, otherwise | out["texture"], lean_N=lean_N)
    again &= SCORED["texture"].bars(texture_N, own.suspect_deviations, glance)
    return again


def seen(glance: Glance) -> np.ndarray:
    """Bool (N,): pairs in which READING see something: their captions share a word with another pair's."""
    words: np.ndarray = glance.captions.any(1).numpy()
    return words
