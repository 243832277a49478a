"""docs/method.md says what each veto is worth, and each signal, as the records have it."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from pages import put

ROOT = Path(__file__).parents[2]
TOOL = runpy.run_path(str(ROOT / "tools" / "ablation_tables.py"))
RESULTS = ROOT / "bench" / "results"
MACHINE = {"cpu": "a processor", "cores": 2, "versions": {"torch": "2.13.0"}}


@pytest.mark.parametrize("name", TOOL["TABLES"])
def test_the_committed_page_is_what_the_records_make(name: str) -> None:
    page = TOOL["PAGE"].read_text("utf-8")
    made = put(TOOL["PAGE"].name, page, name, "ablation_tables.py", TOOL["TABLES"][name](RESULTS))
    assert made == page, "run python tools/ablation_tables.py"


@pytest.mark.parametrize("name", TOOL["TABLES"])
def test_without_records_it_says_so(name: str, tmp_path: Path) -> None:
    assert TOOL["TABLES"][name](tmp_path) == "Not measured yet."


def run(attack: str, seed: int, planted: int, whole: float, less: float) -> dict[str, Any]:
    def shares(share: float) -> dict[str, float | None]:
        return {"planted": share if planted else None, "clean": share / 10}

    without = {"copies": shares(whole), "texture": shares(less), "spare": shares(whole)}
    return {"attack": attack, "seed": seed, "planted": planted, "whole": shares(whole), "without": without}


def test_vetoes_are_pooled_by_planted_pairs_and_what_is_the_same_is_empty(tmp_path: Path) -> None:
    runs = [run("none", 0, 0, 0.4, 0.2), run("badnets", 0, 30, 1.0, 0.5), run("badnets", 1, 10, 0.8, 0.1)]
    (tmp_path / "ablation.json").write_text(json.dumps({"machine": MACHINE, "runs": runs}), "utf-8")
    said = TOOL["TABLES"]["ablation"](tmp_path).replace("\u00a0", " ")
    assert "| kept out | pairs | by all | no `copies` | no `texture` | no sparing |" in said
    assert "| BadNets patch | 40 | 95.0 % |  | 40.0 % |  |" in said
    assert "| clean pairs beside these |  | 9.0 % |  | 3.0 % |  |" in said
    assert "| clean pairs, nothing planted |  | 4.0 % |  | 2.0 % |  |" in said
    assert "Seeds 0 and 1. Machine: a processor, 2 cores, torch 2.13.0." in said


def test_signals_are_of_the_first_and_the_last_split_of_safeclip_and_of_all_planted_pairs(tmp_path: Path) -> None:
    def record(seed: int, last: float, label: str = "safeclip") -> dict[str, Any]:
        found = [
            {"score": score, "epoch": epoch, "attack": attack, "auroc": auroc}
            for score in ("similarity", "neighbours", "risk")
            for epoch, auroc in ((3, 0.5), (16, last), (4, 0.0))
            for attack, auroc in ((None, auroc), ("badnets", 0.123))
        ]
        return {"label": label, "group": "badnets", "seed": seed, "machine": MACHINE, "detection": found}

    records = [record(0, 0.9), record(1, 0.8), record(0, 0.1, "no vetoes")]
    (tmp_path / "bench-emoji.json").write_text(json.dumps({"records": records}), "utf-8")
    said = TOOL["TABLES"]["signals"](tmp_path)
    assert "| BadNets patch | " + " | ".join(["0.50 → 0.85 (0.80 to 0.90)"] * 3) + " |" in said
