"""Whatever the number of ranks, their slices make the plan: each uid once, in its order, and as even as can be."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest

from safeclip.data.plan import digest, plan
from safeclip.train.distributed import slices


@pytest.mark.parametrize("world", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("pairs", [2, 7, 100])
def test_slices_of_all_ranks_are_the_plan(world: int, pairs: int) -> None:
    sides = {"clip": np.arange(0, pairs, 2), "unimodal": np.arange(1, pairs, 2)}
    batches = plan(0, 3, sides, 16)
    taken = []
    for rank in range(world):
        with (
            mock.patch.object(slices, "world", return_value=world),
            mock.patch.object(slices, "rank", return_value=rank),
        ):
            taken.append(slices.shares(batches))
    for i, batch in enumerate(batches):
        parts = [mine[i].uids for mine in taken]
        assert np.concatenate(parts).tolist() == batch.uids.tolist()
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        assert {mine[i].objective for mine in taken} == {batch.objective}
    assert sorted(np.concatenate([b.uids for mine in taken for b in mine]).tolist()) == list(range(pairs))


def test_the_digest_of_a_plan_sees_order_objective_and_bounds() -> None:
    uids = np.arange(40)
    first = plan(0, 1, {"clip": uids}, 8)
    assert digest(first) == digest(plan(0, 1, {"clip": uids}, 8))
    others = [plan(0, 1, {"unimodal": uids}, 8), plan(0, 1, {"clip": uids}, 10), plan(0, 2, {"clip": uids}, 8)]
    assert digest(first) not in map(digest, others)
