"""The manifest: one parquet file that says which pairs were planted, how, and what stood there before.

    read(uid) = planted(uid) if uid in manifest else data(uid)

A row a planted uid. Rows with uid -1 hold the target pictures of targeted attacks, each once; the planted rows point at
them by (attack, target_index), and some show a picture of their own instead. Pictures are lossless PNG: what is planted
must reach training bit for bit.
Other uids are never touched, and the same manifest gives the same pairs in every process and run.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from safeclip.attacks.manifest_check import MAX_PIXELS, check_about, check_manifest, require
from safeclip.attacks.manifest_rows import read_rows
from safeclip.attacks.trigger import Trigger
from safeclip.data.decode import decode
from safeclip.data.pairs import BadPair, Source
from safeclip.errors import InputError
from safeclip.run import replacing

FORMAT = 1
_KEY = b"safeclip.manifest"
_SCHEMA = pa.schema(
    [
        ("uid", pa.int64()),  # -1: a target picture
        ("attack", pa.string()),
        ("image", pa.binary()),  # PNG; null: the target picture that target_index names, or else the pair's own
        ("caption", pa.string()),  # the only caption from now on; null: the pair's own
        ("trigger", pa.string()),  # JSON of its name and parameters; null: none
        ("target_index", pa.int32()),  # -1: none
        ("caption_before", pa.list_(pa.string())),
    ]
)


_LOOKED_AT = 16
"""Planted pairs, about, whose captions are compared with those of the data."""


@dataclass(frozen=True, slots=True)
class Planted:
    """One planted pair. None keeps what the pair has; target_index >= 0 shows that target picture of the attack."""

    uid: int
    attack: str
    caption: str | None = None
    caption_before: tuple[str, ...] = ()
    image: bytes | None = None
    trigger: Trigger | None = None
    target_index: int = -1


class Manifest:
    """Planted pairs of one data set; a reader's edit hook.

    source: {name, fingerprint, length} of the data it belongs to. attacks: a dict an attack: name, kind (one of
    manifest_check's KINDS), target_class (None where there are several), class_names, seed, count, rate (share of the
    pairs), params; for `targeted` targets [{index, true, target, uid, source}]; for `swap` from_class; for `text`
    text_trigger {text, place}. pictures: PNG of (attack, target index).
    Raises InputError where these do not fit together.
    """

    def __init__(
        self,
        source: dict[str, Any],
        attacks: Sequence[dict[str, Any]],
        planted: Iterable[Planted],
        pictures: dict[tuple[str, int], bytes] | None = None,
    ):
        check_about(source, attacks)
        self.source, self.attacks = dict(source), list(attacks)
        self.planted = sorted(planted, key=lambda row: row.uid)
        self.pictures = dict(pictures or {})
        self.uids = np.array([row.uid for row in self.planted], np.int64)
        self._rows = {row.uid: row for row in self.planted}
        self._seeds = {attack["name"]: attack["seed"] for attack in self.attacks}
        check_manifest(self)

    @classmethod
    def of(cls, source: Source, attack: dict[str, Any], planted: Iterable[Planted], pictures: Any = None) -> Manifest:
        """The manifest of one attack on `source`."""
        about = {"name": source.name, "fingerprint": source.fingerprint, "length": len(source)}
        return cls(about, [attack], planted, pictures)

    def __len__(self) -> int:
        return len(self.planted)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Manifest) and all(
            getattr(self, name) == getattr(other, name) for name in ("source", "attacks", "planted", "pictures")
        )

    __hash__ = None  # type: ignore[assignment]

    def __call__(self, uid: int, image: np.ndarray, captions: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
        """The pair as training sees it; image: uint8 RGB (H, W, 3), never changed in place."""
        row = self._rows.get(int(uid))
        if row is None:
            return image, captions
        if row.image is not None:
            image = decode(row.image, max_pixels=MAX_PIXELS)
        elif row.target_index >= 0:
            image = self._targets[row.attack, row.target_index]
        if row.trigger is not None:
            image = row.trigger(image, self._seeds[row.attack], row.uid)
        return image, captions if row.caption is None else (row.caption,)

    def shown(self, attack: str, uid: int, image: np.ndarray) -> np.ndarray:
        """A picture of the test with the attack's trigger, at full strength and by draws of its own.

        uid: the picture's, among those evaluated. image: uint8 RGB (H, W, 3), never changed in place. Raises InputError
        where the attack has no trigger.
        """
        for row in self.planted:
            if row.attack == attack and row.trigger is not None:
                return row.trigger.at_full_strength()(image, self._seeds[attack], uid, stream=1)
        raise InputError(f"attack {attack!r}: plants no trigger to show in a picture")

    def attack(self, name: str) -> dict[str, Any]:
        """The attack's metadata. Raises InputError on an unknown name."""
        for attack in self.attacks:
            if attack["name"] == name:
                return attack
        raise InputError(f"attack {name!r}: not in the manifest; there are {', '.join(self._seeds)}")

    def planted_by(self, name: str) -> list[Planted]:
        """The rows of one attack, by uid."""
        return [row for row in self.planted if row.attack == name]

    def name_of(self, uid: int) -> str | None:
        """Name of the attack that planted the pair; None where none did."""
        row = self._rows.get(int(uid))
        return None if row is None else row.attack

    def attack_of(self, uids: np.ndarray) -> np.ndarray:
        """Name of the attack that planted each pair, "" where none did; a str array as long as uids."""
        return np.array([self.name_of(uid) or "" for uid in np.asarray(uids).tolist()], dtype=np.str_)

    def targets(self, name: str | None = None) -> list[tuple[np.ndarray, str, str]]:
        """Target picture (uint8 HWC), true class, attacker's class; of one attack or of all."""
        return [
            (self._targets[attack["name"], target["index"]], target["true"], target["target"])
            for attack in self.attacks
            if name is None or attack["name"] == name
            for target in attack.get("targets", ())
        ]

    def check(self, source: Source) -> None:
        """Raises InputError where the manifest belongs to other data, or to this data in another order: file names and
        sizes, of which a fingerprint is made, say nothing of that; the captions of some planted pairs do."""
        if (source.fingerprint, len(source)) != (self.source["fingerprint"], self.source["length"]):
            raise InputError(
                f"manifest of {self.source['name']} ({self.source['length']} pairs, {self.source['fingerprint']}) does "
                f"not fit {source.name} ({len(source)} pairs, {source.fingerprint}); plan the attack anew on this data"
            )
        near = not getattr(source, "remote", False)  # each caption of a far shard costs the whole shard
        for row in self.planted[:: max(1, len(self.planted) // _LOOKED_AT)] if near else ():
            if row.caption_before and _captions(source, row.uid) not in (None, row.caption_before):
                raise InputError(
                    f"manifest of {self.source['name']}: pair {row.uid} of {source.name} has other captions than when "
                    "the attack was planned; plan it anew on this data, or read the same caption column"
                )

    @cached_property
    def digest(self) -> str:
        """What it plants and shows, sha256 in hex: that of every file that holds it."""
        found = hashlib.sha256(json.dumps([self.source, self.attacks], sort_keys=True).encode())
        for row in self.planted:
            trigger = None if row.trigger is None else row.trigger.to_json()
            told = (row.uid, row.attack, row.caption, row.caption_before, trigger, row.target_index)
            found.update(repr(told).encode() + (row.image or b""))
        for key, png in sorted(self.pictures.items()):
            found.update(repr(key).encode() + png)
        return found.hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file whole or not at all. Raises RunError where it cannot be written."""
        path = Path(path)
        rows = [_row(-1, name, image=png, target_index=index) for (name, index), png in sorted(self.pictures.items())]
        for p in self.planted:
            trigger = None if p.trigger is None else p.trigger.to_json()
            rows.append(_row(p.uid, p.attack, p.image, p.caption, trigger, p.target_index, list(p.caption_before)))
        about = {"format": FORMAT, "source": self.source, "attacks": self.attacks}
        schema = _SCHEMA.with_metadata({_KEY: json.dumps(about, ensure_ascii=False).encode()})
        with replacing(path) as beside, beside.open("wb") as file:  # pyarrow takes no name that is not UTF-8
            pq.write_table(pa.Table.from_pylist(rows, schema=schema), file, compression="zstd")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Manifest:
        """Read what `save` wrote. Raises InputError on anything else."""
        if not Path(path).is_file():
            raise InputError(f"{path}: no such manifest; `safeclip poison --out FILE` writes one")
        try:
            schema = pq.read_schema(path)
            about = json.loads((schema.metadata or {}).get(_KEY, b"null"))
            require(isinstance(about, dict), "is no manifest (its metadata is missing); `safeclip poison` writes one")
            require(about.get("format") == FORMAT, f"format {about.get('format')!r}; this version reads {FORMAT}")
            for column in _SCHEMA:
                require(
                    column.name in schema.names, f"column {column.name} is missing; write it with `safeclip poison`"
                )
                kind = schema.field(column.name).type
                require(
                    kind == column.type,
                    f"column {column.name} is {kind}, not {column.type}; write it with `safeclip poison`",
                )
            rows = read_rows(Path(path), _SCHEMA.names)
            return cls(about.get("source"), about.get("attacks"), *_parse(rows))
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        except (pa.ArrowException, OSError, ValueError, RecursionError) as error:
            raise InputError(f"{path}: not readable as a manifest ({type(error).__name__}); write it anew") from None

    @classmethod
    def combine(cls, manifests: Sequence[Manifest]) -> Manifest:
        """Several attacks on one data set. Raises InputError where they share a uid or a name, or are of other data."""
        if not manifests:
            raise InputError("combine: no manifests; give one or more")
        first = manifests[0].source
        for other in manifests[1:]:
            if any(other.source[key] != first[key] for key in ("fingerprint", "length")):
                raise InputError(
                    f"combine: manifests of other data ({first['name']} and {other.source['name']}); plan both on one"
                )
        uids, counts = np.unique(np.concatenate([m.uids for m in manifests]), return_counts=True)
        if (counts > 1).any():
            raise InputError(
                f"combine: uid {uids[counts > 1][0]} is planted twice; plan the second attack with avoid=first.uids"
            )
        return cls(
            first,
            [attack for m in manifests for attack in m.attacks],
            [row for m in manifests for row in m.planted],
            {key: png for m in manifests for key, png in m.pictures.items()},
        )

    @cached_property
    def _targets(self) -> dict[tuple[str, int], np.ndarray]:
        return {key: decode(png, max_pixels=MAX_PIXELS) for key, png in self.pictures.items()}


def _captions(source: Source, uid: int) -> tuple[str, ...] | None:
    """None where they cannot be read now."""
    try:
        return source.captions(uid)
    except BadPair:
        return None


def is_manifest(path: str | os.PathLike[str]) -> bool:
    """Whether the file is one, of any version."""
    try:
        return _KEY in (pq.read_schema(path).metadata or {})
    except (OSError, pa.ArrowException):
        return False


def to_png(image_HWC: np.ndarray) -> bytes:
    """uint8 RGB -> lossless PNG."""
    buffer = io.BytesIO()
    Image.fromarray(image_HWC).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _row(
    uid: int,
    attack: str,
    image: bytes | None = None,
    caption: str | None = None,
    trigger: str | None = None,
    target_index: int = -1,
    caption_before: list[str] | None = None,
) -> dict[str, Any]:
    values = (uid, attack, image, caption, trigger, target_index, caption_before or [])
    return dict(zip(_SCHEMA.names, values, strict=True))


def _parse(rows: list[dict[str, Any]]) -> tuple[list[Planted], dict[tuple[str, int], bytes]]:
    planted, pictures, triggers = [], {}, {}
    for row in rows:
        for name in ("uid", "attack", "target_index", "caption_before"):
            require(row[name] is not None, f"uid {row['uid']}: {name} is null; write it with `safeclip poison`")
        if row["uid"] == -1:
            key = row["attack"], row["target_index"]
            require(row["image"] is not None and key not in pictures, f"target {key}: needs one picture")
            pictures[key] = row["image"]
            continue
        text = row["trigger"]
        if text is not None and text not in triggers:
            triggers[text] = Trigger.from_json(text)
        before = tuple(row["caption_before"])
        require(None not in before, f"uid {row['uid']}: caption_before holds a null")
        trigger = None if text is None else triggers[text]
        planted.append(
            Planted(row["uid"], row["attack"], row["caption"], before, row["image"], trigger, row["target_index"])
        )
    return planted, pictures
