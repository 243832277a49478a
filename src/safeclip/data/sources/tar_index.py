"""Where a tar shard's samples lie: offset and size of each member, found once and kept beside the shard.

What must stay true: nothing is unpacked, so that a member's name is only a key and never a path; an index is used
only while the shard has the size and time it was made for; it is read without pickle, and no more of it than an index
of a shard of that size can be. A key that occurs twice with one ending is marked, not guessed, and so is a picture that
the rule of names does not tell: no pair leaves without a word.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import os
import re
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from safeclip.data.sources.image_files import ENDINGS
from safeclip.data.sources.labelled import Codes
from safeclip.data.sources.paths import Stamp, is_url, open_binary, read_url, stamp
from safeclip.errors import InputError, reason

IMAGE, TEXT, JSON = 0, 1, 2
NONE, TWICE, ODD = -1, -2, -3
"""Offsets of a member that is not there, of one that is there more than once, and of one that is a link or has another
dot in its name."""

_PART = {"txt": TEXT, "json": JSON} | {ending.removeprefix("."): IMAGE for ending in ENDINGS}
_VERSION = 4
_CLASS_BYTES = 256
_INDEX_BYTES = 1 << 28
"""Most that is read of an index at a URL."""
_PADDING = 1 << 17
"""Zeros that may stand behind a tar's end: programs fill up to 10 KiB, or as many blocks as they are told."""


_HEADER_BYTES = 1 << 20
_DIGITS = re.compile(rb"\d{256}")
"""No number has as many, nor has a file's name: Python before 3.12.6 takes time with their square (CVE-2024-6232)."""


@dataclass(frozen=True)
class TarIndex:
    """offset_N3, size_N3: int64, of each sample's image, text and JSON. classes: its .cls text, "" where there is
    none.
    """

    offset_N3: np.ndarray
    size_N3: np.ndarray
    classes: Codes

    def __len__(self) -> int:
        return len(self.offset_N3)


def tar_index(path: str, known: Stamp | None = None, opener: Callable[[str], IO[bytes]] = open_binary) -> TarIndex:
    """The shard's index: the kept one where it still fits, else made and kept. known: the shard's stamp, where it has
    been asked for already. Raises InputError."""
    state = stamp(path) if known is None else known
    mark = _mark(state)
    for place in _places(path):
        kept = _load(place, mark)
        if kept is not None:
            return kept
    index = (_load_beside(path, mark) if is_url(path) else None) or scan(path, state.size, opener)
    keep_index(path, state, index)
    return index


def has_index(path: str, state: Stamp) -> bool:
    """Whether one is kept of the shard in this state. Nothing but its mark is read."""
    return any(_is_marked(place, _mark(state)) for place in _places(path))


def keep_index(path: str, state: Stamp, index: TarIndex) -> None:
    """Keep the index of the shard as it stands: beside it, or in the cache where its folder cannot be written."""
    for place in _places(path):
        with contextlib.suppress(OSError):  # the next place, or made again the next time
            _save(place, _mark(state), index)
            break


def scan(path: str, size: int, opener: Callable[[str], IO[bytes]] = open_binary) -> TarIndex:
    """The index of a tar of `size` bytes, from its headers. Raises InputError."""
    samples: dict[str, int] = {}
    offsets: list[list[int]] = []
    sizes: list[list[int]] = []
    classes: list[str] = []
    classed: set[int] = set()
    with opener(path) as handle:
        try:
            archive = tarfile.open(fileobj=handle, mode="r:", tarinfo=_Header)  # noqa: SIM115  (the handle is what is closed)
            before = -1
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # it would keep every header in memory
                if member.size < 0 or member.offset_data + member.size > size:
                    raise InputError(f"data {path}: is truncated in {member.name[:80]!r}; download the shard again")
                if archive.offset <= before:
                    raise InputError(f"data {path}: its headers run backwards; the shard is damaged")
                before = archive.offset
                key, ending = _key(member.name)
                part = _PART.get(ending)
                if part is None and ending != "cls":
                    part = IMAGE if _dotted(ending) else None
                    if part is None:
                        continue
                if not key or member.isdir() or member.isdev():
                    continue
                place = samples.setdefault(key, len(samples))
                if place == len(offsets):
                    offsets.append([NONE] * 3)
                    sizes.append([0] * 3)
                    classes.append("")
                plain = member.isreg() and not member.issparse()
                if part is None:
                    if not plain:
                        continue
                    here = handle.tell()
                    handle.seek(member.offset_data)
                    said = handle.read(min(member.size, _CLASS_BYTES)).decode("utf-8", "replace")
                    classes[place] = said.replace("\0", "").strip()  # NUL parts the names in the kept index
                    if place in classed:
                        offsets[place][IMAGE] = TWICE
                    classed.add(place)
                    handle.seek(here)
                    continue
                known = offsets[place][part]
                if plain and ending in _PART:
                    offsets[place][part] = member.offset_data if known in (NONE, ODD) else TWICE
                    sizes[place][part] = member.size
                elif known == NONE:
                    offsets[place][part] = ODD
            end = archive.offset
        except (tarfile.TarError, ValueError, OverflowError, EOFError, RecursionError, MemoryError) as error:
            raise InputError(f"data {path}: not an uncompressed tar file, or a damaged one ({reason(error)})") from None
        handle.seek(end)
        if end + 512 > size or _damaged(handle):
            raise InputError(
                f"data {path}: is truncated or damaged after {len(samples):,} samples, or holds several archives, one "
                "behind the other; download the shard again, or name them one by one"
            )
    offset_N3, size_N3 = np.array(offsets, np.int64).reshape(-1, 3), np.array(sizes, np.int64).reshape(-1, 3)
    sample_N = (offset_N3[:, [IMAGE, TEXT]] != NONE).any(axis=1)  # a .json or .cls alone says something about the shard
    codes = Codes()
    for i in np.flatnonzero(sample_N).tolist():
        codes.add(classes[i])
    return TarIndex(offset_N3[sample_N], size_N3[sample_N], codes)


class _Header(tarfile.TarInfo):
    """A member's header. Extended ones that could hold a reader up are damage."""

    def _proc_pax(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        handle: Any = archive.fileobj
        here = handle.tell()
        if self.size > _HEADER_BYTES or _DIGITS.search(handle.read(self.size)):
            raise tarfile.ReadError("an extended header that no program writes")
        handle.seek(here)
        return super()._proc_pax(archive)  # type: ignore[misc,no-any-return]  # private, and the same since Python 2.6


def cache_folder() -> Path:
    """Where indices go whose shard lies in a folder that cannot be written."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "safeclip" / "shards"


def _dotted(ending: str) -> bool:
    """Whether a picture's ending follows another dot, as in img.1.jpg, whose key is img."""
    return _PART.get(ending.rpartition(".")[2]) == IMAGE and "." in ending


def _damaged(handle: IO[bytes]) -> bool:
    """Whether what stands behind the last member is more than a tar's end: anything but zeros (pairs behind a hole, or
    another archive), or more of those than programs write (a download that stopped, into a file made before)."""
    zeros = 0
    while part := handle.read(1 << 20):
        zeros += len(part)
        if part.count(0) != len(part) or zeros > _PADDING:
            return True
    return False


def _mark(state: Stamp) -> np.ndarray:
    return np.array([_VERSION, state.size, state.version], np.int64)


def _key(name: str) -> tuple[str, str]:
    """(key, ending) as WebDataset splits a member's name: at the first dot after the last slash. Hidden files have no
    key.
    """
    folder, slash, base = name.rpartition("/")
    stem, _, ending = base.partition(".")
    return (folder + slash + stem, ending.lower()) if stem else ("", "")


def _places(path: str) -> list[Path]:
    cached = cache_folder() / f"{hashlib.sha256(os.fsencode(_whole(path))).hexdigest()[:32]}.index.npz"
    return [cached] if is_url(path) else [Path(f"{path}.index.npz"), cached]


def _whole(path: str) -> str:
    return path if is_url(path) else os.path.realpath(path)


def _save(place: Path, mark: np.ndarray, index: TarIndex) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=place.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            _write(file, mark, index)
        os.replace(name, place)
    except BaseException:
        os.unlink(name)
        raise


def _write(file: IO[bytes], mark: np.ndarray, index: TarIndex) -> None:
    names = np.frombuffer("\0".join(index.classes.names).encode(), np.uint8)
    np.savez(file, mark=mark, offsets=index.offset_N3, sizes=index.size_N3, names=names, codes=index.classes.values)


def _load_beside(path: str, mark: np.ndarray) -> TarIndex | None:
    """The index at the URL itself, put there with the shard; None as `_load`. It was made where the shard had another
    time, so that only the size can tell that it is the shard's."""
    try:
        return _load(io.BytesIO(read_url(f"{path}.index.npz", _INDEX_BYTES)), mark[:2])
    except InputError:
        return None


def _is_marked(place: Path, mark: np.ndarray) -> bool:
    try:
        with zipfile.ZipFile(place) as kept:
            return np.array_equal(_array(kept, "mark", 24), mark)
    except Exception:  # as in `_load`
        return False


def _load(place: Path | IO[bytes], mark: np.ndarray) -> TarIndex | None:
    """The index kept at `place`; None where there is none, it is of another shard, or it cannot be right."""
    size = int(mark[1])
    samples = size // tarfile.BLOCKSIZE
    named = samples // 3  # two blocks for the .cls, one and more for the rest
    try:
        with zipfile.ZipFile(place) as kept:
            if not np.array_equal(_array(kept, "mark", 24)[: len(mark)], mark):
                return None
            offset_N3, size_N3 = (_array(kept, name, 24 * samples) for name in ("offsets", "sizes"))
            codes = _array(kept, "codes", 4 * samples)
            text = _array(kept, "names", (3 * _CLASS_BYTES + 1) * named).tobytes().decode()
            if text.count("\0") > named:
                return None
            names = text.split("\0")
    except Exception:  # a file that anyone may have put there, in three formats: nearly any error
        return None
    whole = offset_N3.dtype == size_N3.dtype == np.int64 and codes.dtype == np.int32
    whole = whole and offset_N3.ndim == 2 and offset_N3.shape == size_N3.shape == (len(codes), 3)
    if not whole or (len(codes) and not 0 <= codes.min() <= codes.max() < len(names)):
        return None
    if (offset_N3 < ODD).any() or (size_N3 < 0).any() or (size_N3 > size - offset_N3).any():
        return None
    classes = Codes()
    classes.extend(names, codes)
    return TarIndex(offset_N3, size_N3, classes)


def _array(kept: zipfile.ZipFile, name: str, most: int) -> np.ndarray:
    """One of the arrays, of at most so many bytes, whatever its header says. Raises ValueError and what zips raise."""
    with kept.open(f"{name}.npy") as file:
        np.lib.format.read_magic(file)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)  # what savez writes
        data = file.read(most + 1)
    if fortran or len(data) > most or len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name}: not as it is written")
    return np.frombuffer(data, dtype).reshape(shape)
