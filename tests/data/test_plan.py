"""The plan: no pair is lost, none is read twice, whatever the sizes; the same in every process."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeclip.data.plan import Batch, count_batches, plan

ORDERS = ["mixed", "sequential"]
SIDES = st.lists(st.integers(0, 90), min_size=1, max_size=3)


def sides_of(sizes: list[int], seed: int = 0) -> dict[str, np.ndarray]:
    """Disjoint random uids, so many for each of the objectives a, b, c."""
    uids = np.random.default_rng(seed).permutation(1000)[: sum(sizes)].astype(np.int64)
    return dict(zip("abc", np.split(uids, np.cumsum(sizes)[:-1]), strict=False))


def as_lists(batches: list[Batch]) -> list[tuple[str, list[int]]]:
    return [(batch.objective, batch.uids.tolist()) for batch in batches]


@given(sizes=SIDES, batch_size=st.integers(2, 40), epoch=st.integers(1, 9), order=st.sampled_from(ORDERS))
def test_every_uid_is_planned_exactly_once_an_epoch_for_its_own_objective(
    sizes: list[int], batch_size: int, epoch: int, order: str
) -> None:
    sides = sides_of(sizes)
    planned = Counter((b.objective, uid) for b in plan(5, epoch, sides, batch_size, order) for uid in b.uids.tolist())
    assert planned == Counter({(name, uid): 1 for name, uids in sides.items() for uid in uids.tolist()})


@given(sizes=SIDES, batch_size=st.integers(2, 40), order=st.sampled_from(ORDERS))
def test_batches_are_full_but_for_a_sides_last_and_no_pair_stands_alone(
    sizes: list[int], batch_size: int, order: str
) -> None:
    sides = sides_of(sizes)
    for name, uids in sides.items():
        lengths = [len(b.uids) for b in plan(5, 1, sides, batch_size, order) if b.objective == name]
        assert all(length == batch_size for length in lengths[:-2])
        if lengths:
            assert lengths[-1] <= batch_size + 1
            assert lengths[-1] >= 2 or len(uids) == 1, "a pair alone has no negatives"
        assert len([length for length in lengths if length >= 2 or len(uids) == 1]) == count_batches(
            len(uids), batch_size
        ), "the schedules count what the plan cuts"


@given(sizes=st.lists(st.integers(2, 90), min_size=2, max_size=3), batch_size=st.integers(2, 20))
def test_sequential_runs_one_side_after_the_other_in_the_order_given(sizes: list[int], batch_size: int) -> None:
    order = [b.objective for b in plan(5, 1, sides_of(sizes), batch_size, "sequential")]
    assert order == sorted(order)


@given(ratio=st.integers(1, 6), batches=st.integers(2, 8))
def test_mixed_spreads_the_smaller_side_evenly(ratio: int, batches: int) -> None:
    sides = sides_of([batches * 10, batches * ratio * 10])
    order = [b.objective for b in plan(5, 1, sides, 10, "mixed")]
    places = [i for i, name in enumerate(order) if name == "a"]
    gaps = np.diff(places)
    assert ((gaps >= ratio) & (gaps <= ratio + 2)).all(), order


def test_epochs_and_seeds_shuffle_anew_and_the_order_of_the_input_does_not_matter() -> None:
    sides = sides_of([60, 40])
    first = as_lists(plan(5, 1, sides, 16))
    assert as_lists(plan(5, 1, {k: np.sort(v) for k, v in sides.items()}, 16)) == first
    assert as_lists(plan(5, 2, sides, 16)) != first
    assert as_lists(plan(6, 1, sides, 16)) != first


@pytest.mark.parametrize("order", ORDERS)
def test_another_process_plans_the_same(order: str) -> None:
    code = (
        "import numpy as np; from safeclip.data.plan import plan;"
        f"batches = plan(9, 4, {{'a': np.arange(0, 70, 2), 'b': np.arange(1, 70, 2)}}, 8, {order!r});"
        "print([(b.objective, b.uids.tolist()) for b in batches])"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": "3"}, capture_output=True, text=True, check=True
    )
    here = plan(9, 4, {"a": np.arange(0, 70, 2), "b": np.arange(1, 70, 2)}, 8, order)
    assert other.stdout.strip() == str(as_lists(here))


@pytest.mark.parametrize("batch_size", [-1, 0, 1])
def test_a_batch_without_negatives_is_refused(batch_size: int) -> None:
    with pytest.raises(ValueError, match=f"batch_size = {batch_size}.*at least 2"):
        plan(0, 1, sides_of([10]), batch_size)
