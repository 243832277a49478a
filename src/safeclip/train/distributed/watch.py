"""Notices within a second that a rank fails or its process ends, even while this rank waits for it in a collective.

A thread adds up one flag a rank, about twice a second, over sockets of its own. A rank that fails says so in its last
beat; a process that ends closes its sockets, and the sum fails on all others. A rank that is merely slow only makes the
beat slow: no clock is compared.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore  # type: ignore[attr-defined]

_BEAT, _GRACE = 0.5, 5.0
"""Seconds between beats; seconds that the training thread gets to leave a collective that will not return."""
_AT_WORK, _DONE, _FAILED = 0, 1, 2


class Watch(threading.Thread):
    """store: where survivors sign, to tell who is missing. Start it on every rank."""

    def __init__(self, store: PrefixStore, timeout: timedelta):
        super().__init__(daemon=True, name="watch over the other ranks")
        self.store, self.rank, self.world = store, dist.get_rank(), dist.get_world_size()
        self.group = dist.new_group(backend="gloo", timeout=timeout)
        self.flag, self.flags = _AT_WORK, [_AT_WORK] * self.world
        self.nudge, self.lost, self.left = threading.Event(), threading.Event(), threading.Event()

    def run(self) -> None:
        with contextlib.suppress(RuntimeError):  # the sockets of a rank are closed
            while True:
                beat = torch.zeros(self.world, dtype=torch.int64)
                beat[self.rank] = self.flag
                dist.all_reduce(beat, group=self.group)
                self.flags = beat.tolist()
                if all(flag == _DONE for flag in self.flags):
                    return
                if _FAILED in self.flags:
                    break
                self.nudge.wait(_BEAT)
        self.lost.set()
        if self.flag == _AT_WORK and not self.left.wait(_GRACE):  # it waits for a rank that is gone
            message = self.account()
            if message is not None:
                print(f"safeclip: {message}", file=sys.stderr, flush=True)
            os._exit(1)

    def finish(self) -> None:
        """Leave with the others, all done."""
        self._end(_DONE)

    def speaks_of_failure(self) -> bool:
        """Tell the others that this rank fails. Returns whether it is the one to say why: the lowest that fails."""
        if self.rank > 0:
            self.lost.wait(4 * _BEAT)  # rank 0 may be about to fail of the same
        self._end(_FAILED)
        failed = [r for r, flag in enumerate(self.flags) if flag == _FAILED]
        return not failed or self.rank == min(failed)

    def notices_loss(self) -> bool:
        """Whether another rank failed or ended, given a moment to find out."""
        lost = self.lost.wait(4 * _BEAT)
        self.left.set()
        return lost

    def account(self) -> str | None:
        """Which ranks are gone, on the lowest of the others; None where another rank speaks."""
        if _FAILED in self.flags:
            return None
        gone = [0]  # with it goes the store, unless torchrun keeps one
        with contextlib.suppress(RuntimeError):
            self.store.set(f"alive/{self.rank}", "1")
            time.sleep(2 * _BEAT)
            gone = [r for r in range(self.world) if not self.store.check([f"alive/{r}"])]
            if self.rank != min(set(range(self.world)) - {*gone}):
                return None
        which = f"rank {gone[0]} of {self.world} is" if len(gone) == 1 else f"ranks {gone} of {self.world} are"
        return (
            f"{which} gone without a word (killed, or out of memory?); "
            "the run stops, `safeclip train --resume` goes on from its last checkpoint"
        )

    def _end(self, flag: int) -> None:
        self.flag = flag
        self.left.set()
        self.nudge.set()
        self.join(None if flag == _DONE else _GRACE)
