"""Who does which run: several processes, or machines that share the folder, may work on one bench.

A claim is a lock on DIR/claims/<name>. What must stay true: it ends with the process that holds it, however that ends,
so that no run is lost to one that was killed.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def claim(folder: Path, name: str) -> Iterator[bool]:
    """Whether it is ours now: False where another process holds it. Given back at the end."""
    with _file(folder, name).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other process is in here: for what several write together."""
    with _file(folder, "together").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _file(folder: Path, name: str) -> Path:
    path = folder / "claims" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
