"""Plans in shard order: every pair once and with its objective, few shards at a time, the same on every machine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeclip.data.plan import Batch, plan
from safeclip.data.shard_order import in_shard_order

PER_SHARD = 50


def defended(pairs: int, seed: int = 0, epoch: int = 1, batch_size: int = 16) -> list[Batch]:
    safe = np.random.default_rng(seed).random(pairs) < 0.6
    return plan(seed, epoch, {"unimodal": np.flatnonzero(~safe), "clip": np.flatnonzero(safe)}, batch_size)


def same(one: list[Batch], other: list[Batch]) -> bool:
    return all(np.array_equal(a.uids, b.uids) for a, b in zip(one, other, strict=True))


@settings(deadline=None, max_examples=40)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(lambda some: sum(some) > 3),
    window=st.integers(1, 15),
    seed=st.integers(0, 9),
)
def test_every_pair_stays_once_with_its_objective_in_batches_of_the_same_sizes(
    lengths: list[int], window: int, seed: int
) -> None:
    before = defended(sum(lengths), seed)
    after = in_shard_order(before, np.cumsum(lengths), window, seed, 1)
    assert [(b.objective, len(b.uids)) for b in after] == [(b.objective, len(b.uids)) for b in before]
    for objective in ("clip", "unimodal"):
        ours, theirs = (
            np.sort(np.concatenate([np.empty(0, np.int64)] + [b.uids for b in some if b.objective == objective]))
            for some in (after, before)
        )
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("window", [1, 3, 8])
def test_few_shards_are_in_reach_at_a_time_and_none_comes_back(window: int) -> None:
    ends = np.arange(1, 41) * PER_SHARD
    batches = in_shard_order(defended(len(ends) * PER_SHARD), ends, window, 0, 1)
    seen = [set(np.searchsorted(ends, batch.uids, side="right").tolist()) for batch in batches]
    first = {shard: next(i for i, some in enumerate(seen) if shard in some) for shard in range(40)}
    last = {shard: max(i for i, some in enumerate(seen) if shard in some) for shard in range(40)}
    live = [sum(first[s] <= i <= last[s] for s in range(40)) for i in range(len(batches))]
    assert max(live) <= window + 3, "safe and risky pairs need not keep exactly in step"
    assert np.mean(live) >= min(window, 2) * 0.9, "and so many are shuffled together"
    assert sorted(first.values()) != [first[s] for s in range(40)], "the shards themselves are shuffled"


def test_a_window_of_all_shards_shuffles_over_everything() -> None:
    ends = np.arange(1, 21) * PER_SHARD
    uids = np.concatenate([b.uids for b in in_shard_order(defended(1000), ends, 10_000, 0, 1)])
    assert abs(np.corrcoef(np.arange(1000), uids)[0, 1]) < 0.1
    shards = np.searchsorted(ends, uids, side="right")
    assert len(set(shards[:100].tolist())) > 15


def test_it_depends_on_the_seed_and_the_epoch_alone() -> None:
    ends, before = np.arange(1, 21) * PER_SHARD, defended(1000)
    once = in_shard_order(before, ends, 4, 0, 1)
    assert same(once, in_shard_order(before, ends, 4, 0, 1))
    assert not same(once, in_shard_order(before, ends, 4, 0, 2))
    assert not same(once, in_shard_order(before, ends, 4, 1, 1))


def test_the_pairs_of_one_shard_are_shuffled_anew_each_epoch() -> None:
    before = defended(PER_SHARD)
    once, again = (in_shard_order(before, np.array([PER_SHARD]), 1, 0, epoch) for epoch in (1, 2))
    assert not same(once, again)
    assert not all((np.diff(batch.uids) > 0).all() for batch in once)
