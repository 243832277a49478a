"""From what a data spec names to files: globs, braces, folders and URLs; and the bytes at a place in such a file.

What must stay true: the order of the files is the same on every machine, since uids count through it; what is named and
cannot be reached is an error, never left out.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import io
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from safeclip.data.pairs import NoSuchSplit
from safeclip.data.sources.ask_again import ask_again
from safeclip.errors import InputError, reason

SPLITS = ("train", "val", "valid", "validation", "dev", "test")
"""Names of folders that part a set."""
ASKED_AT_ONCE = 16
"""Files at URLs that a server is asked for side by side."""
_SILENT = 60
"""Seconds without a byte after which a server counts as gone."""
_VERSIONS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated")
"""Names under which drivers tell a file's state, the surest first."""


def is_url(path: str) -> bool:
    return "://" in path


def expand(path: str, endings: Sequence[str]) -> list[str]:
    """The files that `path` names, in sorted order: one file, a glob, `{000..099}` braces, or all files with these
    endings in a folder and its folders, through links too, but for hidden ones.

    Raises InputError where there is none, and where one cannot be reached.
    """
    if is_url(path):
        return _expand_url(path)
    path = os.path.expanduser(path)
    if os.path.isdir(path):
        found = sorted(str(f) for f in _below(path) if f.suffix.lower() in endings)
        if lost := next((name for name in found if not os.path.isfile(name)), None):
            raise InputError(f"data {lost}: no such file, or a link to none; restore it, or take it away")
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


def split_folder(path: str, split: str, endings: Sequence[str]) -> str:
    """The folder of `split` in a folder of folders named for splits, which has no file of these endings itself; else
    `path`, and for `all`. Raises NoSuchSplit."""
    if split == "all" or not os.path.isdir(path):
        return path
    _, folders, files = next(walk(path, links=True))
    there = [folder for folder in folders if folder in SPLITS]
    if not there or any(file.lower().endswith(tuple(endings)) for file in files):
        return path
    if split not in there:
        raise NoSuchSplit(f"split = {split!r}: no such split in {path}; there are {', '.join(there)}, or all")
    return os.path.join(path, split)


def walk(path: str, links: bool) -> Iterator[tuple[str, list[str], list[str]]]:
    """os.walk without hidden files and folders, in sorted order. links: whether folders that are links are entered,
    each once. Raises InputError where a folder cannot be read."""

    def failed(error: OSError) -> None:
        raise InputError(f"data {error.filename}: cannot be read ({reason(error)}); check its permissions") from None

    seen = {os.path.realpath(path)}
    for folder, subfolders, files in os.walk(path, onerror=failed, followlinks=links):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        if links:
            real = {name: os.path.realpath(os.path.join(folder, name)) for name in subfolders}
            subfolders[:] = [name for name in subfolders if not (real[name] in seen or seen.add(real[name]))]  # type: ignore[func-returns-value]
        yield folder, subfolders, sorted(name for name in files if not name.startswith("."))


def _below(path: str) -> Iterator[Path]:
    return (Path(folder, file) for folder, _, files in walk(path, links=True) for file in files)


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


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells a file's states apart. size: bytes. version: at a URL a hash of its ETag or time, where it tells one,
    else 0; of a local file the time of its last change in ns."""

    size: int
    version: int


def open_binary(path: str) -> IO[bytes]:
    """The file to read from its start, local or at a URL. Raises InputError, and at a URL so do its own methods."""
    if is_url(path):
        with _remote(path, "opened"):
            import fsspec

            return io.BufferedReader(_AtUrl(path, fsspec.open(path, "rb", **_options(path)).open()))
    try:
        return open(path, "rb")
    except (OSError, ValueError) as error:
        raise InputError(f"data {path}: cannot be opened ({reason(error)}); check the path") from None


def stamp(path: str) -> Stamp:
    """Size and version of a file. Raises InputError."""
    if is_url(path):
        with _remote(path, "read"):
            files, inside = _driver(path)
            about = ask_again(lambda: files.info(inside))
            told = next((str(about[key]) for key in _VERSIONS if about.get(key)), "")
            version = int(hashlib.sha256(told.encode()).hexdigest()[:15], 16) if told else 0
            return Stamp(int(about.get("size") or 0), version)
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        raise InputError(f"data {path}: cannot be read ({reason(error)}); check the path") from None
    return Stamp(status.st_size, status.st_mtime_ns)


def stamps(paths: Sequence[str]) -> list[Stamp]:
    """`stamp` of each; those at URLs are asked for side by side. Raises InputError."""
    if not any(is_url(path) for path in paths):
        return [stamp(path) for path in paths]
    with ThreadPoolExecutor(ASKED_AT_ONCE) as threads:
        return list(threads.map(stamp, paths))


def copy_url(url: str, place: Path, size: int) -> None:
    """Copy a file of `size` bytes in one stream. Raises InputError where it cannot be had, or has another size."""
    import fsspec

    class Bounded(fsspec.callbacks.Callback):  # type: ignore[misc]
        def relative_update(self, inc: int = 1) -> None:
            super().relative_update(inc)
            if self.value > size:
                raise ValueError(f"it has more than {size:,} bytes, so it changed while in use")

    with _remote(url, "fetched"):
        files, inside = _driver(url)
        files.get_file(inside, str(place), callback=Bounded())
        if place.stat().st_size != size:
            raise ValueError(f"it has {place.stat().st_size:,} bytes, not {size:,}, so it changed while in use")


def read_url(url: str, most: int) -> bytes:
    """The whole of a small file. Raises InputError where it cannot be had, or has more than `most` bytes."""
    size = stamp(url).size
    if size > most:
        raise InputError(f"data {url}: {size:,} bytes are more than {most:,}")
    with _remote(url, "read"):
        files, inside = _driver(url)
        return bytes(ask_again(lambda: files.cat_file(inside))[:most])


class _AtUrl(io.RawIOBase):
    """A file that a driver of fsspec opened, whose errors are one line: few drivers read a line of limited size, and
    each has errors of its own."""

    def __init__(self, path: str, file: Any) -> None:
        self._path, self._file = path, file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _remote(self._path, "read"):
            data = self._file.read(len(buffer))
            buffer[: len(data)] = data
            return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with _remote(self._path, "read"):
            self._file.seek(offset, whence)
            return self.tell()

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _expand_url(path: str) -> list[str]:
    found = []
    for name in braces(path):
        if "*" not in name:
            found.append(name)
            continue
        with _remote(name, "listed"):
            files, inside = _driver(name)
            matches = sorted(files.unstrip_protocol(match) for match in files.glob(inside))
        if not matches:
            raise InputError(f"data {name}: no such file; check the address")
        found += matches
    return found


def _driver(url: str) -> tuple[Any, str]:
    """fsspec's driver for a URL, and the name that the file has there."""
    import fsspec

    files, inside = fsspec.core.url_to_fs(url, **_options(url))
    return files, inside


def _options(url: str) -> dict[str, Any]:
    """What its driver has to be told. That of HTTP gives up a file after 5 minutes, however well it comes, which a
    shard may take; and waits that long for a server that has fallen silent."""
    if not url.startswith(("http://", "https://")):
        return {}
    import aiohttp
    import fsspec

    asked = {
        k: v for of in ("http", "https") for k, v in fsspec.config.conf.get(of, {}).get("client_kwargs", {}).items()
    }
    return {"client_kwargs": {"timeout": aiohttp.ClientTimeout(sock_connect=30, sock_read=_SILENT), **asked}}


@contextlib.contextmanager
def _remote(path: str, what: str) -> Iterator[None]:
    """Whatever a driver of fsspec raises, as one line."""
    try:
        yield
    except ImportError as error:
        raise InputError(f"data {path}: cannot be {what} ({reason(error)}); pip install 'safeclip[remote]'") from None
    except Exception as error:  # each driver has errors of its own
        raise InputError(f"data {path}: cannot be {what} ({reason(error)}); check the address") from None
