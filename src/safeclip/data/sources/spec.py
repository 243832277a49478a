"""From a data spec to the pairs that it names: `format:path`, or a path that tells its format by its ending."""

from __future__ import annotations

import importlib
import os
import re
from typing import Any

from safeclip.config import DataConfig
from safeclip.data.named_classes import NamedClasses
from safeclip.data.pairs import Shards, Source
from safeclip.data.shard_order import window_of
from safeclip.data.sources.paths import walk
from safeclip.errors import InputError

# format -> (module, function), imported when it is asked for
_OPENERS = {
    "csv": ("tabular", "open_csv"),
    "tsv": ("tabular", "open_tsv"),
    "parquet": ("tabular", "open_parquet"),
    "wds": ("shards", "open_shards"),
    "coco": ("captions", "open_coco"),
    "vg": ("captions", "open_visual_genome"),
    "cc3m": ("cc3m", "open_cc3m"),
    "folder": ("folder", "open_folder"),
    "torchvision": ("torchvision_sets", "open_torchvision"),
    "hf": ("hub", "open_hub"),
}
FORMATS = (*_OPENERS, "emoji")
_FORM = re.compile(r"([A-Za-z]\w+):(?!//)")
"""What stands before the path: no URL's `http:`."""
# shards first: in a folder of them, img2dataset lays tables of what it did
_ENDINGS = {".tar": "wds", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".pq": "parquet"}
READ_BY = ("image_column", "caption_column", "class_column", "quoted", "image_root")
"""Settings of `data` that say how a spec is read."""


def open_pairs(data: DataConfig, split: str | None = None) -> Source:
    """The pairs that `data` names; of another split where one is given. Raises InputError."""
    source = open_source(
        data.spec,
        split=split or data.split,
        spool_gib=data.spool_gib,
        **{name: getattr(data, name) for name in READ_BY},
    )
    if isinstance(source, Shards) and source.remote:
        source.check_window(window_of(source, data.shard_window))
    return source


def open_classed(data: DataConfig, split: str | None = None) -> Source:
    """The same for attacks and evaluation: with the classes that `data.class_names` says. Raises InputError."""
    source = open_pairs(data, split)
    return NamedClasses(source, data.class_names) if data.class_names else source


def open_source(
    spec: str,
    *,
    split: str = "train",
    image_column: str | None = None,
    caption_column: str | None = None,
    class_column: str = "class",
    quoted: bool = True,
    image_root: str | None = None,
    spool_gib: float | None = None,
) -> Source:
    """The pairs that `spec` names.

    split: rows to take where the data has splits; `all` takes every one. Data without splits is taken whole, whatever
    the split. image_column, caption_column: columns of a table, where the usual names do not fit; caption_column is
    also a key of a shard's JSON. class_column: column that names a pair's class. quoted: whether cells of CSV and TSV
    may stand in double quotes. image_root: folder that pictures named by path are read from, and never from outside
    it; None is the folder of the file that names them. spool_gib: disk for local copies of tar shards that lie at a
    URL. Raises InputError.
    """
    kind, path = _told(spec)
    if kind == "emoji":
        from safeclip.data.sources.emoji import EmojiSource

        return EmojiSource.from_spec(spec, split)
    path, _, images = path.partition("?images=")
    if images and image_root is None:
        image_root = images
    if not path:
        raise InputError(f"data {spec!r}: names no path; give one, as in csv:pairs.csv")
    if image_root is not None and "://" not in image_root and not os.path.isdir(os.path.expanduser(image_root)):
        raise InputError(f"data.image_root = {image_root!r}: no such folder; check the path")
    module, function = _OPENERS[kind]
    opener = getattr(importlib.import_module(f"safeclip.data.sources.{module}"), function)
    own: dict[str, Any] = {"quoted": quoted} if kind in ("csv", "tsv", "cc3m") else {}
    if kind == "wds" and spool_gib is not None:
        own["spool_gib"] = spool_gib
    source: Source = opener(
        spec,
        path,
        split=split,
        image_column=image_column,
        caption_column=caption_column,
        class_column=class_column,
        image_root=image_root,
        **own,
    )
    return source


def without_folders(spec: str) -> str:
    """A data spec without its folders: a page or a result names none of the machine that it was made on.

    >>> without_folders("parquet:../shared/pairs.parquet"), without_folders("emoji:pairs=240")
    ('parquet:pairs.parquet', 'emoji:pairs=240')
    """
    path = spec.partition("?images=")[0].rstrip("/")
    form = _FORM.match(path)
    kind = form.group() if form else ""
    if kind == "torchvision:":
        return ":".join(path.split(":")[:2])
    return kind + path[len(kind) :].rsplit("/", 1)[-1]


def said_with_format(spec: str) -> str:
    """`without_folders`, with the format in front where it is told from the path: one name for one file.

    >>> said_with_format("../shared/pairs.parquet"), said_with_format("parquet:pairs.parquet")
    ('parquet:pairs.parquet', 'parquet:pairs.parquet')
    """
    name = without_folders(spec)
    return name if _FORM.match(name) else f"{_told(spec)[0]}:{name}"


def _told(spec: str) -> tuple[str, str]:
    """(format, path): given in front, or told from the path."""
    found = _FORM.match(spec)
    if found is not None and not os.path.exists(spec):
        if found.group(1) not in FORMATS:
            raise InputError(f"data {spec!r}: unknown format {found.group(1)!r}; give one of {', '.join(FORMATS)}")
        return found.group(1), spec[found.end() :]
    path = spec.partition("?images=")[0]
    ending = os.path.splitext(path.rstrip("/"))[1].lower()
    if ending in _ENDINGS:
        return _ENDINGS[ending], spec
    if os.path.isdir(os.path.expanduser(path)):
        return _told_folder(os.path.expanduser(path)), spec
    if ending == ".json" and "region_descriptions" in os.path.basename(path):
        return "vg", spec
    if ending == ".json" and os.path.basename(path).startswith(("captions_", "dataset_")):
        return "coco", spec
    if not path or ("://" not in path and not os.path.exists(os.path.expanduser(path)) and not ending):
        raise InputError(
            f"data {spec!r}: no such file; check the path, or give format:path with one of {', '.join(FORMATS)}"
        )
    raise InputError(f"data {spec!r}: cannot tell its format; give format:path with one of {', '.join(FORMATS)}")


def _told_folder(path: str) -> str:
    _, folders, files = next(walk(path, links=True))
    names = folders + files
    if {"dataset_info.json", "dataset_dict.json"} & set(names):
        return "hf"
    for ending, kind in _ENDINGS.items():
        if any(name.lower().endswith(ending) for name in names):
            return kind
    return "folder"
