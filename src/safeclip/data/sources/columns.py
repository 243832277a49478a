"""Which column of a table holds the pictures, which the captions, and what their cells mean.

A column has a kind: `text`, `bytes`, `struct` (Hugging Face's {bytes, path}), `texts` (a list of text or of {raw:
text}), `null` (nothing but missing values), `other`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from safeclip.data.pairs import BadPair
from safeclip.data.sources.image_files import ImageFiles
from safeclip.data.sources.labelled import usable
from safeclip.errors import InputError

IMAGE_NAMES = (
    *("image", "image_bytes", "jpg", "jpeg", "png", "webp", "img", "img_bytes", "bytes"),
    *(
        "image_path",
        "image_file",
        "path",
        "filepath",
        "file_path",
        "file",
        "file_name",
        "filename",
        "img_path",
        "image_name",
    ),
)
CAPTION_NAMES = (
    *("captions", "caption", "sentences", "sentence", "texts", "text", "txt", "title", "description"),
    *("alt_text", "alttext", "alt"),
)
SPLIT_COLUMN, CLASS_COLUMN = "split", "class"
KINDS = {
    **dict.fromkeys(("string", "large_string", "string_view"), "text"),
    **dict.fromkeys(("binary", "large_binary", "binary_view"), "bytes"),
    "null": "null",
}
"""Name of an Arrow type -> kind."""


def twice(names: Iterable[str]) -> str | None:
    """The first name that occurs again; None where all differ."""
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)  # type: ignore[func-returns-value]


def image_column(columns: Mapping[str, str], asked: str | None, where: str) -> str:
    """Name of the column of pictures: `asked`, or the first usual name, bytes before paths. Raises InputError."""
    if asked is not None:
        _there(columns, "data.image_column", asked, where)
        if columns[asked] not in ("bytes", "struct", "text"):
            raise InputError(
                f"data.image_column = {asked!r}: holds neither bytes nor paths in {where}; {_listed(columns)}"
            )
        return asked
    usual = _usual(columns, IMAGE_NAMES)
    for kinds in (("bytes", "struct"), ("text",)):
        for name in usual:
            if columns[name] in kinds:
                return name
    hint = " (URLs are not downloaded: use img2dataset first)" if _usual(columns, ("url", "image_url", "urls")) else ""
    raise InputError(f"data.image_column: no column of images in {where}{hint}; name one of: {_listed(columns)}")


def caption_columns(columns: Mapping[str, str], asked: str | None, where: str) -> tuple[str, ...]:
    """Names of the columns of captions: `asked`, or the first usual name, or caption_0, caption_1, ... Raises
    InputError.
    """
    if asked is not None:
        _there(columns, "data.caption_column", asked, where)
        if columns[asked] not in ("text", "texts"):
            raise InputError(f"data.caption_column = {asked!r}: holds no text in {where}; {_listed(columns)}")
        return (asked,)
    for name in _usual(columns, CAPTION_NAMES):
        if columns[name] in ("text", "texts"):
            return (name,)
    numbered = [
        n for n in columns if re.fullmatch(r"(?i)(caption|sentence|text)s?_?\d+", n) and columns[n] in ("text", "texts")
    ]
    if numbered:
        return tuple(numbered)
    raise InputError(f"data.caption_column: no column of captions in {where}; name one of: {_listed(columns)}")


def class_column(columns: Mapping[str, str], asked: str, where: str) -> str | None:
    """`asked` where it is there; the default in any case, and None where that is missing. Raises InputError."""
    if asked == CLASS_COLUMN:
        return next(iter(_usual(columns, (CLASS_COLUMN,))), None)
    _there(columns, "data.class_column", asked, where)
    return asked


def split_column(columns: Mapping[str, str]) -> str | None:
    """`split`, in any case; None where it is missing."""
    return next(iter(_usual(columns, (SPLIT_COLUMN,))), None)


def captions_of(cells: list[Any]) -> tuple[str, ...]:
    """All captions of a row's caption cells. A text cell that is a JSON list of strings counts as that list. Raises
    BadPair.
    """
    found: list[Any] = []
    for cell in cells:
        for value in cell if isinstance(cell, (list, tuple)) else [cell]:
            found += _listed_in(value) if isinstance(value, str) else [_raw(value)]
    return usable(found)


def image_of(cell: Any, files: ImageFiles, folder: str) -> bytes:
    """A row's encoded picture: the bytes of its image cell, or of the file that it names. Raises BadPair."""
    if isinstance(cell, dict):
        cell = cell.get("bytes") or cell.get("path")
    if isinstance(cell, (bytes, bytearray, memoryview)) and len(cell):
        return bytes(cell)
    if not isinstance(cell, str) or not cell.strip():
        raise BadPair("no image")
    return files.read(cell.strip(), folder)


def folder_of(path: str) -> str:
    return path.rpartition("/")[0] if "://" in path else os.path.dirname(os.path.abspath(path))


_LONGEST_LIST = 1_000_000
"""Characters of a cell above which a JSON list is text like any other."""


def _listed_in(text: str) -> list[Any]:
    if text.startswith('["') and text.endswith('"]') and len(text) <= _LONGEST_LIST:
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            return [text]
        if all(isinstance(v, str) for v in values):
            return [v.encode("utf-8", "replace").decode() for v in values]  # "\ud800" is half a character
    return [text]


def _raw(value: Any) -> Any:
    return value.get("raw", value.get("caption")) if isinstance(value, dict) else value


def _usual(columns: Mapping[str, str], names: tuple[str, ...]) -> list[str]:
    """Those of `names` that are there: written so, or else in any case."""
    lower = {c.lower().strip(): c for c in reversed(list(columns))} | {c: c for c in columns}
    return [lower[name] for name in names if name in lower]


def _there(columns: Mapping[str, str], setting: str, asked: str, where: str) -> None:
    if asked not in columns:
        raise InputError(f"{setting} = {asked!r}: no such column in {where}; there are {_listed(columns)}")


def _listed(columns: Mapping[str, str]) -> str:
    return ", ".join(columns) if len(columns) <= 40 else ", ".join(list(columns)[:40]) + ", ..."
