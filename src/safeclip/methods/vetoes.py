"""The vetoes of a run: its data is looked at once, in parts that fit into memory, and what came of it is kept
(`verdicts` says what).

What must stay true: a score is computed once in a run, and a resumed run has the same, also one that was killed between
two parts of a look, unless its parts were dealt out by other settings; of pairs without a score (those that cannot be
read) nothing is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from safeclip.config import SafeclipConfig
from safeclip.methods.base import State, Tools
from safeclip.methods.verdicts import JUDGED, READING, SCORED, Verdict, judge, seen
from safeclip.signals.copies import copy_groups, occurrences
from safeclip.signals.glance import Glance
from safeclip.split import pack, unpack

_BLIND = 0.2
"""Share of pairs in which READING see nothing, above which the log says so."""
_RUN = 4096
"""Neighbouring pairs that are looked at in one part, at most: those of a shard lie in few parts."""


def dealt(uids: np.ndarray, most: int) -> list[np.ndarray]:
    """The pairs in as few parts as have about `most` each, or all in one. Runs of neighbours are dealt out in turn, so
    that each part has some of everything, also of data that lie sorted.

    >>> [part.tolist() for part in dealt(np.arange(6), 3)]
    [[0, 2, 4], [1, 3, 5]]
    """
    count = max(1, -(-len(uids) // most))
    of_part = np.arange(len(uids)) // max(1, min(_RUN, most // 16)) % count
    return [uids[of_part == part] for part in range(count)]


@dataclass
class Look:
    """A look that is under way.

    pairs: bool (N,), those dealt out. done: parts that were judged. hashes: uint64 (N,), 0 for pairs that cannot be
    read; blind: bool (N,), pairs that READING see nothing in; both empty for ranks that do not decide.
    """

    pairs: np.ndarray
    done: int
    hashes: np.ndarray
    blind: np.ndarray


class Vetoes:
    """own: which of them are asked, and how strict they are. with_groups: find copies even where no veto wants them.
    decides: as for `build_method`; other ranks take their share of the looking and keep nothing."""

    def __init__(self, own: SafeclipConfig, pairs: int, with_groups: bool, decides: bool):
        self.own, self.pairs, self.needs_groups = own, pairs, with_groups or "copies" in own.veto
        self.decides = decides
        self.groups: np.ndarray | None = None
        """Pairs of one id show one picture, int64 (N,)."""
        self.scores: dict[str, np.ndarray] = {}
        """By veto, float32 (N,), high where it is suspicious; 0 for pairs that cannot be read."""
        self.barred: dict[str, np.ndarray] = {}
        """By veto but `copies`, bool (N,): the pairs that it keeps out; none that cannot be read."""
        self.under_way: Look | None = None

    def look(self, tools: Tools) -> None:
        """Compute what is not there yet, in one pass over the pictures."""
        hashes = None
        if self.under_way or any(name in self.own.veto and name not in self.barred for name in JUDGED):
            hashes = self._look_in_parts(tools)
        if self.groups is None:
            if self.needs_groups and hashes is None:
                hashes = tools.hashes()
            compared = hashes if self.needs_groups and self.decides else None
            self.groups = np.arange(self.pairs if self.decides else 0) if compared is None else copy_groups(compared)

    def _look_in_parts(self, tools: Tools) -> np.ndarray:
        """Sets the verdicts; returns the hashes, uint64 (N,), 0 for pairs that cannot be read."""
        look = self.under_way = self.under_way or self._begin(tools.usable)
        for uids in dealt(np.flatnonzero(look.pairs), self.own.look_pairs)[look.done :]:
            glance = tools.glance(uids)
            tools.decide(partial(self._hear, look, glance, uids[tools.usable[uids]], tools.usable[uids], tools.device))
            del glance  # before the next is made
            look.done += 1
            tools.save()
        self.under_way = None
        if (share := look.blind.sum() / max(look.pairs.sum(), 1)) > _BLIND:
            tools.note(
                f"the captions of {share:.0%} of the usable pairs share no word with any other pair's: "
                f"{', '.join(self._reading())} see nothing in those (safeclip.veto)"
            )
        return look.hashes

    def _begin(self, usable: np.ndarray) -> Look:
        own, kept = self.own, self.pairs if self.decides else 0
        self.scores = {name: np.zeros(kept, np.float32) for name in SCORED if name in own.veto}
        self.barred = {name: np.zeros(kept, bool) for name in JUDGED if name in own.veto}
        return Look(usable.copy(), 0, np.zeros(kept, np.uint64), np.zeros(kept, bool))

    def _hear(
        self, look: Look, glance: Glance, readable: np.ndarray, was_read: np.ndarray, device: torch.device
    ) -> State:
        """Judge one part. Nobody else learns of it, but all wait until it is done: it takes longer than ranks wait for
        one another elsewhere. readable: uids of its pairs that could be read; was_read: bool, which of all they are."""
        if self.decides:
            glance = glance if was_read.all() else glance.of(was_read)
            look.hashes[readable] = glance.hashes
            look.blind[readable] = ~seen(glance) if self._reading() else False
            self._keep(readable, judge(glance, self.own, device))
        return State()

    def _reading(self) -> list[str]:
        return [name for name in READING if name in self.own.veto]

    def _keep(self, uids: np.ndarray, verdict: Verdict) -> None:
        for name, score_n in verdict.scores.items():
            self.scores[name][uids] = score_n
        for name, barred_n in verdict.barred.items():
            self.barred[name][uids] = barred_n

    def against(self, uids: np.ndarray) -> dict[str, np.ndarray]:
        """By veto, bool (n,): the pairs that it keeps out."""
        found = {name: barred_N[uids] for name, barred_N in self.barred.items()}
        if "copies" in self.own.veto:
            assert self.groups is not None
            found["copies"] = occurrences(self.groups[uids]) > self.own.copies_allowed
        return found

    def columns(self, uids: np.ndarray) -> dict[str, np.ndarray]:
        """The scores of these pairs, by the name of their column in `scores/`."""
        return {SCORED[name].column: score_N[uids] for name, score_N in self.scores.items()}

    def state(self) -> State:
        own = {f"veto.{name}": score_N for name, score_N in self.scores.items()}
        own |= {f"veto.barred.{name}": pack(barred_N) for name, barred_N in self.barred.items()}
        if self.groups is not None and self.needs_groups:  # else nobody has looked
            own["veto.groups"] = self.groups
        if look := self.under_way:
            own |= {"look.pairs": pack(look.pairs), "look.done": np.array([look.done]), "veto.blind": look.blind}
            own |= {"look.at_once": np.array([self.own.look_pairs])}
            own |= {"veto.hashes": look.hashes.view(np.int64)}
        return State({name: torch.from_numpy(value) for name, value in own.items()})

    def load_state(self, state: State) -> None:
        own = {name: value.numpy() for name, value in state.tensors.items()}
        self.groups = own.get("veto.groups")
        self.scores = {name: own[f"veto.{name}"] for name in SCORED if f"veto.{name}" in own}
        bits = {name: own[f"veto.barred.{name}"] for name in JUDGED if f"veto.barred.{name}" in own}
        self.barred = {
            name: unpack(some, self.pairs) if self.decides else np.zeros(0, bool) for name, some in bits.items()
        }
        self.under_way = None
        at_once, asked = own.get("look.at_once", np.zeros(1)), {name for name in JUDGED if name in self.own.veto}
        if "look.pairs" in own and (at_once.tolist() != [self.own.look_pairs] or asked != {*self.barred}):
            self.scores, self.barred = {}, {}  # its parts would be others now: the look begins anew
        elif "look.pairs" in own:
            pairs, hashes = unpack(own["look.pairs"], self.pairs), own["veto.hashes"].view(np.uint64)
            self.under_way = Look(pairs, int(own["look.done"][0]), hashes, own["veto.blind"])
