"""CSV and TSV files read by row (RFC 4180): one streaming pass notes where each row starts, and a row is parsed when
it is asked for.

What must stay true: memory holds 12 bytes a row (and 4 a coded column), whatever the captions' length; quoted line
ends and delimiters belong to their cell; csv.field_size_limit, which all of a process shares, is neither needed nor
touched.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import IO, Any

import numpy as np

from safeclip.data.pairs import BadPair, Unreadable
from safeclip.data.sources.columns import twice
from safeclip.data.sources.labelled import UNREADABLE, Codes
from safeclip.data.sources.paths import open_binary
from safeclip.data.sources.ranges import Ranges
from safeclip.errors import InputError, reason

MAX_ROW = 64 * 2**20
"""Bytes of the longest row; a longer one is a file whose quotes do not match."""
_MEND = "double the quotes inside cells, or set data.quoted = false for a table written without quotes"


class Delimited:
    """Rows of one or more files with the same header.

    delimiter: b"," or b"\\t". quoted: whether cells may stand in double quotes. header: names of the columns of files
    without one. coded: columns whose values are needed for every row (split, class), in any case, where they exist.
    """

    def __init__(
        self,
        files: Sequence[str],
        delimiter: bytes,
        *,
        quoted: bool = True,
        header: tuple[str, ...] | None = None,
        coded: Sequence[str] = (),
    ):
        self.files, self._delimiter, self._quoted = list(files), delimiter, quoted
        self._names = header
        self._offsets, self._sizes = array("q"), array("i")
        self._coded = {name.lower() for name in coded}
        self._codes: dict[str, Codes] = {}
        self._first_rows = [0]
        for path in self.files:
            with open_binary(path) as handle:
                self._index(handle, path, has_header=header is None)
            self._first_rows.append(len(self._offsets))
        assert self._names is not None
        self.columns = dict.fromkeys(self._names, "text")
        self.unlike: dict[str, str] = {}
        self._place = {name: i for i, name in enumerate(self._names)}
        self._offset_N, self._size_N = np.frombuffer(self._offsets, np.int64), np.frombuffer(self._sizes, np.int32)
        self._ranges = Ranges()

    def __len__(self) -> int:
        return len(self._offset_N)

    def file_of(self, row: int) -> str:
        return self.files[int(np.searchsorted(self._first_rows, row, side="right")) - 1]

    def rows_per_file(self) -> list[int]:
        return [int(rows) for rows in np.diff(self._first_rows)]

    def cells(self, row: int, columns: Sequence[str]) -> list[Any]:
        """The row's text in `columns`. Raises BadPair."""
        path = self.file_of(row)
        try:
            record = self._ranges.read(path, int(self._offset_N[row]), int(self._size_N[row]))
        except (OSError, InputError) as error:
            raise Unreadable(f"{path}: cannot be read ({reason(error)})") from None
        found = split_row(record, self._delimiter, self._quoted)
        if len(found) != len(self._place):
            raise BadPair(f"row has {len(found)} cells, the header {len(self._place)}")
        try:
            return [found[self._place[name]].decode() for name in columns]
        except UnicodeDecodeError:
            raise BadPair("row is not UTF-8") from None

    def codes(self, column: str) -> Codes:
        """The column's values for all rows; only for columns that were to be coded."""
        return self._codes[column]

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_offsets", "_sizes", "_codes")}

    def _index(self, handle: IO[bytes], path: str, has_header: bool) -> None:
        rows = _rows(handle, path, self._delimiter, self._quoted)
        places: dict[str, int] = {}
        for number, (offset, record) in enumerate(rows):
            if number == 0 and record[:2] in (b"\xff\xfe", b"\xfe\xff"):
                raise InputError(f"data {path}: is UTF-16; save it as UTF-8")
            if number == 0 and has_header:
                places = self._header(record, path)
                continue
            if not record.strip(b"\r\n"):
                continue
            self._offsets.append(offset)
            self._sizes.append(len(record))
            if places:
                self._code(record, places)
        if self._names is None:
            raise InputError(f"data {path}: is empty; it needs a header and rows")

    def _header(self, record: bytes, path: str) -> dict[str, int]:
        cells = split_row(record.removeprefix(b"\xef\xbb\xbf"), self._delimiter, self._quoted)
        names = tuple(cell.decode("utf-8", "replace").strip() for cell in cells)
        if (again := twice(names)) is not None:
            raise InputError(f"data {path}: column {again!r} occurs twice in the header; rename one")
        if self._names is not None and names != self._names:
            raise InputError(
                f"data {path}: has columns {', '.join(names)}, {self.files[0]} has {', '.join(self._names)}"
            )
        self._names = names
        places = {name: place for place, name in enumerate(names) if name.lower() in self._coded}
        self._codes = {name: self._codes.get(name, Codes()) for name in places}
        return places

    def _code(self, record: bytes, places: dict[str, int]) -> None:
        cells = split_row(record, self._delimiter, self._quoted)
        whole = self._names is not None and len(cells) == len(self._names)
        for name, place in places.items():
            self._codes[name].add(cells[place].decode("utf-8", "replace").strip() if whole else UNREADABLE)


def split_row(record: bytes, delimiter: bytes, quoted: bool) -> list[bytes]:
    """The cells of one row. A quote opens a cell only at its start and is doubled inside it, as in RFC 4180; nothing
    follows the one that closes it, as `_rows` has seen to.
    """
    record = record.removesuffix(b"\n").removesuffix(b"\r")
    if not quoted or b'"' not in record:
        return record.split(delimiter)
    cells, at = [], 0
    while True:
        if record[at : at + 1] == b'"':
            close = _closing(record, at + 1)
            end = record.find(delimiter, close + 1)
            cells.append(record[at + 1 : close].replace(b'""', b'"'))
        else:
            end = record.find(delimiter, at)
            cells.append(record[at : end if end >= 0 else len(record)])
        if end < 0:
            return cells
        at = end + 1


def _rows(handle: IO[bytes], path: str, delimiter: bytes, quoted: bool) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of each row, the header included. Raises InputError where quotes do not match."""
    parts: list[bytes] = []
    start = end = row = 0
    inside = False
    while line := handle.readline(MAX_ROW + 1):
        parts.append(line)
        end += len(line)
        if end - start > MAX_ROW:
            raise InputError(f"data {path}: row {row} is longer than {MAX_ROW:,} bytes; {_MEND}")
        if quoted and (inside or b'"' in line):
            try:
                inside = _ends_inside(line, inside, delimiter)
            except ValueError as error:
                raise InputError(f"data {path}: row {row}: {error}; {_MEND}") from None
        if not inside:
            yield start, parts[0] if len(parts) == 1 else b"".join(parts)
            parts, start, row = [], end, row + 1
    if inside:
        raise InputError(f"data {path}: the quote opened in row {row} is never closed; {_MEND}")


def _ends_inside(line: bytes, inside: bool, delimiter: bytes) -> bool:
    """Whether a quoted cell goes on after this line. inside: whether one went on before it. Raises ValueError where
    anything but a delimiter or the line's end follows the quote that closes one.
    """
    at = 0
    if line.startswith(b"\xef\xbb\xbf"):
        at = 3
    while True:
        if inside or line[at : at + 1] == b'"':
            at = _closing(line, at if inside else at + 1)
            if at == len(line):
                return True
            inside = False
            if line[at + 1 : at + 2] != delimiter and line[at + 1 :].strip(b"\r\n"):
                raise ValueError("text follows a closing quote")
        at = line.find(delimiter, at)
        if at < 0:
            return False
        at += 1


def _closing(text: bytes, at: int) -> int:
    """Place of the quote that closes the cell whose text starts at `at`; the length where none does."""
    while True:
        at = text.find(b'"', at)
        if at < 0:
            return len(text)
        if text[at + 1 : at + 2] != b'"':
            return at
        at += 2
