"""Data larger than memory is looked at in parts: every pair once, each part like data of its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from safeclip.errors import InputError
from safeclip.methods.base import State
from safeclip.methods.verdicts import SCORED, judge
from safeclip.methods.vetoes import Vetoes, dealt
from safeclip.signals.glance import Glance
from tests.methods.driven import Data, config

PAIRS, MOST = 300, 120
EVERY = ["copies", "renderings", "patterns", "shifts", "texture", "words", "suspects"]


class Watched(Data):
    """Knows how many pairs were looked at together; some turn out to be unreadable on the way."""

    def __init__(self, pairs: int, torn: tuple[int, ...] = (), copied: int = 0):
        super().__init__(pairs, copied=copied)
        self.torn, self.together = np.array(torn, np.int64), []

    def _glance(self, uids: np.ndarray) -> Glance:
        self.together.append(len(uids))
        glance = super()._glance(uids)
        self.usable[np.intersect1d(self.torn, uids)] = False
        return glance


class Ended(Exception):
    pass


class Ending(Watched):
    """The same data, whose run ends once so many parts of it were looked at."""

    def __init__(self, data: Watched, parts: int):
        self.__dict__, self.parts = data.__dict__ | {}, parts

    def _save(self) -> None:
        if len(self.together) == self.parts:
            raise Ended


@given(count=st.integers(0, 5000), most=st.integers(1, 2000))
def test_every_pair_is_in_one_part_and_no_part_is_much_larger_than_asked(count: int, most: int) -> None:
    uids = 3 * np.arange(count) + 1
    parts = dealt(uids, most)
    assert np.array_equal(np.sort(np.concatenate(parts)), uids)
    run = max(1, most // 16)
    assert max(map(len, parts)) <= most + run
    assert len(parts) == max(1, -(-count // most)), "as few as can be"
    assert len(parts) == 1 or min(map(len, parts)) >= max(map(len, parts)) - run


def test_a_part_has_some_of_everything_and_neighbours_lie_in_few() -> None:
    parts = dealt(np.arange(8_000_000), 2_000_000)
    assert [len(part) for part in parts] == [2_002_944, 1_999_360, 1_998_848, 1_998_848]
    quarters = [np.bincount(part // 2_000_000, minlength=4) / len(part) for part in parts]
    assert np.abs(np.array(quarters) - 0.25).max() < 0.01
    assert sum(bool(((part >= 50_000) & (part < 54_096)).any()) for part in parts) == 2


@pytest.mark.parametrize("with_copies", [True, False])
def test_the_verdicts_are_those_of_each_part_by_itself(with_copies: bool) -> None:
    data = Watched(PAIRS, torn=(5, 299), copied=9)
    data.usable[[0, 17]] = False
    veto = EVERY if with_copies else EVERY[1:]
    own = config(**{"safeclip.veto": veto, "safeclip.spare": True, "safeclip.look_pairs": MOST}).safeclip
    found = Vetoes(own, PAIRS, with_groups=False, decides=True)
    parts = dealt(np.flatnonzero(data.usable), MOST)
    found.look(data.tools())
    assert data.together == [len(part) for part in parts]
    assert len(parts) == 3
    for part in parts:
        kept = part[data.usable[part]]
        alone = judge(Data._glance(data, kept), own, torch.device("cpu"))
        for name in SCORED:
            assert np.array_equal(found.scores[name][kept], alone.scores[name])
        assert alone.barred.keys() == {*EVERY} - {"copies"}
        for name, barred in alone.barred.items():
            assert np.array_equal(found.barred[name][kept], barred)
    unread = np.flatnonzero(~data.usable)
    assert unread.tolist() == [0, 5, 17, 299]
    assert not any(score_N[unread].any() for score_N in found.scores.values())
    copied = found.against(np.arange(PAIRS)).get("copies", np.zeros(PAIRS, bool))
    assert copied[291:299].all() == with_copies, "copies are counted over all parts"


def test_a_look_that_ended_between_two_parts_goes_on_with_the_next() -> None:
    own = config(**{"safeclip.veto": EVERY, "safeclip.spare": True, "safeclip.look_pairs": MOST}).safeclip
    whole, whole_data = Vetoes(own, PAIRS, with_groups=False, decides=True), Watched(PAIRS, torn=(5, 299), copied=9)
    whole.look(whole_data.tools())
    data, states = Watched(PAIRS, torn=(5, 299), copied=9), []
    begun = Vetoes(own, PAIRS, with_groups=False, decides=True)
    for parts in (1, 2, 3):
        with pytest.raises(Ended):
            begun.look(Ending(data, parts).tools())
        states.append(begun.state())
        begun = Vetoes(own, PAIRS, with_groups=False, decides=True)
        begun.load_state(states[-1])
        assert begun.under_way is not None
        assert begun.under_way.done == parts
    begun.look(data.tools())
    assert data.together == whole_data.together, "no part was looked at twice"
    assert begun.under_way is None
    found, wanted = begun.state().tensors, whole.state().tensors
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    blind = Vetoes(own, PAIRS, with_groups=False, decides=False)  # a rank that reads no scores from a checkpoint
    blind.load_state(State({k: torch.empty(0) if k.startswith("veto.") else v for k, v in states[0].tensors.items()}))
    blind.look((other := Watched(PAIRS)).tools())
    assert other.together == whole_data.together[1:]


@pytest.mark.parametrize("changed", [{"look_pairs": 80}, {"look_pairs": 400}, {"veto": EVERY[:4]}])
def test_a_look_whose_parts_would_be_others_now_begins_anew(changed: dict) -> None:
    settings = {"safeclip.veto": EVERY, "safeclip.spare": True, "safeclip.look_pairs": MOST}
    begun = Vetoes(config(**settings).safeclip, PAIRS, with_groups=False, decides=True)
    with pytest.raises(Ended):
        begun.look(Ending(Watched(PAIRS), 1).tools())
    now = config(**settings | {f"safeclip.{name}": value for name, value in changed.items()}).safeclip
    resumed, fresh = (Vetoes(now, PAIRS, with_groups=False, decides=True) for _ in range(2))
    resumed.load_state(begun.state())
    resumed.look((data := Watched(PAIRS)).tools())
    fresh.look((whole := Watched(PAIRS)).tools())
    assert data.together == whole.together, "every pair is looked at"
    found, wanted = resumed.state().tensors, fresh.state().tensors
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_who_does_not_decide_looks_at_as_many_parts_and_keeps_nothing() -> None:
    data = Watched(PAIRS)
    own = config(**{"safeclip.veto": EVERY, "safeclip.spare": True, "safeclip.look_pairs": MOST}).safeclip
    found = Vetoes(own, PAIRS, with_groups=False, decides=False)
    found.look(data.tools())
    assert len(data.together) == 3
    assert sum(score_N.size for score_N in found.scores.values()) == 0
    assert sum(barred_N.size for barred_N in found.barred.values()) == 0


def test_no_pairs_at_a_time_is_refused() -> None:
    with pytest.raises(InputError, match=r"safeclip.look_pairs = 0: give 1 or more"):
        config(**{"safeclip.look_pairs": 0})
