"""Who does which run: several processes, or machines that share the folder, may work on one bench.

A claim is a lock on DIR/claims/<name>. What must stay true: it ends with the process that holds it, however that ends,
so that no run is lost to one that was killed.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from safeclip.run import writing


@contextmanager
def claim(folder: Path, name: str) -> Iterator[bool]:
    """Whether it is ours now: False where another process holds it. Given back at the end."""
    with _file(folder, name) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def alone(folder: Path, name: str = "together") -> Iterator[None]:
    """Wait until no other process is in here with that name: for what several write together."""
    with _file(folder, name) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def alone_beside(file: Path) -> Iterator[None]:
    """The same for a file that benches in other folders write too. Leaves nothing there: the lock is on its folder."""
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _file(folder: Path, name: str) -> IO[str]:
    path = folder / "claims" / name
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a")
