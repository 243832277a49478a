"""Tables of pairs: CSV, TSV and Parquet. One row is one pair.

A row names its picture by path or holds its bytes, has one caption or several, and may have a split and a class. A
folder of folders named for splits (train, val, test) is as if its rows were marked with them.
Columns are found by their usual names (columns.py). What must stay true: a source never holds the table, only where
its rows lie.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from safeclip.data.pairs import Pair
from safeclip.data.sources import columns as find
from safeclip.data.sources.delimited import Delimited
from safeclip.data.sources.image_files import ImageFiles
from safeclip.data.sources.labelled import Codes, Labelled, fingerprint
from safeclip.data.sources.paths import expand, is_url, split_folder
from safeclip.data.sources.row_groups import RowGroups
from safeclip.errors import InputError


class Table(Protocol):
    """Rows by number. columns: name -> kind (columns.py). unlike: those that are not the same in all files -> one that
    differs.
    """

    files: list[str]
    columns: dict[str, str]
    unlike: dict[str, str]

    def __len__(self) -> int: ...
    def file_of(self, row: int) -> str: ...
    def rows_per_file(self) -> list[int]: ...
    def cells(self, row: int, columns: Sequence[str]) -> list[Any]: ...
    def codes(self, column: str) -> Codes: ...


class TabularSource(Labelled):
    """Pairs of a table: a Source (safeclip.data.pairs). The `split` column is honoured where there is one; `all` takes
    every row.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        table: Table,
        *,
        split: str = "train",
        image_column: str | None = None,
        caption_column: str | None = None,
        class_column: str = "class",
        image_root: str | None = None,
    ):
        if len(table) == 0:
            raise InputError(f"data {name}: holds no row; check that it is the file you meant")
        where = table.files[0]
        self._table = table
        self._captions = find.caption_columns(table.columns, caption_column, where)
        self._image = find.image_column(table.columns, image_column, where)
        named, splits = find.class_column(table.columns, class_column, where), find.split_column(table.columns)
        for column in (self._image, *self._captions, named, splits):
            if column in table.unlike:
                raise InputError(
                    f"data {table.unlike[column]}: its column {column!r} is not as in {where} (missing, or of another "
                    "type); make them equal"
                )
        self._rows_N = None if split == "all" else _rows_of(table, splits, split, where)
        classes = None if named is None else table.codes(named).classes(self._rows_N)
        length = len(table) if self._rows_N is None else len(self._rows_N)
        super().__init__(name, fingerprint(kind, table.files, split, length), length, classes)
        self._files = ImageFiles(image_root)

    def __getitem__(self, uid: int) -> Pair:
        row = self._row(uid)
        image, *captions = self._table.cells(row, (self._image, *self._captions))
        texts = find.captions_of(captions)
        return Pair(find.image_of(image, self._files, find.folder_of(self._table.file_of(row))), texts)

    def captions(self, uid: int) -> tuple[str, ...]:
        return find.captions_of(self._table.cells(self._row(uid), self._captions))

    def _row(self, uid: int) -> int:
        uid = self._checked(uid)
        return uid if self._rows_N is None else int(self._rows_N[uid])


def open_csv(name: str, path: str, **settings: Any) -> TabularSource:
    return _open_delimited("csv", b",", name, path, **settings)


def open_tsv(name: str, path: str, **settings: Any) -> TabularSource:
    return _open_delimited("tsv", b"\t", name, path, **settings)


def open_parquet(name: str, path: str, **settings: Any) -> TabularSource:
    return TabularSource(name, "parquet", RowGroups(_files(path, (".parquet", ".pq"), **settings)), **settings)


def _open_delimited(
    kind: str,
    delimiter: bytes,
    name: str,
    path: str,
    *,
    class_column: str = "class",
    quoted: bool = True,
    **settings: Any,
) -> TabularSource:
    files = _files(path, (f".{kind}",), **settings)
    packed = next((f for f in files if f.endswith((".gz", ".bz2", ".xz", ".zst", ".zip"))), None)
    if packed is not None:
        raise InputError(f"data {packed}: is compressed, so its rows cannot be read by number; unpack it first")
    table = Delimited(files, delimiter, quoted=quoted, coded=(find.SPLIT_COLUMN, class_column))
    return TabularSource(name, kind, table, class_column=class_column, **settings)


def _files(path: str, endings: tuple[str, ...], *, split: str = "train", **_: Any) -> list[str]:
    path = path if is_url(path) else os.path.expanduser(path)
    return expand(split_folder(path, split, endings), endings)


def _rows_of(table: Table, column: str | None, split: str, where: str) -> np.ndarray | None:
    """Rows of the split: by `column`, or by the names of files like train-00000-of-00005.parquet; all rows where
    there is neither.
    """
    if column is not None:
        return table.codes(column).rows(split, where)
    named = [re.match(r"(\w+?)-\d{5}-of-\d{5}\b", os.path.basename(path)) for path in table.files]
    codes = Codes()
    for match, rows in zip(named, table.rows_per_file(), strict=True):
        if match is None:
            return None
        codes.add(match.group(1), rows)
    return codes.rows(split, where)
