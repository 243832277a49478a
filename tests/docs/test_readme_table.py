"""The README's table: which records count, and what it makes of them."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

TOOL = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "readme_table.py"))


def record(method: str, seed: int, top1: float, hits: int, asr: float, **other: Any) -> dict[str, Any]:
    shared = {"n": 16, "base_rate": 0.05, "planted": 192}
    attacks = [{"name": "targeted", "kind": "targeted", "k": hits, "asr": hits / 16, **shared}]
    attacks += [{"name": "badnets", "kind": "backdoor", "k": 0, "asr": asr, **shared, "n": 1990}]
    zero = {"top1": top1, "n": 1984, "classes": 200}
    machine = {"cpu": "a processor", "cores": 2, "versions": {"torch": "2.13.0"}}
    made = {"label": "preset", "settings": [], "method": method, "seed": seed, "epochs": 16, "seconds": 90.0}
    return made | {"zero_shot": zero, "attack": attacks, "machine": machine} | other


@pytest.fixture
def table(tmp_path):
    def made(records: list[dict[str, Any]]) -> str:
        (tmp_path / "emoji-test.json").write_text(json.dumps(records), "utf-8")
        return TOOL["table"](tmp_path)

    return made


def test_without_records_it_says_so(tmp_path, table):
    assert TOOL["table"](tmp_path) == "Not measured yet."
    assert table([]) == "Not measured yet."


def test_means_counts_and_spread(table):
    records = [record("clip", 0, 0.5, 15, 0.9), record("clip", 1, 0.6, 16, 1.0)]
    records += [record("safeclip", 0, 0.4, 0, 0.01), record("safeclip", 1, 0.5, 1, 0.03)]
    said = table(records)
    assert "plain CLIP | 55.0 % (50.0 to 60.0) | 31 of 32 (84.3 to 99.4 %) | 95.0 % (90.0 to 100.0) |" in said
    assert "SafeCLIP | 45.0 % (40.0 to 50.0) | 1 of 32 (0.6 to 15.7 %) | 2.0 % (1.0 to 3.0) |" in said
    assert "2 seeds (0, 1)" in said
    assert "a processor, 2 cores, torch 2.13.0" in said
    assert "1,984 pictures, 200 classes" in said


def test_trials_do_not_count(table):
    trials = [record("clip", 0, 0.9, 0, 0.0, label="try"), record("clip", 0, 0.9, 0, 0.0, settings=["epochs=3"])]
    assert table(trials) == "Not measured yet."
    assert "| 50.0 % |" in table([record("clip", 0, 0.5, 1, 0.1), *trials])


def test_of_two_runs_of_a_seed_the_later_counts(table):
    assert "| 60.0 % |" in table([record("clip", 0, 0.5, 1, 0.1), record("clip", 0, 0.6, 1, 0.1)])


def test_methods_are_compared_on_the_seeds_that_both_have(table):
    said = table([record("clip", 0, 0.5, 1, 0.1), record("clip", 1, 0.9, 1, 0.1), record("safeclip", 0, 0.4, 0, 0.0)])
    assert "| 50.0 % |" in said
    assert "1 seed (0)" in said


def test_a_readme_without_markers_is_told():
    with pytest.raises(ValueError, match="results: written by"):
        TOOL["put"]("# safeclip", "table")
