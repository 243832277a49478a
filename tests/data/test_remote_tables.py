"""Tables and single pictures at a URL: read as if they lay here, and one line where they cannot be had."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from safeclip.config import DataConfig
from safeclip.data import read
from safeclip.data.pairs import BadPair, Unreadable
from safeclip.data.read import Reader
from safeclip.data.sources import open_source
from safeclip.data.sources.json_stream import items, load
from safeclip.data.sources.paths import open_binary
from safeclip.errors import InputError

from .made import jpeg, pictures, write
from .test_remote_shards import Server, serving

ROWS = 8
LONG = "x" * 10**6
"""Rows of it are more than a driver fetches at a time."""


@pytest.fixture
def http(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path) as server:
        yield server


def delimited(folder: Path, kind: str, delimiter: str, header: str = "image,caption") -> None:
    rows = [header, *(f"{i}.jpg,row {i} {LONG}" for i in range(ROWS))]
    if kind == "cc3m":
        rows = [",".join(reversed(row.split(","))) for row in rows[1:]]
    write(folder / f"pairs.{kind}", "\n".join(row.replace(",", delimiter) for row in rows))
    pictures(folder, [f"{i}.jpg" for i in range(ROWS)])


@pytest.mark.parametrize(("kind", "delimiter"), [("csv", ","), ("tsv", "\t"), ("cc3m", "\t")])
def test_rows_at_a_url_are_those_of_the_file_here(kind: str, delimiter: str, http: Server, tmp_path: Path) -> None:
    http.ranges = True
    delimited(tmp_path, kind, delimiter)
    near, far = (open_source(f"{kind}:{root}/pairs.{kind}") for root in (tmp_path, http.url))
    for uid in (ROWS - 1, 0, 3):
        assert far.captions(uid) == near.captions(uid)
        assert far[uid].image == near[uid].image == jpeg(uid)


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_other_drivers_files_are_read_by_line_and_place_and_closed(kind: str, tmp_path: Path) -> None:
    url = f"{kind}://{tmp_path}/lines"
    with fsspec.open(url, "wb") as made:
        made.write(b"one\ntwo\nthree\n")
    with open_binary(url) as handle:
        assert handle.readline(100) == b"one\n"
        assert handle.readline(2) == b"tw"
        assert handle.seek(8) == handle.tell() == 8
        assert handle.read(100) == b"three\n"
        assert handle.seek(-3, os.SEEK_END) == 11
        assert not handle.raw._file.closed
    assert handle.raw._file.closed or kind == "memory", "which keeps what it has open"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_large_table_on_a_server_without_ranges_is_one_line(kind: str, http: Server, tmp_path: Path) -> None:
    delimited(tmp_path, "csv", ",")
    noise = [os.urandom(10**6) for _ in range(ROWS)]
    pq.write_table(pa.table({"image": noise, "caption": ["a"] * ROWS}), tmp_path / "pairs.parquet")
    with pytest.raises(InputError, match=rf"^data {http.url}/pairs\.{kind}: cannot be read \([^\n]+\); [^\n]*$"):
        open_source(f"{kind}:{http.url}/pairs.{kind}")


def test_rows_that_a_server_gives_no_more_are_unreadable(http: Server, tmp_path: Path) -> None:
    http.ranges = True
    delimited(tmp_path, "csv", ",")
    rows = {"image": [os.urandom(10**6) for _ in range(ROWS)], "caption": ["a"] * ROWS}
    pq.write_table(pa.table(rows), tmp_path / "pairs.parquet", row_group_size=1)
    for kind in ("csv", "parquet"):
        source = open_source(f"{kind}:{http.url}/pairs.{kind}")
        http.broken[f"/pairs.{kind}"] = 1000
        with pytest.raises(Unreadable, match=r"cannot be read .*500"):
            source[0]


def test_json_that_a_server_breaks_off_is_one_line(http: Server, tmp_path: Path) -> None:
    write(tmp_path / "a.json", "[]")
    http.broken["/a.json"] = 1000
    for reads in (load, lambda url: list(items(url))):
        with pytest.raises(InputError, match=r"^data [^\n]*500[^\n]*$"):
            reads(f"{http.url}/a.json")


def test_one_picture_that_a_server_refuses_is_one_bad_pair(
    http: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read.time, "sleep", lambda seconds: None)
    pictures(tmp_path, [f"{i}.jpg" for i in range(ROWS)])
    table = write(tmp_path / "p.csv", "\n".join(["image,caption", *(f"{i}.jpg,row {i}" for i in range(ROWS))]))
    reader = Reader(open_source(str(table), image_root=http.url), DataConfig(spec=str(table)))
    reader.check()
    http.broken["/3.jpg"] = 1000
    with pytest.raises(BadPair, match=r"^image '3\.jpg': cannot be read .*500"):
        reader.read(3)
    assert reader.read(4)[1] == ("row 4",)
