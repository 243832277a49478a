"""Doing a bench: what is skipped, what goes on, what is deleted, and what one failure leaves standing."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from safeclip.attacks.manifest import Manifest
from safeclip.bench import measure, runner
from safeclip.bench.grid import Cell, grid
from safeclip.bench.measure import plant
from safeclip.bench.runner import Bench
from safeclip.config import RunConfig
from safeclip.errors import InputError, RunError
from tests import tiny
from tests.bench.made import BADNETS, CLEANCLIP, TARGETED, Laboratory, spec


def go(out: Path, *, results: Path | None = None, only: Any = None, **changes: Any) -> dict[str, Any]:
    return Bench.open(spec(**changes), out, results).run(only or {}, quiet=True)


def checkpoints(out: Path) -> set[str]:
    return {path.parent.name for path in out.glob("runs/*/checkpoints")}


def test_every_run_is_done_once_and_recorded(lab: Laboratory, tmp_path: Path) -> None:
    summary = go(tmp_path, seeds=[0, 1])
    assert lab.runs == [(m, s, False) for s in (0, 1) for _ in range(2) for m in ("clip", "safeclip")]
    assert (summary["left"], summary["failed"]) == (0, [])
    assert len(list((tmp_path / "records").glob("*.json"))) == 8
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert (tmp_path / "table.md").read_text().startswith("| attack | plain CLIP | SafeCLIP |")
    assert "<html" in (tmp_path / "report.html").read_text()[:50]
    go(tmp_path, seeds=[0, 1])
    assert len(lab.runs) == 8, "a finished bench does nothing"


def test_methods_of_one_attack_and_seed_train_on_the_same_planted_pairs(lab: Laboratory, tmp_path: Path) -> None:
    go(tmp_path, seeds=[0, 1], attacks=[[TARGETED, BADNETS], "none"])
    files = [config.manifest for config in lab.configs]
    assert files[2] is files[3] is files[6] is files[7] is None
    assert files[0] == files[1] != files[4] == files[5]
    first, second = (Manifest.load(file) for file in (files[0], files[4]) if file)
    assert [attack["name"] for attack in first.attacks] == ["targeted", "badnets"]
    assert first.attacks[0]["seed"] == 0
    assert first != second, "the seed is the attack's too"


def test_targets_of_other_data_are_another_plan(lab: Laboratory, tmp_path: Path) -> None:
    for held_out in ("test", "val"):
        go(tmp_path, data={"spec": tiny.SPEC, "eval_split": held_out}, attacks=[TARGETED])
    plain = [config.manifest for config in lab.configs if config.method == "clip"]
    assert len(set(plain)) == 2
    sources = {t["source"] for file in plain if file for t in Manifest.load(file).attacks[0]["targets"]}
    assert len(sources) == 2, "targets come from the pictures evaluated on"


def test_data_that_is_read_in_another_way_is_another_plan_for_all_methods_alike(tmp_path: Path) -> None:
    named = spec().set | {"data.class_column": "label"}
    made = [
        {plant(cell, tmp_path) for cell in grid(spec(attacks=[BADNETS], methods=["clip", CLEANCLIP], **more))}
        for more in ({}, {"set": named})
    ]
    assert [len(files) for files in made] == [1, 1]
    assert made[0] != made[1]
    first = grid(spec(attacks=[BADNETS]))[0]
    told = ("attack.", "data.name", "data.poisoned", "data.evaluated")
    wanted = {name: value for name, value in first.shape.items() if name.startswith(told)}
    name = hashlib.sha256(json.dumps([0, ["badnets"], wanted], sort_keys=True).encode()).hexdigest()[:12]
    assert made[0] == {tmp_path / "manifests" / f"{name}.parquet"}, "settings at their defaults are not in the name"


def test_a_changed_spec_does_what_changed_and_nothing_else(lab: Laboratory, tmp_path: Path) -> None:
    go(tmp_path)
    faster = {"method": "safeclip", "set": {"safeclip.growth": 0.2}}
    summary = go(tmp_path, methods=["clip", faster])
    assert lab.runs[4:] == [("safeclip", 0, False), ("safeclip", 0, False)]
    assert [run["settings"].get("safeclip.growth") for run in summary["runs"]] == [None, 0.2, None, 0.2]
    go(tmp_path, seeds=[0, 1], methods=["clip", faster])
    assert {seed for _, seed, _ in lab.runs[6:]} == {1}


def test_a_killed_bench_goes_on_and_the_half_trained_run_from_its_checkpoint(lab: Laboratory, tmp_path: Path) -> None:
    def kill(config: RunConfig) -> None:
        if len(lab.runs) == 2:
            raise KeyboardInterrupt

    lab.trouble = kill
    with pytest.raises(RunError, match="stopped; the same command goes on"):
        go(tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (len(summary["runs"]), summary["left"]) == (1, 3), "what was done before is told"
    states = [entry["state"] for entry in Bench.open(spec(), tmp_path).prospect({})]
    assert states == ["done", "half trained", "to do", "to do"]
    lab.trouble = lambda config: None
    assert go(tmp_path)["left"] == 0
    assert lab.runs[2:] == [("safeclip", 0, True), ("clip", 0, False), ("safeclip", 0, False)]


def test_a_run_killed_before_its_first_checkpoint_begins_anew(lab: Laboratory, tmp_path: Path) -> None:
    bench = Bench.open(spec(), tmp_path)
    torn = tmp_path / "runs" / bench.cells[0].id
    torn.mkdir(parents=True)
    (torn / "config.yaml").write_text("half a confi")
    assert go(tmp_path)["left"] == 0
    assert lab.runs[0] == ("clip", 0, False)


def test_one_run_that_fails_is_recorded_and_the_others_go_on(lab: Laboratory, tmp_path: Path) -> None:
    def fail(config: RunConfig) -> None:
        if config.method == "safeclip" and len(lab.runs) == 2:
            raise RunError("epoch 2, batch 3: the clip loss is nan;\nlower optim.rate")
        if config.method == "safeclip":
            raise KeyError("surprise")

    lab.trouble = fail
    results = tmp_path / "results.json"
    summary = go(tmp_path / "out", results=results)
    told = [(failure["run"], failure["reason"]) for failure in summary["failed"]]
    assert told == [
        ("seed 0, targeted, safeclip", "epoch 2, batch 3: the clip loss is nan; lower optim.rate"),
        ("seed 0, badnets, safeclip", "KeyError: 'surprise'"),
    ]
    assert [run["label"] for run in summary["runs"]] == ["clip", "clip"]
    assert [record["label"] for record in json.loads(results.read_text())["records"]] == ["clip", "clip"]
    assert "Failed: seed 0, badnets, safeclip: KeyError" in (tmp_path / "out/table.md").read_text()
    lab.trouble = lambda config: None
    summary = go(tmp_path / "out", results=results)
    assert (summary["failed"], summary["left"]) == ([], 0), "the same command tries them again"


def test_an_attack_that_cannot_be_measured_takes_nothing_else_with_it(
    lab: Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blind(*args: Any, **settings: Any) -> dict[str, Any]:
        metrics = lab.evaluate(*args, **settings)
        metrics["attack"][0] = {"name": "badnets", "asr": None, "why": "badnets: no picture of 'x'"}
        return metrics

    monkeypatch.setattr(measure, "evaluate_run", blind)
    results = tmp_path / "results.json"
    summary = go(tmp_path / "out", results=results, attacks=[[BADNETS, TARGETED]])
    assert (summary["failed"], summary["left"]) == ([], 0)
    records = json.loads(results.read_text())["records"]
    assert [[attack["label"] for attack in record["attacks"]] for record in records] == [["targeted"]] * 2
    assert "not measured: badnets: no picture of 'x'" in (tmp_path / "out/table.md").read_text()


def test_checkpoints_go_when_nothing_unfinished_starts_from_them(lab: Laboratory, tmp_path: Path) -> None:
    seen: list[set[str]] = []
    lab.trouble = lambda config: seen.append(checkpoints(tmp_path))
    cells = Bench.open(spec(methods=["safeclip", CLEANCLIP], attacks=[TARGETED]), tmp_path).cells
    go(tmp_path, methods=["safeclip", CLEANCLIP], attacks=[TARGETED])
    clip, safe, clean = (cell.id for cell in cells)
    assert seen == [{clip}, {clip, safe}, {clip, clean}]
    assert checkpoints(tmp_path) == set()
    kept = {path.name for path in (tmp_path / "runs" / safe).iterdir()}
    assert kept == {"config.yaml", "log.jsonl", "split.jsonl", "metrics.json"}


def test_keep_runs_keeps_them(lab: Laboratory, tmp_path: Path) -> None:
    go(tmp_path, keep_runs=True)
    assert len(checkpoints(tmp_path)) == 4


def test_only_leaves_the_rest_for_later(lab: Laboratory, tmp_path: Path) -> None:
    summary = go(tmp_path, only={"method": ["safeclip"], "attack": ["badnets"]})
    assert [(run["attack"], run["label"]) for run in summary["runs"]] == [("badnets", "clip"), ("badnets", "safeclip")]
    assert summary["left"] == 2


def test_a_run_that_would_not_fit_is_not_begun(lab: Laboratory, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    bench = Bench.open(spec(attacks=[TARGETED, BADNETS, "none"]), tmp_path)
    bench.run({"attack": ["targeted"]}, quiet=True)
    summary = bench.run({}, deadline=time.monotonic() + 5)
    assert summary["left"] == 4, "plain CLIP took 10 s before"
    assert "stopped before seed 0, badnets, clip: it would not fit" in capsys.readouterr().err
    assert bench.run({}, deadline=time.monotonic() + 3600, quiet=True)["left"] == 0
    fresh = Bench.open(spec(), tmp_path / "fresh")
    assert fresh.run({}, deadline=time.monotonic() + 5, quiet=True)["left"] == 3, "of unknown cost: one is tried"


def test_results_go_on_in_another_folder(lab: Laboratory, tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    go(tmp_path / "one", results=results)
    shutil.rmtree(tmp_path / "one")
    summary = go(tmp_path / "two", results=results, seeds=[0, 1])
    assert [seed for _, seed, _ in lab.runs] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert len(summary["runs"]) == 8
    assert len(json.loads(results.read_text())["records"]) == 8


def test_results_keep_what_the_spec_still_has_and_lose_the_rest(lab: Laboratory, tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    go(tmp_path / "one", results=results, seeds=[0, 1], attacks=[TARGETED, BADNETS, "none"])
    go(tmp_path / "other", results=results, name="other", attacks=["none"], seeds=[2])
    done = len(lab.runs)
    go(tmp_path / "two", results=results, seeds=[0], attacks=[TARGETED, BADNETS], only={"attack": ["targeted"]})
    assert len(lab.runs) == done
    left = [(r["bench"], r["seed"], r["group"], r["label"]) for r in json.loads(results.read_text())["records"]]
    kept = [("tiny", 0, group, label) for group in ("badnets", "targeted") for label in ("clip", "safeclip")]
    assert left == [("other", 2, "none", "clip"), ("other", 2, "none", "safeclip"), *kept]


def test_two_processes_on_one_bench_tell_of_both_their_runs(lab: Laboratory, tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    one, other = (Bench.open(spec(), tmp_path / "out", results) for _ in range(2))
    one.run({"attack": ["targeted"]}, quiet=True)
    summary = other.run({"attack": ["badnets"]}, quiet=True)
    assert (len(summary["runs"]), summary["left"]) == (4, 0)
    assert len(json.loads(results.read_text())["records"]) == 4


def test_two_benches_do_not_share_a_folder(lab: Laboratory, tmp_path: Path) -> None:
    go(tmp_path)
    with pytest.raises(InputError, match="holds the bench 'tiny'; give other another --out"):
        go(tmp_path, name="other")


def test_two_labels_of_one_run_have_a_place_each(lab: Laboratory, tmp_path: Path) -> None:
    told = go(tmp_path / "out", methods=["clip", {"method": "clip", "label": "clip again"}])
    assert {run["label"] for run in told["runs"]} == {"clip", "clip again"}
    assert told["left"] == 0
    assert len(lab.runs) == 2, "it is done once for each of the two attacks"


def test_a_manifest_is_planned_once_by_those_who_need_it_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[Path] = []

    def plan(cell: Cell, file: Path) -> None:
        planned.append(file)
        time.sleep(0.2)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("whole")

    monkeypatch.setattr(measure, "_plan", plan)
    cells = grid(spec(attacks=[{"name": "badnets"}]))
    with ThreadPoolExecutor(4) as threads:
        files = [*threads.map(lambda cell: measure.plant(cell, tmp_path), [*cells, *cells])]
    assert len({*files}) == len(planned) == 1


@pytest.mark.parametrize("params", [{"place": "middle"}, {"target_class": "no such"}, {"count": 10**6}])
def test_what_cannot_be_planted_fails_before_the_first_run(
    params: dict[str, Any], lab: Laboratory, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    lab.trouble = lambda config: print("trained", file=sys.stderr)
    bad = {"name": "badnets", "label": "bad", "params": params}
    summary = Bench.open(spec(attacks=[TARGETED, bad]), tmp_path).run({})
    assert [failure["run"] for failure in summary["failed"]] == ["seed 0, bad, clip", "seed 0, bad, safeclip"]
    assert [method for method, _, _ in lab.runs] == ["clip", "safeclip"]
    told = capsys.readouterr().err
    assert told.index("failed: seed 0, bad, safeclip: ") < told.index("trained")


def test_a_plan_that_breaks_is_one_failure_among_the_runs(
    lab: Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = runner.plant

    def breaks(cell: Cell, folder: Path) -> Path | None:
        if cell.group == "badnets":
            raise RuntimeError("one plan broke")
        return plan(cell, folder)

    monkeypatch.setattr(runner, "plant", breaks)
    summary = go(tmp_path)
    assert {failure["reason"] for failure in summary["failed"]} == {"RuntimeError: one plan broke"}
    assert [run["attack"] for run in summary["runs"]] == ["targeted", "targeted"]


def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"file/x/claims/.*: cannot be written \(Not a directory\)"):
        go(tmp_path / "file" / "x")
