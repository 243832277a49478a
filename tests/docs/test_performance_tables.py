"""docs/performance.md says what the benches' records say."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
from pages import put

ROOT = Path(__file__).parents[2]
TOOL = runpy.run_path(str(ROOT / "tools" / "performance_tables.py"))
RESULTS = ROOT / "bench" / "results"


@pytest.mark.parametrize("name", TOOL["NAMES"])
def test_the_committed_page_is_what_the_records_make(name: str) -> None:
    page = TOOL["PAGE"].read_text("utf-8")
    made = put(TOOL["PAGE"].name, page, name, "performance_tables.py", TOOL["table"](RESULTS, name))
    assert made == page, "run python tools/performance_tables.py"


@pytest.mark.parametrize("name", TOOL["NAMES"])
def test_records_say_machine_versions_seed_and_threads(name: str) -> None:
    for kind in TOOL["KINDS"]:
        file = RESULTS / f"{name}{kind}.json"
        if file.is_file():
            found = json.loads(file.read_text("utf-8"))
            assert found["machine"]["cpu"]
            assert "torch" in found["machine"]["versions"]
            assert isinstance(found["settings"]["seed"], int)
            assert found["threads"] >= 1


def test_what_was_not_measured_on_a_gpu_is_said(tmp_path: Path) -> None:
    assert TOOL["table"](tmp_path, "step") == "On a GPU: not measured yet; `python bench/step.py --gpu` does."


def test_a_page_without_markers_is_told() -> None:
    with pytest.raises(ValueError, match=r"performance\.md: lacks the line <!-- step"):
        put("performance.md", "# Performance", "step", "performance_tables.py", "table")
