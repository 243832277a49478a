"""Bad pairs: noted at once, on the disk where the state is, and once however many there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from safeclip.data.sources.emoji import EmojiSource
from safeclip.errors import RunError
from safeclip.run import RunDir
from safeclip.train import loop
from safeclip.train.bad_pairs import BadPairs
from tests import tiny


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Each list that is written to the disk."""
    seen: list[Any] = []
    write = pq.write_table

    def counted(table: Any, place: Any, **how: Any) -> None:
        if "reason" in table.column_names:
            seen.append(table["uid"].to_pylist())
        write(table, place, **how)

    monkeypatch.setattr(pq, "write_table", counted)
    return seen


def test_they_are_written_once_for_many_and_not_again_where_none_is_new(tmp_path: Path, writes: list[Any]) -> None:
    bad = BadPairs(tmp_path / "bad_pairs.parquet", 100, 0.2)
    bad.write()
    for uid in (7, 3, 9):
        bad.add([(uid, "torn")])
    assert writes == []
    bad.write()
    bad.add([(3, "torn")])
    bad.write()
    assert writes == [[3, 7, 9]]


def test_too_many_are_on_the_disk_before_it_is_said(tmp_path: Path) -> None:
    bad = BadPairs(tmp_path / "bad_pairs.parquet", 100, 0.02)
    bad.add([(7, "torn"), (3, "torn")])
    with pytest.raises(RunError, match="3 of 100 pairs cannot be used"):
        bad.add([(5, "torn")])
    assert pq.read_table(bad.file)["uid"].to_pylist() == [3, 5, 7]


def test_a_reason_may_name_a_file_whose_name_is_not_utf8(tmp_path: Path) -> None:
    bad = BadPairs(tmp_path / "bad_pairs.parquet", 100, 0.2)
    bad.add([(7, "no such file in /data/daten-\udce4")])
    bad.write()
    assert pq.read_table(bad.file)["reason"].to_pylist() == ["no such file in /data/daten-\\udce4"]


def test_state_that_is_loaded_is_written_whatever_lies_there(tmp_path: Path) -> None:
    one, two = (BadPairs(tmp_path / "bad_pairs.parquet", 100, 0.2) for _ in range(2))
    one.add([(7, "torn")])
    kept = one.state_dict()
    one.add([(8, "torn")])
    one.write()
    two.load_state_dict(kept)
    assert pq.read_table(two.file).to_pydict() == {"uid": [7], "reason": ["torn"]}
    two.load_state_dict({"reasons": {}, "out": []})
    assert not two.file.exists()


def test_a_run_writes_them_with_its_checkpoints_and_its_passes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, writes: list[Any]
) -> None:
    """Killed in its second epoch and resumed, with nothing in the folder that only the first life knew."""
    from safeclip.data.pairs import Pair
    from safeclip.train.step import Stepper

    read, step, steps = EmojiSource.__getitem__, Stepper.__call__, 0

    def broken(self: EmojiSource, uid: int) -> Pair:
        return Pair(b"no picture", ("a caption",)) if uid % 40 == 7 else read(self, uid)

    def killed(*about: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == tiny.STEPS + 2:
            raise KeyboardInterrupt
        return step(*about)

    monkeypatch.setattr(EmojiSource, "__getitem__", broken)
    monkeypatch.setattr(Stepper, "__call__", killed)
    cfg = tiny.config({"epochs": 3, "data.max_bad_share": 0.05, "safeclip.scoring": "fresh"})
    run = RunDir(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        loop.train(cfg, run.path, quiet=True)
    every = [7, 47, 87, 127, 167, 207]
    assert writes == [every], "with the checkpoint of the epoch that found them, in batch after batch"
    run.bad_pairs_file.unlink()
    loop.resume(run.path, quiet=True)
    assert pq.read_table(run.bad_pairs_file)["uid"].to_pylist() == every
    assert writes == [every] * 2
