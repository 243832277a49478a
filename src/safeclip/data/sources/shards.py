"""WebDataset tar shards as img2dataset writes them: 000.jpg, 000.txt, 000.json; read by uid through a small index
(tar_index.py).

A pair is a key: the name up to its first dot. Its caption is the .txt, whole, else the JSON's `captions`, `caption`
or `text`; a caption_column names another key of the JSON. A `.cls` (number or name) is its class; a set in
CLIP-Benchmark's form (clip_benchmark.py) names its classes beside the shards, and where it has no captions they are
"a photo of a <class>". What must stay true: a key that occurs twice with one ending in a shard is one bad pair, since
either picture could be the wrong one; the same key in two shards is two pairs.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from safeclip.data.pairs import BadPair, Pair, Unreadable
from safeclip.data.sources.clip_benchmark import beside, check_count, named
from safeclip.data.sources.folder import TEMPLATE
from safeclip.data.sources.image_files import MAX_BYTES
from safeclip.data.sources.labelled import Codes, Labelled, fingerprint, usable
from safeclip.data.sources.paths import ASKED_AT_ONCE, Stamp, expand, is_url, split_folder, stamps
from safeclip.data.sources.ranges import Ranges
from safeclip.data.sources.scan_many import scan_many
from safeclip.data.sources.spool import SPOOL_GIB, Spool
from safeclip.data.sources.tar_index import IMAGE, JSON, NONE, ODD, TEXT, TWICE, TarIndex, cache_folder, tar_index
from safeclip.errors import InputError

_KEYS = ("captions", "caption", "text", "txt", "title")
_MOST = 2**32 - 1  # far above MAX_BYTES, so that what is cut to it is refused all the same
_COPIES_OPEN = 8
"""Copies a process keeps open: one that made room for others keeps its disk until it is closed."""
MAX_TEXT_BYTES = 2**20
"""Larger .txt and .json members are not read."""
_NAMES = {IMAGE: "image", TEXT: "text", JSON: "JSON"}


class ShardSource(Labelled):
    """Pairs of tar shards: Shards (safeclip.data.pairs). caption_key: of the JSON, instead of the .txt. spool_gib:
    disk for local copies of shards at URLs."""

    def __init__(
        self,
        name: str,
        files: list[str],
        *,
        split: str = "train",
        caption_key: str | None = None,
        spool_gib: float = SPOOL_GIB,
    ):
        known = stamps(files)
        remote = {path: state for path, state in zip(files, known, strict=True) if is_url(path)}
        self._spool = Spool(cache_folder().parent / "copies", remote, round(spool_gib * 2**30))
        self._ranges = Ranges(self._spool.open, _COPIES_OPEN if remote else None)
        self._files, self._caption_key = files, caption_key
        offsets, sizes, codes, lengths = array("q"), array("I"), Codes(), []
        for index in self._indices(known):  # one at a time, so that no more than the whole is ever held
            offsets.frombytes(index.offset_N3.tobytes())
            sizes.frombytes(index.size_N3.clip(0, _MOST).astype(np.uint32).tobytes())
            codes.extend(index.classes.names, index.classes.values)
            lengths.append(len(index))
        self.ends_S = np.cumsum(lengths)
        self._offset_N3 = np.frombuffer(offsets, np.int64).reshape(-1, 3)
        self._size_N3 = np.frombuffer(sizes, np.uint32).reshape(-1, 3)
        length = len(self._offset_N3)
        if length == 0:
            raise InputError(
                f"data {name}: holds no pair such as 000.jpg with 000.txt; check that it is the file you meant"
            )
        found = beside(files)
        classes = named(codes, found.names, found.where) if found.names else codes.classes()
        self.templates, self._several = found.templates, found.several
        self.captions_from_classes = bool(found.names) and not self._has_captions() and bool((classes[1] >= 0).any())
        if not self.captions_from_classes:
            self._demand_captions(name)
        super().__init__(name, fingerprint("wds", files, split, length, known=known), length, classes)

    def __getitem__(self, uid: int) -> Pair:
        uid = self._checked(uid)
        image = self._member(uid, IMAGE)
        if not image:
            raise BadPair("no image")
        return Pair(image, self.captions(uid))

    def captions(self, uid: int) -> tuple[str, ...]:
        uid = self._checked(uid)
        if self.captions_from_classes:
            return usable([TEMPLATE.format(self.class_names[self.label(uid)])] if self.label(uid) >= 0 else [])
        if self._caption_key is None and self._offset_N3[uid, TEXT] != NONE:
            try:
                text = self._member(uid, TEXT).decode()
                return usable(text.splitlines() if self._several else [text])
            except UnicodeDecodeError:
                raise BadPair("caption is not UTF-8") from None
        return usable(self._from_json(uid))

    @property
    def remote(self) -> bool:
        return bool(self._spool.stamps)

    def check_window(self, window: int) -> None:
        """Raises InputError where the local copies of so many shards are more than there is disk for."""
        sizes = sorted((state.size for state in self._spool.stamps.values()), reverse=True)
        needed = sum(sizes[: window + 2])  # one enters while one leaves
        if needed > self._spool.limit:
            raise InputError(
                f"data.spool_gib = {self._spool.limit / 2**30:.3g}: {min(window + 2, len(sizes))} shards of this data "
                f"take {needed / 2**30:.3g} GiB; give at least that, or lower data.shard_window"
            )

    def fetch(self, uids: np.ndarray) -> None:
        """See that local copies of the shards of these pairs are there. Raises RunError."""
        for shard in np.unique(np.searchsorted(self.ends_S, uids, side="right")).tolist():
            if self._files[shard] in self._spool.stamps:
                self._spool.fetch(self._files[shard])

    def _indices(self, known: list[Stamp]) -> Iterator[TarIndex]:
        """Of all shards; those at URLs are asked for side by side."""
        if not self.remote:
            scan_many(self._files, known)
        with ThreadPoolExecutor(ASKED_AT_ONCE if self.remote else 1) as threads:
            yield from threads.map(lambda path, state: tar_index(path, state, self._spool.open), self._files, known)

    def _from_json(self, uid: int) -> list[Any]:
        try:
            about = json.loads(self._member(uid, JSON) or b"{}")
        except (ValueError, RecursionError):
            raise BadPair("its JSON cannot be read") from None
        keys = _KEYS if self._caption_key is None else (self._caption_key,)
        found = next((about[key] for key in keys if about.get(key)), None) if isinstance(about, dict) else None
        texts = found if isinstance(found, list) else [found]
        return [t.encode("utf-8", "replace").decode() for t in texts if isinstance(t, str)]

    def _member(self, uid: int, part: int) -> bytes:
        """A member's bytes, b"" where there is none. Raises BadPair."""
        offset, size = int(self._offset_N3[uid, part]), int(self._size_N3[uid, part])
        path = self._files[int(np.searchsorted(self.ends_S, uid, side="right"))]
        if offset == NONE:
            return b""
        if offset == TWICE:
            raise BadPair(f"duplicate key: more than one {_NAMES[part]} of this name in {os.path.basename(path)}")
        if offset == ODD:
            raise BadPair(f"its {_NAMES[part]} is a link, or has a dot in its name: keys end at the first")
        most = MAX_BYTES if part == IMAGE else MAX_TEXT_BYTES
        if size > most:
            raise BadPair(f"its {_NAMES[part]} of {size:,} bytes is more than {most:,}")
        try:
            data = self._ranges.read(path, offset, size)
        except (OSError, InputError):
            raise Unreadable(f"{path}: cannot be read") from None
        if len(data) < size:
            raise Unreadable(f"{path}: ends before it should; it changed while in use")
        return data

    def _has_captions(self) -> bool:
        parts = [TEXT, JSON] if self._caption_key is None else [JSON]
        return any(bool((self._offset_N3[:, part] != NONE).any()) for part in parts)

    def _demand_captions(self, name: str) -> None:
        if not self._has_captions():
            wanted = ".json" if self._caption_key is not None else ".txt or .json"
            raise InputError(f"data {name}: no captions: no key has a {wanted} beside its picture")


def open_shards(
    name: str,
    path: str,
    *,
    split: str = "train",
    caption_column: str | None = None,
    spool_gib: float = SPOOL_GIB,
    **_: object,
) -> ShardSource:
    """Shards of a file, glob, braces or folder. In a folder of folders named for splits (train, val, test), those of
    `split`.
    """
    path = os.path.expanduser(path) if "://" not in path else path
    path = split_folder(path, split, (".tar",))
    files = expand(path, (".tar",))
    if os.path.isdir(path):
        check_count(files)
    return ShardSource(name, files, split=split, caption_key=caption_column, spool_gib=spool_gib)
