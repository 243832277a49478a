"""`safeclip demo`: both methods on the same planted pairs, and a summary that says what its runs say."""

from __future__ import annotations

import json

from safeclip import cli
from safeclip import demo as module
from safeclip.attacks.manifest import Manifest
from safeclip.run import RunDir
from tests import tiny


def test_the_demo_trains_both_methods_on_the_same_planted_pairs_and_says_what_came_of_them(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(module, "preset", lambda name: tiny.config({"epochs": 3}))
    for name, value in {"TARGETS": 2, "CAPTIONS_EACH": 4, "PATCHED": 8}.items():
        monkeypatch.setattr(module, name, value)
    out = tmp_path / "demo"
    assert cli.main(["demo", "--out", str(out), "--seed", "3", "--quiet", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((out / "summary.json").read_text())
    assert told.keys() == {"seconds", "machine", "dataset", "runs"}
    assert [(r["method"], r["attack"], r["seed"], r["epochs"]) for r in told["runs"]] == [
        (m, a, 3, 3) for m in ("clip", "safeclip") for a in ("targeted", "badnets")
    ]
    assert len(Manifest.load(out / "manifest.parquet")) == 16
    for run in told["runs"]:
        assert {
            "seconds",
            "pairs_per_second",
            "zero_shot_top1",
            "zero_shot_top5",
            "asr",
            "asr_n",
            "asr_ci95",
            "base_rate",
        } <= run.keys()
        found = RunDir(out / run["method"])
        (attack,) = (a for a in found.metrics()["attack"] if a["name"] == run["attack"])
        assert (run["asr"], run["asr_n"], run["planted_total"]) == (attack["asr"], attack["n"], 8)
        inside = None if run["method"] == "clip" else found.splits()[-1]["planted_by_attack"][run["attack"]][0]
        assert run["planted_in_safe"] == inside
        assert (found.path / "manifest.parquet").read_bytes() == (out / "manifest.parquet").read_bytes()
    assert "<html" in (out / "report.html").read_text()[:300]
