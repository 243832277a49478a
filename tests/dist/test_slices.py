"""Whatever the number of ranks, their slices make the plan: each uid once, in its order, and as even as can be."""

from __future__ import annotations

import importlib
from unittest import mock

import numpy as np
import pytest
import torch

from safeclip.data.plan import digest, plan
from safeclip.model.pool import Pool
from safeclip.train.distributed import slices

gather = importlib.import_module("safeclip.train.distributed.gather")  # the package has a function of that name


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


@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize("rows", [2, 7, 40])
def test_each_row_is_looked_up_in_the_pool_by_one_rank(world: int, rows: int) -> None:
    pool, z = Pool(size=50, dim=4), torch.nn.functional.normalize(torch.randn(rows, 4), dim=1)
    pool.enqueue(torch.randn(50, 4))
    alone, looked_up = pool.nearest(z), []

    def join(mine: torch.Tensor, counts: list[int]) -> torch.Tensor:
        looked_up.append(mine)
        assert len(counts) == world
        assert counts[rank] == len(mine)
        return torch.zeros(sum(counts), dtype=torch.long)

    pool.spread = gather.by_shares
    for rank in range(world):
        with (
            mock.patch.object(gather, "world", return_value=world),
            mock.patch.object(gather, "rank", return_value=rank),
            mock.patch.object(gather, "gather_rows", join),
        ):
            found = pool.nearest(z)
    if world > 1:
        assert max(map(len, looked_up)) - min(map(len, looked_up)) <= 1
        found = pool.ring[torch.cat(looked_up)]
    assert torch.equal(found, alone)


def test_the_digest_of_a_plan_sees_order_objective_and_bounds() -> None:
    uids = np.arange(40)
    first = plan(0, 1, {"clip": uids}, 8)
    assert digest(first) == digest(plan(0, 1, {"clip": uids}, 8))
    others = [plan(0, 1, {"unimodal": uids}, 8), plan(0, 1, {"clip": uids}, 10), plan(0, 2, {"clip": uids}, 8)]
    assert digest(first) not in map(digest, others)
