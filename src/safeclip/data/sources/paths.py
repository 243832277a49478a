"""From what a data spec names to files: globs, braces, folders and URLs; and the bytes at a place in such a file.

What must stay true: the order of the files is the same on every machine, since uids count through it.
"""

from __future__ import annotations

import glob
import itertools
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from safeclip.errors import InputError

KEPT_OPEN = 64
"""Files a process keeps open at a time."""


def is_url(path: str) -> bool:
    return "://" in path


def expand(path: str, endings: Sequence[str]) -> list[str]:
    """The files that `path` names, in sorted order: one file, a glob, `{000..099}` braces, or a folder's files with
    these endings.

    Raises InputError where there is none.
    """
    if is_url(path):
        return _expand_url(path)
    path = os.path.expanduser(path)
    if os.path.isdir(path):
        found = sorted(str(f) for f in Path(path).rglob("*") if f.suffix.lower() in endings and f.is_file())
        if not found:
            raise InputError(
                f"data {path}: no {' or '.join(endings)} file in this folder; name the files, or another format"
            )
        return found
    if os.path.exists(path):
        return [path]
    found = []
    for name in braces(path):
        matches = sorted(glob.glob(name, recursive=True)) if glob.has_magic(name) else [name]
        missing = name if not matches else next((m for m in matches if not os.path.exists(m)), None)
        if missing is not None:
            raise InputError(f"data {missing}: no such file; check the path")
        found += [m for m in matches if os.path.isfile(m)]
    if not found:
        raise InputError(f"data {path}: no such file; check the path")
    return list(dict.fromkeys(found))


def only_file(path: str) -> str:
    """`path`, where it names one file. Raises InputError."""
    if not is_url(path) and os.path.isdir(os.path.expanduser(path)):
        raise InputError(f"data {path}: is a folder; name the file in it")
    files = expand(path, ())
    if len(files) > 1:
        raise InputError(f"data {path}: names {len(files)} files; give one")
    return files[0]


def braces(pattern: str) -> list[str]:
    """`a{08..10}{x,y}` as a08x, a08y, a09x, ...: numbers keep their width, as in a shell. Raises InputError."""
    parts: list[list[str]] = []
    at = 0
    for found in re.finditer(r"\{(\d+)\.\.(\d+)\}|\{([^{},]*(?:,[^{},]*)+)\}", pattern):
        parts.append([pattern[at : found.start()]])
        at = found.end()
        first, last, listed = found.groups()
        if listed is not None:
            parts.append(listed.split(","))
            continue
        if not 0 <= int(last) - int(first) < 1_000_000:
            raise InputError(f"data {pattern}: {found.group()} names no range; give it as {{000..099}}")
        parts.append([str(n).zfill(len(first)) for n in range(int(first), int(last) + 1)])
    parts.append([pattern[at:]])
    return ["".join(names) for names in itertools.product(*parts)]


def open_binary(path: str) -> IO[bytes]:
    """The file to read from its start, local or at a URL. Raises InputError."""
    try:
        if is_url(path):
            import fsspec

            return fsspec.open(path, "rb").open()  # type: ignore[no-any-return]
        return open(path, "rb")
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"data {path}: cannot be opened ({_reason(error)}); check the path") from None


def stamp(path: str) -> tuple[int, int]:
    """(size in bytes, time of the last change in ns, 0 at a URL). Raises InputError."""
    try:
        if is_url(path):
            import fsspec

            files, inside = fsspec.core.url_to_fs(path)
            return int(files.size(inside) or 0), 0
        status = os.stat(path)
        return status.st_size, status.st_mtime_ns
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"data {path}: cannot be read ({_reason(error)}); check the path") from None


class Ranges:
    """Bytes at an offset of many files; keeps the last few open, and none across a fork or a pickle."""

    def __init__(self) -> None:
        self._reset()

    def read(self, path: str, offset: int, size: int) -> bytes:
        """`size` bytes, fewer where the file ends before. Raises OSError, and InputError where it cannot be opened."""
        if self._pid != os.getpid():
            self._reset()
        with self._lock:
            handle = self._open.pop(path, None)
            if handle is None:
                handle = open_binary(path)
            self._open[path] = handle
            if len(self._open) > KEPT_OPEN:
                self._open.popitem(last=False)[1].close()
            handle.seek(offset)
            parts = []
            while size > 0 and (part := handle.read(size)):
                parts.append(part)
                size -= len(part)
            return b"".join(parts)

    def _reset(self) -> None:
        self._open: OrderedDict[str, IO[bytes]] = OrderedDict()
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._reset()


def _expand_url(path: str) -> list[str]:
    found = []
    for name in braces(path):
        if "*" not in name:
            found.append(name)
            continue
        try:
            import fsspec

            files, inside = fsspec.core.url_to_fs(name)
            matches = sorted(files.unstrip_protocol(match) for match in files.glob(inside))
        except (OSError, ValueError, ImportError) as error:
            raise InputError(f"data {name}: cannot be listed ({_reason(error)}); check the address") from None
        if not matches:
            raise InputError(f"data {name}: no such file; check the address")
        found += matches
    return found


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return " ".join(text.split())
