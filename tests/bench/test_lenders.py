"""Runs that lend their weights: once they have ended, to whom they belong, and again where they are gone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from safeclip.bench import measure
from safeclip.bench.claims import claim
from safeclip.bench.runner import Bench
from safeclip.config import RunConfig
from safeclip.errors import RunError
from tests.bench.made import CLEANCLIP, TARGETED, Laboratory, spec
from tests.bench.test_runner import checkpoints, go

LATER: dict[str, Any] = {"attacks": [TARGETED], "methods": ["clip", "safeclip", CLEANCLIP]}


def test_a_method_starts_from_the_finished_run_of_its_attack_and_seed(lab: Laboratory, tmp_path: Path) -> None:
    bench = Bench.open(spec(methods=["safeclip", CLEANCLIP], attacks=[TARGETED]), tmp_path)
    summary = bench.run({}, quiet=True)
    clip, _, clean = bench.cells
    config = lab.configs[2]
    assert config.model.weights == str(tmp_path / "runs" / clip.id / "checkpoints/epoch-001/model.safetensors")
    assert (config.data.split, config.manifest) == ("val", None), "trusted pairs, as they lie"
    entry = summary["runs"][2]
    assert (entry["attack"], entry["k"], entry["planted"]) == ("targeted", 2, True), "yet the attack is measured"
    assert (entry["seconds"], entry["seconds_before"]) == (4.0, 10.0)
    assert clean.start is clip
    assert "model.weights" not in entry["settings"]


def test_what_starts_from_a_failed_run_fails_too_and_says_so(lab: Laboratory, tmp_path: Path) -> None:
    def fail(config: RunConfig) -> None:
        if config.method == "clip":
            raise RunError("no memory")

    lab.trouble = fail
    summary = go(tmp_path, methods=[CLEANCLIP], attacks=[TARGETED])
    assert [failure["reason"] for failure in summary["failed"]] == [
        "no memory",
        "starts from clip, whose run failed: no memory",
    ]


def test_a_run_whose_weights_are_gone_is_done_again_for_what_starts_from_it(lab: Laboratory, tmp_path: Path) -> None:
    go(tmp_path, attacks=[TARGETED])
    later = {"attacks": [TARGETED], "methods": ["clip", "safeclip", CLEANCLIP]}
    assert go(tmp_path, **later)["left"] == 0
    assert [method for method, _, _ in lab.runs] == ["clip", "safeclip", "clip", "cleanclip"]


def test_a_run_done_again_lends_its_weights_only_once_it_has_ended(lab: Laboratory, tmp_path: Path) -> None:
    def kill(config: RunConfig) -> None:
        if len(lab.runs) == 3:
            raise KeyboardInterrupt

    go(tmp_path, attacks=[TARGETED])
    lab.trouble = kill
    with pytest.raises(RunError, match="stopped"):
        go(tmp_path, **LATER)
    assert (lab.runs[2], len(checkpoints(tmp_path))) == (("clip", 0, False), 1), "half of it is there"
    lab.trouble = lambda config: None
    assert go(tmp_path, **LATER)["left"] == 0
    assert lab.runs[3:] == [("clip", 0, True), ("cleanclip", 0, False)]


def test_a_try_that_fails_takes_no_record_away(lab: Laboratory, tmp_path: Path) -> None:
    def fail(config: RunConfig) -> None:
        raise RunError("no memory")

    go(tmp_path, attacks=[TARGETED])
    lab.trouble = fail
    summary = go(tmp_path, **LATER)
    assert [(it["run"], it["reason"]) for it in summary["failed"]] == [
        ("seed 0, targeted, cleanclip", "starts from clip, whose run failed: no memory")
    ]
    assert [(run["label"], run["planted"]) for run in summary["runs"]] == [("clip", True), ("safeclip", True)]
    lab.trouble = lambda config: None
    assert (go(tmp_path, **LATER)["failed"], lab.runs[-1]) == ([], ("cleanclip", 0, False))


def test_a_process_waits_for_a_run_that_another_does_again(
    lab: Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waited(seconds: float) -> None:
        naps.append([method for method, _, _ in lab.runs])
        other.__exit__(None, None, None)  # it ends, and leaves no weights

    naps: list[list[str]] = []
    go(tmp_path, attacks=[TARGETED])
    bench = Bench.open(spec(**LATER), tmp_path)
    other = claim(tmp_path, bench.cells[0].id)
    assert other.__enter__()
    monkeypatch.setattr(time, "sleep", waited)
    summary = bench.run({}, quiet=True)
    assert naps == [["clip", "safeclip"]], "neither of the two is tried while another process has the first"
    assert (summary["left"], summary["failed"]) == (0, [])
    assert [method for method, _, _ in lab.runs[2:]] == ["clip", "cleanclip"]


def test_a_lender_that_failed_after_its_training_lends_all_the_same(lab: Laboratory, tmp_path: Path) -> None:
    go(tmp_path, attacks=[TARGETED])
    bench = Bench.open(spec(**LATER), tmp_path)
    evaluate = lab.evaluate

    def full(path: Path, **given: Any) -> dict[str, Any]:
        if lab.by_folder[path].method == "clip":
            raise RunError("disk was full")
        return evaluate(path, **given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "evaluate_run", full)
        bench.run({}, quiet=True)
    assert go(tmp_path, **LATER)["left"] == 0
