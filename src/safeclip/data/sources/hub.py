"""Hugging Face datasets, on disk (`save_to_disk`) or by name: `hf:path/to/set`, `hf:user/name`, `hf:user/name:config`
(extra `hub`).

What must stay true: pictures come as the files they are (Image(decode=False)), so that decoding them stays the
decoder's, with its limits; no set's own code is run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from safeclip.data.pairs import BadPair, NoSuchSplit, Pair
from safeclip.data.sources import columns as find
from safeclip.data.sources.image_files import ImageFiles
from safeclip.data.sources.labelled import Codes, Labelled, fingerprint
from safeclip.errors import InputError, reason


class HubSource(Labelled):
    """Rows of a datasets.Dataset: a Source (safeclip.data.pairs). rows: the split's rows. classes: names and labels of
    the rows.
    """

    def __init__(
        self,
        name: str,
        rows: Any,
        split: str,
        classes: tuple[tuple[str, ...], Any] | None,
        root: str,
        image_column: str | None = None,
        caption_column: str | None = None,
    ):
        columns = kinds(rows.features)
        captions = find.caption_columns(columns, caption_column, name)
        image = find.image_column(columns, image_column, name)
        extra = f"{rows.builder_name} {rows.version} {sorted(columns)}"
        super().__init__(
            name, fingerprint("hf", [], split, len(rows), extra=f"{os.path.basename(name)} {extra}"), len(rows), classes
        )
        self._pairs = _undecoded(rows.select_columns([image, *captions]), image)
        self._texts = rows.select_columns(list(captions))
        self._image, self._columns, self._root, self._files = image, captions, root, ImageFiles(root)

    def __getitem__(self, uid: int) -> Pair:
        row = self._row(self._pairs, uid)
        captions = find.captions_of([row[c] for c in self._columns])
        return Pair(find.image_of(row[self._image], self._files, self._root), captions)

    def captions(self, uid: int) -> tuple[str, ...]:
        row = self._row(self._texts, uid)
        return find.captions_of([row[c] for c in self._columns])

    def _row(self, rows: Any, uid: int) -> Any:
        """Raises BadPair."""
        uid = self._checked(uid)
        try:
            return rows[uid]
        except UnicodeDecodeError:
            raise BadPair("row is not UTF-8") from None
        except (ValueError, OverflowError) as error:  # cells that Python has no value for; Arrow's errors are of these
            raise BadPair(f"row cannot be read ({reason(error)})") from None


def open_hub(
    name: str,
    path: str,
    *,
    split: str = "train",
    image_column: str | None = None,
    caption_column: str | None = None,
    class_column: str = "class",
    image_root: str | None = None,
) -> HubSource:
    """Pictures that a row names by path are read from image_root, else the set's folder, else Hugging Face's cache.
    Raises InputError.
    """
    datasets = _library(name)
    folder = os.path.expanduser(path)
    parts = _splits(datasets, name, path, folder)
    root = image_root or (folder if os.path.isdir(folder) else str(datasets.config.HF_CACHE_HOME))
    first = next(iter(parts.values()))
    columns = kinds(first.features)
    named, column = find.class_column(columns, class_column, name), find.split_column(columns)
    codes = None if named is None else _codes(parts, named)
    if "" not in parts:  # splits of their own
        if split != "all" and split not in parts:
            raise NoSuchSplit(f"split = {split!r}: no such split in {name}; there are {', '.join(parts)}, or all")
        begin = 0
        for part in parts:
            if part == split:
                break
            begin += len(parts[part])
        rows = datasets.concatenate_datasets(list(parts.values())) if split == "all" else parts[split]
        chosen = np.arange(len(rows)) + (0 if split == "all" else begin)
    elif column is not None and split != "all":
        chosen = _codes(parts, column).rows(split, name)
        rows = first.select(chosen)
    else:
        rows, chosen = first, np.arange(len(first))
    if len(rows) == 0:
        raise InputError(f"data {name}: holds no row; check that it is the set you meant")
    classes = None if codes is None else codes.classes(chosen)
    return HubSource(name, rows, split, classes, root, image_column, caption_column)


def kinds(features: Mapping[str, Any]) -> dict[str, str]:
    """Column -> kind (columns.py), from the set's features."""
    return {name: _kind(feature) for name, feature in features.items()}


def _kind(feature: Any) -> str:
    if isinstance(feature, dict):
        return "struct" if {"bytes", "path"} & feature.keys() else "other"
    if isinstance(feature, list):
        return _kind_of_list(feature[0])
    if type(feature).__name__ == "Image":
        return "struct"
    if type(feature).__name__ in ("Sequence", "List", "LargeList"):
        return _kind_of_list(feature.feature)
    return find.KINDS.get(str(getattr(feature, "dtype", "")), "other")


def _kind_of_list(inner: Any) -> str:
    named = isinstance(inner, dict) and bool({"raw", "caption"} & inner.keys())
    return "texts" if named or _kind(inner) == "text" else "other"


def _library(name: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise InputError(f"data {name}: needs the package `datasets`; run: pip install 'safeclip[hub]'") from None
    return datasets


def _splits(datasets: Any, name: str, path: str, folder: str) -> dict[str, Any]:
    """Split -> rows; {"": rows} for a set without splits. Raises InputError."""
    old = {"trust_remote_code": False} if int(datasets.__version__.split(".")[0]) < 4 else {}  # 4 runs none
    try:
        if os.path.isdir(folder) and {"dataset_dict.json", "dataset_info.json"} & set(os.listdir(folder)):
            found = datasets.load_from_disk(folder)
        elif os.path.isdir(folder):
            found = datasets.load_dataset(folder, **old)
        else:
            hub, _, config = path.partition(":")
            found = datasets.load_dataset(hub, config or None, **old)
    except Exception as error:  # the library raises errors of a dozen packages
        raise InputError(
            f"data {name}: Hugging Face's library cannot load it ({reason(error)}); check the name or path"
        ) from None
    return dict(found) if isinstance(found, dict) else {"": found}


def _undecoded(rows: Any, column: str) -> Any:
    from datasets import Image

    return rows.cast_column(column, Image(decode=False)) if type(rows.features[column]).__name__ == "Image" else rows


def _codes(parts: Mapping[str, Any], column: str) -> Codes:
    """The column over all splits, in their order, a thousand rows at a time, a ClassLabel by name."""
    codes = Codes()
    for rows in parts.values():
        names = getattr(rows.features[column], "names", None)
        for batch in rows.select_columns([column]).with_format("arrow").iter(batch_size=1000):
            for value in batch.column(column).to_pylist():
                if names is not None and value is not None:
                    codes.add(names[value] if 0 <= value < len(names) else "")
                else:
                    codes.add(None if value is None else str(value))
    return codes
