"""Shards at a URL fetched ahead of the batches that need them, so that reading waits for the network once, not at each
shard.

    batch i is trained on  ->  the shards of the batches up to i + ahead are fetched,
    ahead = batches of a shard + 1 + those that workers are making

An epoch has so many batches for so many shards, on however many ranks: each reads its slice of every batch, and a shard
is used up by all of them together.
What must stay true: the batches are the same without it; an error in here is left to the reader of the batch, who meets
it too and says so.
"""

from __future__ import annotations

import threading

from safeclip.data.pairs import Shards, Source
from safeclip.data.plan import Batch
from safeclip.errors import RunError


class Ahead:
    """A thread that fetches for `plan` from its `start`-th batch on, while entered; none where nothing is remote.
    in_making: batches that are read before they are asked for."""

    def __init__(self, source: Source, plan: list[Batch], start: int, in_making: int = 0):
        self._plan, self._now, self._over = plan, start, False
        self._moved = threading.Condition()
        self._thread = None
        if isinstance(source, Shards) and source.remote and start < len(plan):
            self._ahead = -(-len(plan) // len(source.ends_S)) + 1 + in_making
            self._thread = threading.Thread(target=self._run, args=(source, start), daemon=True)

    def at(self, index: int) -> None:
        """The batch of that index is here."""
        with self._moved:
            self._now = index
            self._moved.notify()

    def _run(self, source: Shards, start: int) -> None:
        for index in range(start, len(self._plan)):
            with self._moved:
                while not self._over and index > self._now + self._ahead:
                    self._moved.wait()
                if self._over:
                    return
            try:
                source.fetch(self._plan[index].uids)
            except RunError:
                return  # the reader of this batch tries again, and says what is wrong

    def __enter__(self) -> Ahead:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._moved:
            self._over = True
            self._moved.notify()
