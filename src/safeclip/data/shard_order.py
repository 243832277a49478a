"""A plan kept to the order of the shards, for storage that is read from front to back.

    key(uid) = place(shard of uid) + window * u(uid)      place: of its shard in a random order, u: uniform in [0, 1)

Pairs are read by rising key, so that at any moment those of about `window` shards are in reach, new shards enter one by
one, and no shard comes back in the epoch. A window of all shards is a shuffle over everything.

What must stay true: the batches keep their objectives and sizes, and each uid stays in the plan once and with its
objective; the order is a pure function of the seed, the epoch and the plan.
"""

from __future__ import annotations

import numpy as np

from safeclip.data.draws import uniforms
from safeclip.data.pairs import Shards, Source
from safeclip.data.plan import Batch

WINDOW_AT_A_URL = 16
_SHARD_STREAM, _PAIR_STREAM = 102, 103


def window_of(source: Source, asked: int | None) -> int:
    """Shards to shuffle together, 0 for all pairs at once. asked: data.shard_window."""
    if not isinstance(source, Shards):
        return 0
    return asked if asked is not None else WINDOW_AT_A_URL if source.remote else 0


def in_shard_order(batches: list[Batch], ends_S: np.ndarray, window: int, seed: int, epoch: int) -> list[Batch]:
    """The same plan with each objective's uids dealt anew. ends_S: int64, the uid after each shard's last. window:
    shards shuffled together, at least 1.

    >>> plan = [Batch(np.array([0, 2]), "clip"), Batch(np.array([3, 1]), "clip")]
    >>> [sorted(batch.uids.tolist()) for batch in in_shard_order(plan, np.array([2, 4]), 1, seed=0, epoch=1)]
    [[2, 3], [0, 1]]
    """
    place_S = np.argsort(np.argsort(uniforms(seed, epoch, np.arange(len(ends_S)), _SHARD_STREAM, 1)[:, 0]))
    dealt: dict[str, list[np.ndarray]] = {}
    for objective in dict.fromkeys(batch.objective for batch in batches):
        own = [batch.uids for batch in batches if batch.objective == objective]
        uids = np.sort(np.concatenate(own))
        shard = np.searchsorted(ends_S, uids, side="right")
        key = place_S[shard] + window * uniforms(seed, epoch, uids, _PAIR_STREAM, 1)[:, 0]
        ordered = uids[np.argsort(key, kind="stable")]
        dealt[objective] = np.split(ordered, np.cumsum([len(some) for some in own])[:-1])[::-1]
    return [Batch(dealt[batch.objective].pop(), batch.objective) for batch in batches]
