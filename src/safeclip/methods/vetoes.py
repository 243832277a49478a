"""What the data alone says against its pairs, before anything is trained: those never become safe.

    copies      the picture occurs more often than `copies_allowed`              signals/copies.py
    renderings  it is one of a small crowd of one palette, apart from the rest   signals/renderings.py
    patterns    it shares a fine pattern with others, place for place            signals/patterns.py
    shifts      the same, wherever it lies, with pictures of like captions       signals/shifts.py
    texture     its texture says what the caption says, its content does not     signals/texture.py
    words       its caption has a word beside which the others do not fit it     signals/misleading.py
    suspects    it says what accused pairs say, and `texture` is a little so     signals/suspects.py

`patterns` and `shifts` may spare pairs for which others vouch (signals/vouching.py), and `patterns` those whose pattern
lies under captions of anything (signals/untied.py).
What must stay true: a score is computed once in a run, and a resumed run has the same; of pairs without a score (those
that cannot be read) nothing is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from safeclip.config import SafeclipConfig
from safeclip.methods.base import State, Tools
from safeclip.signals.copies import copy_groups, occurrences
from safeclip.signals.glance import Glance
from safeclip.signals.misleading import misleading
from safeclip.signals.outlying import outlying
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
    deviates: the score is in deviations already (of words, over all words); else it is put in the pairs' own.
    strong: of a veto that may spare pairs, the score by strong patterns alone: those of overlays.
    """

    score: Score
    column: str
    limit: Callable[[SafeclipConfig], float]
    deviates: bool = False
    strong: Score | None = None

    def bars(self, score_N: np.ndarray, limit: float) -> np.ndarray:
        """Bool (N,): pairs whose score lies beyond the limit."""
        barred: np.ndarray = score_N > limit if self.deviates else outlying(score_N, limit)
        return barred


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
        strong=lambda glance, device: shared_pattern(glance.thumbnails, device=device, strong=True),
    ),
    "shifts": Veto(
        lambda glance, device: shared_shift(glance.thumbnails, glance.captions, device=device),
        "shift",
        lambda own: own.shift_deviations,
        strong=lambda glance, device: shared_shift(glance.thumbnails, glance.captions, device=device, strong=True),
    ),
    "texture": Veto(
        lambda glance, device: textured(glance.textures, glance.thumbnails, glance.captions, device=device),
        "texture",
        lambda own: own.texture_deviations,
    ),
    "words": Veto(
        lambda glance, device: misleading(glance.thumbnails, glance.words, device=device),
        "word",
        lambda own: own.word_deviations,
        deviates=True,
    ),
}
"""The vetoes that have a score, by name; `copies` counts, and `suspects` goes by the others."""
SPARING = tuple(name for name, veto in SCORED.items() if veto.strong)
"""Those that may spare pairs for which others vouch."""
_DOUBT = 7.0
"""Standard deviations beyond which a word of barred pairs speaks against sparing a pair that says it too: half of what
`suspects` asks, for such a pair is accused already."""
_READING = ("texture", "words", "suspects")
"""Vetoes that see nothing in a pair whose captions share no word with another's."""
_BLIND = 0.2
"""Share of such pairs above which the log says so."""


def spared(glance: Glance, out: dict[str, np.ndarray], own: SafeclipConfig, device: torch.device) -> np.ndarray:
    """Bool (N,): pairs that have a pattern in common with others because of what they show, or one that foretells no
    caption. out: by veto, bool (N,), the pairs that it is against. Others may vouch for a pair, but not for one of a
    strong pattern: a trigger under true captions (label-consistent) lies on pictures that others vouch for. Spared in
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
    kept &= vouched(fits_N, glance.captions, barred, device=device)
    for name in common:
        veto = SCORED[name]
        assert veto.strong is not None
        kept &= ~veto.bars(veto.strong(glance, device), veto.limit(own))
    if "patterns" in out:
        by_pattern = out["patterns"] & ~out.get("shifts", np.zeros_like(kept))
        kept |= untied(glance.thumbnails, glance.words, by_pattern, fits_N, ~barred, device=device)
    for name in out.keys() - {*SPARING}:
        kept &= ~out[name]
    kept &= ~suspects(glance.words, barred & ~kept, kept, chance=_DOUBT)
    return kept


def suspected(glance: Glance, out: dict[str, np.ndarray], texture_N: np.ndarray, own: SafeclipConfig) -> np.ndarray:
    """Bool (N,): pairs that say a word which accused ones share, and whose texture is a little suspicious. out: as for
    `spared`; those of SPARING do not count here, since many pictures are alike by nature. texture_N: its score."""
    accused = np.any([found for name, found in out.items() if name not in SPARING], axis=0)
    again: np.ndarray = suspects(glance.words, accused) & outlying(texture_N, own.suspect_deviations)
    return again


class Vetoes:
    """own: which of them are asked, and how strict they are. with_groups: find copies even where no veto wants them.
    decides: as for `build_method`; other ranks take their share of the looking and keep nothing."""

    def __init__(self, own: SafeclipConfig, pairs: int, with_groups: bool, decides: bool):
        self.own, self.pairs, self.with_groups = own, pairs, with_groups or "copies" in own.veto
        self.decides = decides
        self.groups: np.ndarray | None = None
        """Pairs of one id show one picture, int64 (N,)."""
        self.scores: dict[str, np.ndarray] = {}
        """By veto, float32 (N,), high where it is suspicious; 0 for pairs that cannot be read."""
        self.spared: np.ndarray | None = None
        """Bool (N,): pairs that SPARING spare; None before they were asked, and where nobody is."""
        self.suspected: np.ndarray | None = None
        """The same: pairs that `suspects` is against."""

    def look(self, tools: Tools, device: torch.device) -> None:
        """Compute what is not there yet, in one pass over the pictures."""
        wanted = [name for name in SCORED if name in self.own.veto and name not in self.scores]
        hashes, kept = None, self.pairs if self.decides else 0
        if wanted:
            usable = np.flatnonzero(tools.usable)
            glance = tools.glance(usable)
            if self.decides and not (readable := tools.usable[usable]).all():
                usable, glance = usable[readable], glance.of(readable)
            hashes = self._of_all(usable, glance.hashes) if self.decides else glance.hashes
            if self.decides:
                self._note_blind(glance, tools)
            for name in wanted:
                self.scores[name] = np.zeros(kept, np.float32)
                if self.decides:
                    self.scores[name][usable] = SCORED[name].score(glance, device)
        if self.groups is None:
            if self.with_groups and hashes is None:
                hashes = tools.hashes()
            compared = hashes if self.with_groups and self.decides else None
            self.groups = np.arange(kept) if compared is None else copy_groups(compared)
        if wanted and self.decides:
            self.spared = self.suspected = None
            found = self.against(usable)
            if self.own.spare:
                self.spared = self._of_all(usable, spared(glance, found, self.own, device))
            if "suspects" in self.own.veto:
                again = suspected(glance, found, self.scores["texture"][usable], self.own)
                self.suspected = self._of_all(usable, again)

    def _note_blind(self, glance: Glance, tools: Tools) -> None:
        reading = [name for name in _READING if name in self.own.veto]
        if not reading or not len(glance.words):
            return
        blind = 1 - float(glance.captions.any(1).float().mean())
        if blind > _BLIND:
            tools.note(
                f"the captions of {blind:.0%} of the usable pairs share no word with any other pair's: "
                f"{', '.join(reading)} see nothing in those (safeclip.veto)"
            )

    def _of_all(self, usable: np.ndarray, some: np.ndarray) -> np.ndarray:
        of_all = np.zeros(self.pairs, some.dtype)
        of_all[usable] = some
        return of_all

    def against(self, uids: np.ndarray) -> dict[str, np.ndarray]:
        """By veto, bool (n,): the pairs that it keeps out."""
        assert self.groups is not None
        found = {}
        if "copies" in self.own.veto:
            found["copies"] = occurrences(self.groups[uids]) > self.own.copies_allowed
        for name, score_N in self.scores.items():
            found[name] = SCORED[name].bars(score_N[uids], SCORED[name].limit(self.own))
        if self.spared is not None:
            found |= {name: found[name] & ~self.spared[uids] for name in SPARING if name in found}
        if self.suspected is not None:
            found["suspects"] = self.suspected[uids]
        return found

    def columns(self, uids: np.ndarray) -> dict[str, np.ndarray]:
        """The scores of these pairs, by the name of their column in `scores/`."""
        return {SCORED[name].column: score_N[uids] for name, score_N in self.scores.items()}

    def state(self) -> State:
        scores = {f"veto.{name}": torch.from_numpy(score_N) for name, score_N in self.scores.items()}
        own = {"groups": self.groups, "spared": self.spared, "suspected": self.suspected}
        return State({name: torch.from_numpy(value) for name, value in own.items() if value is not None} | scores)

    def load_state(self, state: State) -> None:
        own = {name: value.numpy() for name, value in state.tensors.items()}
        self.groups, self.spared, self.suspected = (own.get(name) for name in ("groups", "spared", "suspected"))
        self.scores = {name: own[f"veto.{name}"] for name in SCORED if f"veto.{name}" in own}
