"""The bytes at a place in one of many files, for all threads of a process.

What must stay true: threads read side by side, and read on while a file is opened, for which a shard may be fetched;
files are shared neither with a process that is forked nor with one that is sent the pair's source.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any

from safeclip.data.sources.paths import open_binary
from safeclip.errors import InputError

KEPT_OPEN = 64
"""Files a process keeps open at a time."""


class Ranges:
    """Bytes at an offset of many files; keeps the last few open, and none across a fork or a pickle."""

    def __init__(self, opener: Callable[[str], IO[bytes]] = open_binary, kept_open: int | None = None) -> None:
        self._opener, self._kept_open = opener, kept_open
        self._reset()

    def read(self, path: str, offset: int, size: int) -> bytes:
        """`size` bytes, fewer where the file ends before. Raises OSError, and InputError where it cannot be opened or
        its driver fails."""
        if self._pid != os.getpid():
            self._reset()
        with self._lock:
            there = path in self._open
        opened = None if there else self._opener(path)  # the others read on meanwhile: a shard may be fetched for it
        with self._lock:
            handle = self._kept(path, opened)
            try:
                own = os.dup(handle.fileno()) if _is_plain(handle) else None
                if own is None:
                    handle.seek(offset)
                    return _whole(handle.read, size)
            except (OSError, InputError):
                self._forget(path, handle)
                raise
        try:  # side by side: on storage far away a thread waits for each part
            return _whole(lambda most: os.pread(own, most, offset + size - most), size)
        except OSError:
            with self._lock:
                self._forget(path, handle)
            raise
        finally:
            os.close(own)

    def _kept(self, path: str, opened: IO[bytes] | None) -> IO[bytes]:
        """The open file, now the last used one. opened: by this thread, where it was not open before."""
        handle = self._open.pop(path, None)
        if handle is None:  # opened by nobody else, or closed again meanwhile
            handle = opened or self._opener(path)
        elif opened is not None:
            opened.close()
        self._open[path] = handle
        if len(self._open) > (self._kept_open or KEPT_OPEN):
            self._open.popitem(last=False)[1].close()
        return handle

    def _forget(self, path: str, handle: IO[bytes]) -> None:
        """A lost mount's files stay lost when it is back."""
        if self._open.get(path) is handle:
            with contextlib.suppress(OSError, InputError):
                self._open.pop(path).close()

    def _reset(self) -> None:
        self._open: OrderedDict[str, IO[bytes]] = OrderedDict()
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return {"_opener": self._opener, "_kept_open": self._kept_open}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()


def _is_plain(handle: IO[bytes]) -> bool:
    """Whether it is a file of this machine, which has no place of its own to be moved."""
    return isinstance(handle, io.BufferedReader) and isinstance(handle.raw, io.FileIO)


def _whole(read: Callable[[int], bytes], size: int) -> bytes:
    """`size` bytes, or as many as come. read: gives at most as many as are still wanted."""
    parts = []
    while size > 0 and (part := read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
