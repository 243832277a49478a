"""Which pairs a step reads: a pure function of the seed, the epoch and the split, the same on every rank.

Every uid is planned exactly once an epoch: the remainder of a side is its short last batch.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from safeclip.data.draws import shuffled

_ORDER_STREAM = 101


@dataclass(frozen=True)
class Batch:
    """One step. uids: int64 (B,). objective: the loss it gets, by the name that the method gave it."""

    uids: np.ndarray
    objective: str


def plan(
    seed: int,
    epoch: int,
    sides: dict[str, np.ndarray],
    batch_size: int,
    order: Literal["mixed", "sequential"] = "mixed",
) -> list[Batch]:
    """The batches of an epoch.

    sides: objective -> int64 uids of the pairs that get it; a uid belongs to one side.
    order: `mixed` spreads each side's batches evenly over the epoch, `sequential` runs the sides one after the other.
    Raises ValueError on a batch_size under 2.
    """
    if batch_size < 2:
        raise ValueError(f"batch_size = {batch_size}: contrastive losses need at least 2 pairs a batch")
    batches: list[tuple[float, int, Batch]] = []
    for side, (objective, uids) in enumerate(sides.items()):
        parts = _cut(shuffled(seed, epoch, uids, _ORDER_STREAM), batch_size)
        for i, part in enumerate(parts):
            place = (i + 0.5) / len(parts) if order == "mixed" else float(side)
            batches.append((place, side, Batch(part, objective)))
    batches.sort(key=lambda item: item[:2])  # stable: a side's batches keep their order
    return [batch for _, _, batch in batches]


def digest(batches: list[Batch]) -> str:
    """Of a plan: two are the same where their digests are."""
    found = hashlib.sha256()
    for batch in batches:
        found.update(f"{batch.objective} {len(batch.uids)} ".encode() + batch.uids.tobytes())
    return found.hexdigest()


def count_batches(pairs: int, batch_size: int) -> int:
    """Batches that one side of an epoch is cut into: as many as `_cut` gives."""
    full, left = divmod(pairs, batch_size)
    return full + (left >= 2 or (left == 1 and full == 0))


def _cut(uids: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Full batches and a short last one; a single pair left over joins the batch before it, for want of negatives."""
    starts = list(range(0, len(uids), batch_size))
    if len(starts) > 1 and len(uids) - starts[-1] < 2:
        starts.pop()
    return [uids[start:end] for start, end in pairwise([*starts, len(uids)])]
