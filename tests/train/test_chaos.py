"""bench/chaos.py in its short form: each kind of kill once, and an end that is that of a training never killed."""

from __future__ import annotations

import runpy
from pathlib import Path

CHAOS = runpy.run_path(str(Path(__file__).parents[2] / "bench" / "chaos.py"))


def test_a_training_killed_at_random_ends_as_one_never_killed(tmp_path: Path) -> None:
    result = CHAOS["chaos"](tmp_path, kills=len(CHAOS["KINDS"]), seed=1)
    assert result["differences"] == [[]] * result["trainings"]
    assert len(result["by"]) == result["kills"] == 4
    assert {"model.safetensors", "state.safetensors", "split.jsonl", "log.jsonl"} <= {*result["compared"]}
    assert {life["signal"] for life in result["lives"]} == {"SIGKILL", "SIGTERM"}
