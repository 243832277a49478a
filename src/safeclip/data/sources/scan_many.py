"""The first opening of many local tar shards: their indices are made side by side, in processes, since headers are read
in Python.

What must stay true: it only fills what `tar_index` keeps, which the opening then reads in the order of the shards, and
makes itself where it is missing; so that nothing depends on it but the time. A process that outlives the run ends with
its shards.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import signal
import sys
from collections.abc import Sequence

from safeclip.cores import wanted_threads
from safeclip.data.sources.paths import Stamp
from safeclip.data.sources.tar_index import has_index, tar_index
from safeclip.errors import InputError

MANY = 16
"""Fewer shards are not worth a process."""
_AT_ONCE = 32


def scan_many(files: Sequence[str], known: Sequence[Stamp]) -> None:
    """Make the indices that are not there or no longer fit, in as many processes as OMP_NUM_THREADS says, else as there
    are cores; each time in another order, so that ranks that open the same shards share the work. A damaged shard is
    left to the opening."""
    new = [about for about in zip(files, known, strict=True) if not has_index(*about)]
    if len(new) < MANY:
        return
    random.Random().shuffle(new)
    forks = sys.platform == "linux" and not multiprocessing.current_process().daemon
    count = min(wanted_threads(), _AT_ONCE) if forks else 1
    if count == 1:
        _scan(new)
        return
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_scan_aside, args=(new[i::count],), daemon=True) for i in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def _scan(some: list[tuple[str, Stamp]]) -> None:
    with contextlib.suppress(InputError):
        for path, state in some:
            tar_index(path, state)


def _scan_aside(some: list[tuple[str, Stamp]]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the process that waits, which ends this one
    _scan(some)
