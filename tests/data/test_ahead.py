"""Fetching ahead of the batches: soon enough, not too far, and never in the way."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from safeclip.data.ahead import Ahead
from safeclip.data.pairs import Pair, Shards
from safeclip.data.plan import Batch
from safeclip.errors import RunError

SHARDS, PER_SHARD, BATCH = 10, 20, 5
PLAN = [Batch(np.arange(start, start + BATCH), "clip") for start in range(0, SHARDS * PER_SHARD, BATCH)]
AHEAD = PER_SHARD // BATCH + 1


class Far:
    """Shards that are fetched at once, or not at all."""

    name, fingerprint, class_names = "far:", "far", ()
    ends_S = np.arange(1, SHARDS + 1) * PER_SHARD

    def __init__(self, remote: bool = True, gone: int | None = None):
        self.remote, self.gone, self.fetched = remote, gone, []

    def __len__(self) -> int:
        return SHARDS * PER_SHARD

    def __getitem__(self, uid: int) -> Pair:
        raise NotImplementedError

    def captions(self, uid: int) -> tuple[str, ...]:
        raise NotImplementedError

    def label(self, uid: int) -> int:
        return -1

    def check_window(self, window: int) -> None:
        """Any will do."""

    def fetch(self, uids: np.ndarray) -> None:
        if self.gone in uids:
            raise RunError("gone")
        self.fetched.append(int(uids[0]) // BATCH)


def settled(source: Far) -> list[int]:
    """The batches fetched for, once nothing more comes."""
    before = -1
    while before != len(source.fetched):
        before = len(source.fetched)
        time.sleep(0.05)
    return source.fetched


@pytest.mark.parametrize("start", [0, 7])
def test_the_next_shard_is_fetched_while_this_one_is_read_and_no_more(start: int) -> None:
    source = Far()
    assert isinstance(source, Shards)
    with Ahead(source, PLAN, start) as ahead:
        assert settled(source) == list(range(start, start + AHEAD + 1))
        ahead.at(start + 3)
        assert settled(source) == list(range(start, start + 3 + AHEAD + 1))
        ahead.at(len(PLAN) - 1)
        assert settled(source) == list(range(start, len(PLAN)))


def test_what_workers_are_making_is_fetched_before_they_want_it() -> None:
    """They read that many batches before training asks for them."""
    with Ahead(source := Far(), PLAN, 0, in_making=6):
        assert settled(source) == list(range(AHEAD + 6 + 1))


@pytest.mark.parametrize("world", [2, 5])
def test_of_many_ranks_none_fetches_further_ahead_than_one_process(world: int) -> None:
    """Each has a slice of every batch; what is fetched too far ahead makes room for itself, and is gone when needed."""
    source, mine = Far(), [Batch(np.array_split(batch.uids, world)[0], batch.objective) for batch in PLAN]
    with Ahead(source, mine, 0) as ahead:
        assert settled(source) == list(range(AHEAD + 1))
        ahead.at(len(PLAN) - 1)
        assert settled(source) == list(range(len(PLAN)))


def test_what_cannot_be_fetched_is_left_to_the_reader_and_the_thread_ends() -> None:
    source, before = Far(gone=2 * BATCH), threading.active_count()
    with Ahead(source, PLAN, 0) as ahead:
        ahead.at(30)
        assert settled(source) == [0, 1]
        assert threading.active_count() == before


def test_an_epoch_left_early_leaves_no_thread() -> None:
    before = threading.active_count()
    with Ahead(source := Far(), PLAN, 0):
        settled(source)
    time.sleep(0.05)
    assert threading.active_count() == before


def test_shards_that_lie_here_need_no_thread() -> None:
    source, before = Far(remote=False), threading.active_count()
    with Ahead(source, PLAN, 0) as ahead:
        ahead.at(3)
        assert threading.active_count() == before
    assert source.fetched == []
