"""Bytes at a place of a file, for many threads."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import pytest

from safeclip.data.sources.ranges import Ranges


def test_threads_read_side_by_side_and_on_while_another_file_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of four reads waits until all four have begun, and all of them go on while one more file is opened."""
    (tmp_path / "open").write_bytes(bytes(range(40)))
    (tmp_path / "slow").write_bytes(b"slow")
    begun, over, read = threading.Barrier(4, timeout=30), threading.Event(), os.pread

    def together(file: int, size: int, offset: int) -> bytes:
        if size == 10:
            begun.wait()
        return read(file, min(size, 7), offset)  # a short read is no end

    def opens(path: str) -> IO[bytes]:
        if path.endswith("slow"):
            assert over.wait(30)
        return open(path, "rb")

    ranges = Ranges(opens)
    monkeypatch.setattr(os, "pread", together)
    with ThreadPoolExecutor(5) as threads:
        slow = threads.submit(ranges.read, str(tmp_path / "slow"), 0, 4)
        parts = list(threads.map(lambda at: ranges.read(str(tmp_path / "open"), at, 10), range(0, 40, 10)))
        over.set()
        assert slow.result() == b"slow"
    assert b"".join(parts) == bytes(range(40))
