"""What stands side by side on a page was trained on the same pairs, or the page says that it was not; and it says what
was evaluated, and on what."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from safeclip.attacks.manifest import Manifest
from safeclip.report import splits, tables, training, write_report
from safeclip.report.facts import read
from safeclip.report.words import duration
from safeclip.run import RunDir, append_line
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
    assert "SafeCLIP was evaluated on pairs that it was trained on" in page
    assert "1,203 of the pairs that SafeCLIP was to be evaluated on cannot be read and are left out" in page
    assert "was not measured on SafeCLIP: no picture evaluated is of the class" in page


def test_a_run_that_was_never_evaluated_shows_no_other_run_s_numbers(demo: Path) -> None:
    shutil.copytree(demo / "safeclip", demo / "mine")
    (demo / "mine/metrics.json").unlink()
    log = demo / "mine/log.jsonl"
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    log.write_text(
        "".join(json.dumps(e | ({"seconds": 600.0} if "seconds" in e else {})) + "\n" for e in lines), "utf-8"
    )
    of = {run.folder.path.name: run for run in read(demo).runs}
    assert of["mine"].attacks == []
    assert len(of["safeclip"].attacks) == 2
    assert "SafeCLIP (mine): 0 of 16" not in page_of(demo)
    times = next(row["cells"] for row in tables.results(read(demo)) if row["label"] == "Training time")
    assert times[list(of).index("mine")][0] == duration(600.0 * sum(e.get("event") == "epoch" for e in lines))


def test_no_attack_measured_is_not_the_summary_s(demo: Path) -> None:
    change(demo / "safeclip/metrics.json", attack=[])
    assert [run.attacks for run in read(demo).runs if run.method == "safeclip"] == [[]]
    (demo / "safeclip/metrics.json").unlink()
    assert [len(run.attacks) for run in read(demo).runs] == [2, 2], "of the only run of its method, the summary tells"


def test_planted_pairs_are_those_of_the_run_s_own_manifest(demo: Path) -> None:
    shutil.copytree(demo / "safeclip", demo / "clean")
    (demo / "clean/manifest.parquet").unlink()
    planted = {section["name"]: section["planted"] for section in splits.sections(read(demo))}
    assert planted == {"SafeCLIP (clean)": 0, "SafeCLIP (safeclip)": len(Manifest.load(demo / "manifest.parquet"))}


def test_models_that_were_asked_different_things_are_not_compared_without_a_word(demo: Path) -> None:
    said = "The models were evaluated on different pictures or by different prompts"
    assert said not in page_of(demo)
    file = demo / "safeclip/metrics.json"
    change(file, data=json.loads(file.read_text("utf-8"))["data"] | {"limit": 10})
    assert said in page_of(demo)


@pytest.mark.parametrize(
    ("risk", "clamped", "cut", "first"),
    [
        (["cosine", "neighbours"], False, "risk adds up the ranks of cosine and neighbours", "posterior reaches 0.9"),
        (["cosine"], True, "some pairs are kept out however similar they look", "it was held at"),
    ],
)
def test_the_page_says_how_the_first_share_and_the_cut_came_about(
    demo: Path, risk: list[str], clamped: bool, cut: str, first: str
) -> None:
    file = demo / "safeclip/config.yaml"
    about = yaml.safe_load(file.read_text("utf-8"))
    about["safeclip"] |= {"risk": risk, "share_first": None, "posterior": 0.9}
    file.write_text(yaml.safe_dump(about), "utf-8")
    split = demo / "safeclip/split.jsonl"
    lines = [json.loads(line) | {"clamped": clamped} for line in split.read_text("utf-8").splitlines()]
    split.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    page = page_of(demo)
    assert cut in page
    assert first in page
    assert ("posterior reaches" in page) != clamped


def test_a_step_stands_where_its_epoch_s_last_one_says(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    for epoch in (1, 2, 3):
        if epoch != 2:
            first = {"event": "step", "epoch": epoch, "step": 4 * epoch - 3, "loss": 1.0, "objective": "clip"}
            append_line(run.log_file, first)
        append_line(run.log_file, {"event": "epoch", "epoch": epoch, "step": 4 * epoch, "loss": {"clip": 1.0}})
    (steps, _) = training._lines(read(tmp_path).runs[0], "clip", "clip")
    assert [place for place, _ in steps.points] == [0.25, 2.25]


@pytest.mark.parametrize(
    ("spec", "shown"),
    [("folder:photos/", "folder:photos"), ("csv:/home/me/pairs.csv?images=/home/me/photos", "csv:pairs.csv")],
)
def test_data_is_named_without_its_folders(demo: Path, spec: str, shown: str) -> None:
    file = demo / "safeclip/config.yaml"
    config = yaml.safe_load(file.read_text("utf-8"))
    file.write_text(yaml.safe_dump(config | {"data": config["data"] | {"spec": spec}}), "utf-8")
    change(demo / "safeclip/metrics.json", data={"spec": spec, "split": "test"})
    settings = dict(tables.settings(read(demo)))
    assert settings["data.spec"][1] == shown
    assert settings["evaluated on"][1] == f"{shown}, split test"
