"""Parquet files read by row: a row group is read when a row of it is asked for, and the last ones are kept.

What must stay true: memory holds at most CACHE_BYTES of row groups (or one, where one alone is larger), and no group of
more than GROUP_BYTES, since in a small file one large value can stand for many rows. Reading in random order costs a
row group a pair once the cache is outgrown: write large sets with small row groups (about 100 pictures).
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from safeclip.data.pairs import BadPair, Unreadable
from safeclip.data.sources.columns import KINDS, twice
from safeclip.data.sources.labelled import Codes
from safeclip.data.sources.paths import is_url, open_binary, stamp
from safeclip.errors import InputError, reason

CACHE_BYTES = 256 * 2**20
GROUP_BYTES = 4 * 2**30
OPEN_FILES = 16
_ROWS_AT_ONCE = 16


class RowGroups:
    """Rows of one or more Parquet files with the same columns. unlike: column -> file that lacks it, or that first
    brings it, or whose kind is another; a column of missing values alone (Arrow's type `null`) is like any.
    """

    def __init__(self, files: Sequence[str], cache_bytes: int = CACHE_BYTES):
        self.files, self._cache_bytes = list(files), cache_bytes
        self._reset()
        self.columns: dict[str, str] = {}
        self.unlike: dict[str, str] = {}
        groups: list[tuple[int, int, int]] = []
        for number, path in enumerate(self.files):
            opened = self._file(number)
            self._add(opened.schema_arrow, path, first=number == 0)
            groups += [(number, g, opened.metadata.row_group(g).num_rows) for g in range(opened.num_row_groups)]
        self._group_G = np.array(groups, np.int64).reshape(-1, 3)
        self._end_G = np.cumsum(self._group_G[:, 2])

    def __len__(self) -> int:
        return int(self._end_G[-1]) if len(self._end_G) else 0

    def file_of(self, row: int) -> str:
        return self.files[int(self._group_G[self._place(row)[0], 0])]

    def rows_per_file(self) -> list[int]:
        rows_F = np.bincount(self._group_G[:, 0], self._group_G[:, 2], len(self.files))
        return [int(rows) for rows in rows_F]

    def cells(self, row: int, columns: Sequence[str]) -> list[Any]:
        """The row's values in `columns`. Raises BadPair."""
        group, offset = self._place(row)
        try:
            table = self._table(group, tuple(columns))
        except (OSError, InputError, pa.ArrowException) as error:
            number, within, _ = self._group_G[group].tolist()
            with self._lock:
                self._opened.pop(number, None)  # a lost mount's handles stay lost when it is back
            raise Unreadable(f"{self.files[number]}: row group {within} cannot be read ({reason(error)})") from None
        try:
            return [table.column(name)[offset].as_py() for name in columns]
        except UnicodeDecodeError:
            raise BadPair("row is not UTF-8") from None
        except (ValueError, OverflowError, pa.ArrowException) as error:  # cells that Python has no value for
            raise BadPair(f"row cannot be read ({reason(error)})") from None

    def codes(self, column: str) -> Codes:
        """The column's values for all rows, read one row group at a time. Raises InputError."""
        codes = Codes()
        for number, group, _ in self._group_G.tolist():
            try:
                chunks = (
                    self._file(number).read_row_group(group, columns=[column], use_threads=False).column(column).chunks
                )
                for chunk in chunks:
                    coded = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
                    names = [None if v is None else str(v) for v in coded.dictionary.to_pylist()]
                    codes.extend(names, coded.indices.fill_null(-1).to_numpy(zero_copy_only=False))
            except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
                raise InputError(
                    f"data {self.files[number]}: column {column} cannot be read ({reason(error)})"
                ) from None
        return codes

    def cached_bytes(self) -> int:
        """Bytes of row groups held now."""
        return sum(table.nbytes for table in self._tables.values())

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_tables", "_opened", "_lock", "_pid")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def _reset(self) -> None:
        self._tables: OrderedDict[tuple[int, tuple[str, ...]], pa.Table] = OrderedDict()
        self._opened: OrderedDict[int, pq.ParquetFile] = OrderedDict()
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def _add(self, schema: pa.Schema, path: str, first: bool) -> None:
        """Take in the columns of one more file. Raises InputError."""
        if (again := twice(schema.names)) is not None:
            raise InputError(f"data {path}: column {again!r} occurs twice; rename one")
        columns = {field.name: _kind(field.type) for field in schema}
        for name in dict.fromkeys((*self.columns, *columns)):
            before, here = self.columns.get(name), columns.get(name)
            if not first and before != here and (None in (before, here) or "null" not in (before, here)):
                self.unlike.setdefault(name, path)
            self.columns[name] = here or "null" if before in (None, "null") else before

    def _place(self, row: int) -> tuple[int, int]:
        group = int(np.searchsorted(self._end_G, row, side="right"))
        return group, int(row - self._end_G[group] + self._group_G[group, 2])

    def _table(self, group: int, columns: tuple[str, ...]) -> pa.Table:
        if self._pid != os.getpid():
            self._reset()
        key = (group, columns)
        with self._lock:
            if key not in self._tables:
                number, within, _ = self._group_G[group].tolist()
                table = self._group(number, within, list(columns))
                while self._tables and self.cached_bytes() + table.nbytes > self._cache_bytes:
                    self._tables.popitem(last=False)
                self._tables[key] = table
            self._tables.move_to_end(key)
            return self._tables[key]

    def _group(self, number: int, within: int, columns: list[str]) -> pa.Table:
        """Raises BadPair where it is larger than GROUP_BYTES, before it is."""
        batches, held = [], 0
        for batch in self._file(number).iter_batches(_ROWS_AT_ONCE, [within], columns, use_threads=False):
            held += batch.nbytes
            if held > GROUP_BYTES:
                raise BadPair(f"its row group takes more than {GROUP_BYTES:,} bytes of memory; write smaller ones")
            batches.append(batch)
        return pa.Table.from_batches(batches)

    def _file(self, number: int) -> pq.ParquetFile:
        if number not in self._opened:
            path = self.files[number]
            if stamp(path).size == 0:
                raise InputError(f"data {path}: is empty")
            try:
                opened = pq.ParquetFile(open_binary(path) if is_url(path) else path, memory_map=False)
                opened.schema_arrow.names  # noqa: B018  (raises where they are not UTF-8)
                self._opened[number] = opened
            except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
                raise InputError(f"data {path}: not a Parquet file, or a damaged one ({reason(error)})") from None
            if len(self._opened) > OPEN_FILES:
                self._opened.popitem(last=False)[1].close()
        return self._opened[number]


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind):
        return _kind(kind.value_type)
    if pa.types.is_struct(kind):
        return "struct" if {"bytes", "path"} & {field.name for field in kind} else "other"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        inner = kind.value_type
        named = {field.name for field in inner} & {"raw", "caption"} if pa.types.is_struct(inner) else set()
        return "texts" if named else {"text": "texts", "null": "null"}.get(_kind(inner), "other")
    return KINDS.get(str(kind), "other")
