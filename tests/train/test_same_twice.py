"""One seed, one machine, one thread count: the same weights, scores and split. Another seed: another run."""

from __future__ import annotations

from pathlib import Path

from safeclip.run import RunDir
from tests import tiny
from tests.outcome import differences, outcome


def test_one_seed_gives_the_same_weights_scores_and_split_twice(
    tiny_run: RunDir, planted: Path, tmp_path: Path
) -> None:
    assert tiny.train(tmp_path / "again", planted) == 0
    again, first = outcome(RunDir(tmp_path / "again")), outcome(tiny_run)
    for log in (again, first):  # the fixture logs every step
        log["log.jsonl"] = [line for line in log["log.jsonl"] if line["event"] != "step"]
    assert differences(first, again) == []
    assert len(first["split.jsonl"].splitlines()) == 3


def test_another_seed_gives_other_weights_and_another_split(tiny_run: RunDir, planted: Path, tmp_path: Path) -> None:
    assert tiny.train(tmp_path / "other", planted, {"seed": 1}) == 0
    other = differences(outcome(tiny_run), outcome(RunDir(tmp_path / "other")))
    assert {"model.safetensors", "split.jsonl", "scores/epoch-003.parquet"} <= set(other)
