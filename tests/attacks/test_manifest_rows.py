"""Files that say little and mean much: what a manifest unpacks to is known before it is unpacked."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from safeclip.attacks import manifest_rows, plan
from safeclip.attacks.manifest import _SCHEMA
from tests.attacks.fakes import FakeSource
from tests.attacks.test_manifest import assert_refused


@pytest.fixture
def saved(tmp_path):
    plan("badnets", FakeSource(200), count=9, seed=0).save(tmp_path / "m.parquet")
    return tmp_path / "m.parquet"


@pytest.mark.parametrize("column", ["image", "caption", "caption_before"])
def test_a_small_file_that_stands_for_a_large_one_is_refused_unread(saved, monkeypatch, column):
    """Parquet keeps a value that repeats once: some kB of these rows unpack to 100 MB."""
    large = {"image": b"x" * 10**6, "caption": "x" * 10**6, "caption_before": ["x" * 10**4] * 100}[column]
    blank = {"uid": 0, "attack": "badnets", "target_index": -1, "caption_before": []}
    rows = pa.Table.from_pylist([blank | {column: large}] * 100, schema=_SCHEMA)
    schema = _SCHEMA.with_metadata(pq.read_schema(saved).metadata)
    pq.write_table(rows.cast(schema), saved, compression="zstd", dictionary_pagesize_limit=2**30)
    assert saved.stat().st_size < 10**5
    monkeypatch.setattr(manifest_rows, "MAX_BYTES", 10**7)
    assert_refused(saved, "at most 10000000 are read")


def test_more_rows_than_memory_holds_are_refused_unread(saved, monkeypatch):
    monkeypatch.setattr(manifest_rows, "MAX_BYTES", manifest_rows.VALUE_BYTES * 7 * 9)
    assert_refused(saved, "are read")
