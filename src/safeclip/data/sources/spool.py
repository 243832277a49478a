"""Whole local copies of shards that lie at a URL, as many as fit in a limit, shared by all processes of a machine.

    open(url) = the local copy, fetched in one stream where it is not there; the copies longest unused make room
    open(path) = the file itself

Reading members of a remote tar one by one costs a request each; shards that are read in their order
(data/shard_order.py) cost one for thousands. Any driver of fsspec will do: http, s3, gs, memory.

What must stay true: a copy is there whole or not at all; a file is fetched by one process at a time; a copy is told
from that of another state of the same URL by its size and version.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from safeclip.data.sources.paths import Stamp, copy_url, open_binary
from safeclip.errors import Halted, InputError, reason

SPOOL_GIB = 32.0
"""Disk for copies, unless told otherwise (data.spool_gib)."""
TRIES = 4
_WAIT_SECONDS = 2.0


class Spool:
    """Copies in `folder`. stamps: url -> what `stamp` says of it. limit: bytes, for all copies in the folder; passed
    by those that are being fetched, and by those that made room while a process has them open."""

    def __init__(self, folder: Path, stamps: dict[str, Stamp], limit: int):
        self.folder, self.stamps, self.limit = folder, stamps, limit

    def open(self, url: str) -> IO[bytes]:
        """The copy, open to read; what has no stamp lies here and is opened itself. Raises Halted where the copy
        cannot be had, InputError where the file cannot."""
        if url not in self.stamps:
            return open_binary(url)
        for _ in range(TRIES):
            self.fetch(url)
            with contextlib.suppress(FileNotFoundError):  # another process needed the room
                return self._place(url).open("rb")
        raise Halted(
            f"data {url}: its local copy in {self.folder} is gone as soon as it is there; raise data.spool_gib"
        )

    def fetch(self, url: str) -> None:
        """See that the copy is there, and count it as used. Raises Halted."""
        try:
            if not self._used(self._place(url)):
                self._copy(url)
        except OSError as error:
            raise Halted(
                f"data {url}: no local copy can be kept in {self.folder} ({reason(error)}); "
                "set XDG_CACHE_HOME to a folder that can be written"
            ) from None

    def _copy(self, url: str) -> None:
        place = self._place(url)
        with self._alone(place):
            if self._used(place):
                return
            beside = place.with_name(place.name + ".part")
            for left in reversed(range(TRIES)):
                try:
                    self._make_room(self.stamps[url].size)
                    copy_url(url, beside, self.stamps[url].size)
                    break
                except (OSError, InputError) as error:
                    beside.unlink(missing_ok=True)
                    if left == 0:
                        raise Halted(
                            f"data {url}: cannot be fetched, tried {TRIES} times ({reason(error)}); "
                            "see that it can be reached, then go on with --resume"
                        ) from None
                    time.sleep(_WAIT_SECONDS * 2 ** (TRIES - 1 - left))
            os.replace(beside, place)

    def _make_room(self, size: int) -> None:
        """Drop the copies longest unused until one of `size` bytes fits."""
        copies = []
        for file in self.folder.glob("*.copy"):
            with contextlib.suppress(FileNotFoundError):  # another process drops some too
                copies.append((file.stat().st_mtime_ns, file.stat().st_size, file))
        total = sum(bytes_ for _, bytes_, _ in copies)
        for _, bytes_, file in sorted(copies):
            if total + size <= self.limit:
                break
            file.unlink(missing_ok=True)
            total -= bytes_
        if size > shutil.disk_usage(self.folder).free:
            raise OSError(f"no room in {self.folder} for {size:,} bytes")

    def _used(self, place: Path) -> bool:
        try:
            os.utime(place)
        except FileNotFoundError:
            return False
        return True

    def _place(self, url: str) -> Path:
        name = f"{url}\0{self.stamps[url].size}\0{self.stamps[url].version}"
        return self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.copy"

    @contextlib.contextmanager
    def _alone(self, place: Path) -> Iterator[None]:
        """One process, and one of its threads, at a time; a process that dies lets go."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with place.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield
            finally:  # closing it would not do: data workers that were forked meanwhile have it open too
                fcntl.flock(lock, fcntl.LOCK_UN)
