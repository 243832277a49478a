"""Pairs read in parts: in the order of the uids, whatever the number of threads."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from safeclip.data.pairs import BadPair
from safeclip.data.read import read_in_parts
from safeclip.data.sources.row_groups import RowGroups
from safeclip.errors import Halted

UIDS = np.array([9, 2, 7, 4, 1, 0, 8])


class Uneven:
    """The later of its pairs come sooner; every fourth is bad."""

    source: Any = None

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def __len__(self) -> int:
        return 10

    def read(self, uid: int) -> tuple[np.ndarray, tuple[str, ...]]:
        self.threads.add(threading.get_ident())
        time.sleep(0.002 * (10 - uid))
        if uid % 4 == 0:
            raise BadPair(f"torn, {uid}")
        return np.full((1, 1, 3), uid, np.uint8), (f"pair {uid}",)


@pytest.mark.parametrize("at_once", [1, 3, 7, 100])
@pytest.mark.parametrize("threads", [0, 1, 3])
def test_the_order_is_that_of_the_uids_and_bad_ones_are_told_with_their_reasons(at_once: int, threads: int) -> None:
    reader = Uneven()
    parts = list(read_in_parts(reader, UIDS, at_once, threads))
    assert [part.end for part in parts] == [*range(at_once, len(UIDS), at_once), len(UIDS)]
    assert np.concatenate([part.rows for part in parts]).tolist() == [0, 1, 2, 4]
    assert [int(picture[0, 0, 0]) for part in parts for picture in part.made] == [9, 2, 7, 1]
    assert [some for part in parts for some in part.captions] == [(f"pair {uid}",) for uid in (9, 2, 7, 1)]
    assert [one for part in parts for one in part.bad] == [(4, "torn, 4"), (0, "torn, 0"), (8, "torn, 8")]
    own = threading.get_ident()
    assert (reader.threads == {own}) if threads < 2 else own not in reader.threads


def test_what_else_the_reader_raises_ends_the_reading_and_its_threads() -> None:
    class Lost(Uneven):
        def read(self, uid: int) -> tuple[np.ndarray, tuple[str, ...]]:
            raise Halted("the storage is gone")

    before = threading.active_count()
    with pytest.raises(Halted, match="the storage is gone"):
        list(read_in_parts(Lost(), UIDS, 3, threads=4))
    assert threading.active_count() == before


def test_with_threads_the_next_part_is_read_while_this_one_is_used() -> None:
    class Noted(Uneven):
        def __init__(self) -> None:
            super().__init__()
            self.asked: set[int] = set()

        def read(self, uid: int) -> tuple[np.ndarray, tuple[str, ...]]:
            self.asked.add(uid)
            return super().read(uid)

    for threads, ahead in ((0, 3), (2, 6)):
        reader = Noted()
        parts = read_in_parts(reader, UIDS, 3, threads)
        next(parts)
        time.sleep(0.2)
        assert reader.asked == set(UIDS[:ahead].tolist()), threads
        parts.close()


def test_row_groups_outgrow_their_cache_under_many_threads(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"a": list(range(400))}), file, row_group_size=4)
    groups = RowGroups([str(file)], cache_bytes=100)

    class Rows(Uneven):
        def read(self, uid: int) -> tuple[np.ndarray, tuple[str, ...]]:
            return np.array(groups.cells(uid, ["a"])), ()

    uids = np.random.default_rng(0).integers(0, 400, 4000)
    found = [int(row[0]) for part in read_in_parts(Rows(), uids, 1000, threads=16) for row in part.made]
    assert found == uids.tolist()
