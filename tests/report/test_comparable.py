"""What stands side by side on a page was trained on the same pairs, or the page says that it was not; and it says what
was evaluated, and on what."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from safeclip.report import write_report
from tests.report.make_fixture import make_demo


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    made: Path = make_demo(tmp_path / "demo")
    for method in ("clip", "safeclip"):
        shutil.copy(made / "manifest.parquet", made / method / "manifest.parquet")
    return made


def page_of(folder: Path) -> str:
    return " ".join(write_report(folder).read_text("utf-8").split())


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | values), "utf-8")


APART = "were not trained on the same data with the same planted pairs"


def test_runs_of_one_attack_are_said_to_share_it(demo: Path) -> None:
    page = page_of(demo)
    assert "plain CLIP and SafeCLIP, the same poisoned data" in page
    assert APART not in page


@pytest.mark.parametrize("other", ["no manifest", "another manifest", "other data"])
def test_runs_on_other_pairs_are_not(demo: Path, other: str) -> None:
    """A poisoned model without a defence beside a defended one that never met the attack would look like a proof."""
    file = demo / "safeclip/manifest.parquet"
    if other == "no manifest":
        file.unlink()
    elif other == "another manifest":
        file.write_bytes(file.read_bytes()[:-1])
    else:
        config = demo / "safeclip/config.yaml"
        config.write_text(config.read_text("utf-8").replace("spec: ", "spec: other-", 1), "utf-8")
    page = page_of(demo)
    assert "the same poisoned data" not in page
    assert f"Plain CLIP and SafeCLIP {APART}" in page


def test_two_runs_of_one_method_are_told_apart_by_their_folders(demo: Path) -> None:
    shutil.copytree(demo / "safeclip", demo / "longer")
    page = page_of(demo)
    assert "SafeCLIP (longer)" in page
    assert "SafeCLIP (safeclip)" in page
    assert "Plain CLIP (clip)" not in page


def test_the_page_says_what_was_evaluated_and_what_was_not(demo: Path) -> None:
    file = demo / "safeclip/metrics.json"
    about = {"spec": "csv:/home/someone/held-out.csv", "split": "test", "checkpoint": "epoch-003", "limit": 50}
    found = json.loads(file.read_text("utf-8"))
    missed = {"name": "text-word", "kind": "text", "asr": None, "why": "no picture evaluated is of the class 'cat'"}
    change(file, data=found["data"] | about | {"seen_in_training": True}, bad=1203, attack=[*found["attack"], missed])
    page = page_of(demo)
    assert "csv:held-out.csv, split test, epoch-003, 50 pairs at most" in page
    assert "someone" not in page
    assert "SafeCLIP was evaluated on the very pairs that it was trained on" in page
    assert "1,203 of the pairs that SafeCLIP was to be evaluated on cannot be read and are left out" in page
    assert "was not measured on SafeCLIP: no picture evaluated is of the class" in page
