"""`safeclip evaluate`: of a run, of a model's folder, on published sets, with a probe."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from safeclip.cli import main
from safeclip.data.sources import torchvision_sets
from safeclip.evaluate import run as run_module
from safeclip.evaluate.lines import metric_lines
from safeclip.evaluate.run import evaluate_run
from safeclip.run import RunDir
from tests import tiny
from tests.data.tiny_sets import MAKE, clip_benchmark


@pytest.fixture
def run(tiny_run: RunDir, tmp_path: Path) -> Path:
    shutil.copytree(tiny_run.path, tmp_path / "run")
    return tmp_path / "run"


def answer(capsys: Any, *arguments: object) -> dict[str, Any]:
    assert main(["evaluate", *map(str, arguments), "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def refused(capsys: Any, *arguments: object) -> str:
    assert main(["evaluate", *map(str, arguments)]) == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1
    assert told.out == ""
    return str(told.err)


def test_a_run_is_probed_on_its_own_splits_and_its_scores_are_measured(run: Path, capsys: Any) -> None:
    assert main(["evaluate", str(run), "--probe"]) == 0
    said = capsys.readouterr().out
    metrics = RunDir(run).metrics()
    assert metrics is not None
    probe = metrics["linear_probe"]
    assert (probe["train_n"], probe["val_n"], probe["n"], probe["val_split"]) == (240, 60, 58, "val")
    assert "linear probe over 12 classes: top-1 " in said
    assert "detection at epoch 5, 16 of 240 pairs planted: AUROC " in said
    assert "planted pairs among the riskiest 10 %: " in said
    assert {entry["epoch"] for entry in metrics["detection"]} == {3, 4, 5}


def test_a_run_needs_nothing_of_the_weights_that_it_began_with(run: Path, capsys: Any) -> None:
    """A mended model is evaluated long after the poisoned one is gone."""
    config = run / "config.yaml"
    before = answer(capsys, run)
    config.write_text(config.read_text().replace("weights: null", f"weights: {run}/gone.safetensors"))
    assert "gone.safetensors" in config.read_text()
    assert answer(capsys, run) == before


def test_without_probe_there_is_none(run: Path, capsys: Any) -> None:
    assert answer(capsys, run)["linear_probe"] is None


def test_of_the_pairs_trained_on_no_more_are_measured_than_say_something(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "SEEN", 20)
    for split, limit, told in (("train", None, 20), ("train", 35, 35), ("test", None, None)):
        about = evaluate_run(run, split=split, limit=limit, out=tmp_path)["data"]
        assert (about["seen_in_training"], about["limit"]) == (split == "train", told)


def test_other_data_is_read_in_its_own_way_and_out_takes_the_metrics(run: Path, tmp_path: Path, capsys: Any) -> None:
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("image_root: null", f"image_root: {run}"))
    MAKE["DTD"](tmp_path)
    before = (run / "metrics.json").exists()
    metrics = answer(capsys, run, "--data", f"torchvision:DTD:{tmp_path}", "--probe", "--out", tmp_path / "out")
    assert metrics == json.loads((tmp_path / "out/metrics.json").read_text())
    assert (run / "metrics.json").exists() == before
    assert metrics["zero_shot"]["classes"] == 2
    assert metrics["linear_probe"]["n"] == 2
    assert metrics["retrieval"] is None, "captions that only say the class find no picture of their own"
    assert metrics["data"]["templates"], "the run's"


def test_prompts_are_those_given_or_those_beside_the_data_or_the_runs(run: Path, tmp_path: Path, capsys: Any) -> None:
    spec = f"wds:{clip_benchmark(tmp_path / 'wds')}"
    used = answer(capsys, run, "--data", spec)["data"]["templates"]
    assert used == ["a photo of a {}.", "the {}, {drawn}."]
    assert answer(capsys, run, "--data", spec, "--template", "my {}", "--template", "{}!")["data"]["templates"] == [
        "my {}",
        "{}!",
    ]
    assert answer(capsys, run)["data"]["templates"] == list(RunDir(run).config().templates)
    assert "templates = ('my photo',): each needs a {} for the class" in refused(capsys, run, "--template", "my photo")


@pytest.mark.parametrize("prefix", ["", "local-dir:"])
def test_a_models_folder_is_evaluated_on_data(prefix: str, run: Path, tmp_path: Path, capsys: Any) -> None:
    assert main(["export", str(run), "--out", str(tmp_path / "model")]) == 0
    capsys.readouterr()
    folder, out = prefix + str(tmp_path / "model"), tmp_path / "out"
    prompts = [f"--template={template}" for template in RunDir(run).config().templates]
    given = ("--data", tiny.SPEC, "--manifest", run / "manifest.parquet", "--out", out, *prompts)
    metrics = answer(capsys, folder, *given)
    same = answer(capsys, run)
    assert all(metrics[part] == same[part] for part in ("zero_shot", "retrieval", "attack"))
    assert metrics["detection"] == []
    assert json.loads((out / "metrics.json").read_text()) == metrics
    assert "is a model without data of its own; give --data SPEC" in refused(capsys, folder)
    assert "--checkpoint names one of a run's" in refused(capsys, folder, "--data", "emoji:", "--checkpoint", "x")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["RUN", "--set", "data.class_column=kind"], "--set says how --data is read"),
        (["RUN", "--data", "emoji:", "--set", "optim.rate=1"], "takes data settings only"),
        (["RUN", "--weights", "x.pt"], "leave them out"),
        (["RUN", "--probe", "--split", "train"], "--probe: tests on split = 'train'"),
        (["RUN", "--download"], "--download: fetches sets named as torchvision:NAME:ROOT, not ''"),
        (["RUN", "--data", "torchvision:DTD:nowhere"], "no DTD in nowhere/dtd/dtd; `safeclip evaluate ... --download`"),
        (["--model", "RN50", "--weights", "x.pt"], "give a run's folder, or --model NAME --weights FILE --data SPEC"),
    ],
)
def test_what_does_not_go_together_is_one_line(arguments: list[str], said: str, run: Path, capsys: Any) -> None:
    assert said in refused(capsys, *[argument.replace("RUN", str(run)) for argument in arguments])


def test_download_fetches_before_it_evaluates(run: Path, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    spec = f"torchvision:DTD:{tmp_path}"
    monkeypatch.setattr(torchvision_sets, "fetch", lambda asked: MAKE["DTD"](tmp_path) if asked == spec else None)
    assert answer(capsys, run, "--data", spec, "--download")["zero_shot"]["n"] == 2


def test_a_fit_that_did_not_end_is_said_and_nothing_is_made_up() -> None:
    none: dict[str, Any] = {"zero_shot": None, "retrieval": None, "linear_probe": None, "attack": [], "detection": []}
    assert metric_lines(none) == []
    probe = {"top1": 0.5, "n": 10, "ci95": [0.2, 0.8], "C": 3.16, "val_n": 9, "train_n": 91, "classes": 3}
    (line,) = metric_lines(none | {"linear_probe": probe | {"converged": False}})
    assert line == (
        "linear probe over 3 classes: top-1 50.0 % (95 % interval 20.0 % to 80.0 %), n = 10, C = 3.16 by 9 validation "
        "pictures, fitted on 100; not every fit converged"
    ).replace(" %", "%").replace("95%", "95 %")
    alone = {"epoch": 1, "score": "risk", "attack": None, "auroc": None, "ap": None, "recall": None, "planted": 0}
    assert metric_lines(none | {"detection": [alone | {"pairs": 9}]}) == []
