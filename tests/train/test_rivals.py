"""Rival methods in the loop: a restart is complete, a resumed run is the whole one, rates and records are as told."""

from __future__ import annotations

import shutil
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

from safeclip.attacks.manifest import Manifest
from safeclip.model.build import build
from safeclip.run import RunDir, read_scores
from safeclip.train.loop import _Trainer
from tests import tiny
from tests.outcome import differences, outcome
from tests.reference.schedule import rates

RIVALS = {"roclip": {"roclip.pool_size": 200}, "filter": {"filter.look_epochs": 1, "filter.share": 0.2}}
SETTINGS = {"epochs": 2, "optim.batch_size": 80, "checkpoint_minutes": 1e-6, "keep_checkpoints": 9}


@pytest.fixture(scope="module")
def whole(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunDir]:
    """A run of each, never interrupted, every step logged and kept."""
    runs = {}
    with mock.patch("safeclip.train.loop.LOG_EVERY", 1):
        for method, own in RIVALS.items():
            runs[method] = RunDir(tmp_path_factory.mktemp(method) / "run")
            assert tiny.train(runs[method].path, planted, SETTINGS | {"method": method} | own) == 0
    return runs


@pytest.mark.parametrize(
    ("method", "at"),
    [
        ("roclip", "epoch-001-batch-000002"),  # 160 of the pool's 200 captions are in
        ("roclip", "epoch-002-batch-000001"),  # within the matching epoch
        ("filter", "epoch-001"),  # before the pairs are dropped
        ("filter", "epoch-002-batch-000001"),  # after it
    ],
)
def test_a_run_resumed_from_any_part_ends_as_the_one_never_interrupted(
    method: str, at: str, whole: dict[str, RunDir], tmp_path: Path
) -> None:
    shutil.copytree(whole[method].path, tmp_path / "run")
    copied = RunDir(tmp_path / "run")
    (copied.checkpoints / "latest").write_text(at + "\n")
    with mock.patch("safeclip.train.loop.LOG_EVERY", 1):
        assert tiny.resume(copied.path) == 0
    assert differences(outcome(whole[method]), outcome(copied)) == []


def test_roclips_rates_are_one_curve_over_plain_and_matching_epochs(whole: dict[str, RunDir]) -> None:
    steps = [line for line in whole["roclip"].log() if line["event"] == "step"]
    assert [line["phase"] for line in steps] == ["clip"] * 3 + ["match"] * 3
    assert [line["rate"] for line in steps] == pytest.approx(rates(6, tiny.SETTINGS["optim.rate"], 0.1), abs=1e-15)


def test_filters_rates_are_a_curve_for_each_of_its_two_models(whole: dict[str, RunDir]) -> None:
    steps = [line for line in whole["filter"].log() if line["event"] == "step"]
    for phase in ("look", "retrain"):
        found = [line["rate"] for line in steps if line["phase"] == phase]
        assert found == pytest.approx(rates(3, tiny.SETTINGS["optim.rate"], 0.1), abs=1e-15)


def test_filters_record_counts_the_planted_pairs_it_kept(whole: dict[str, RunDir]) -> None:
    run = whole["filter"]
    (record,) = run.splits()
    scores = read_scores(run.scores_file(2))
    planted = Manifest.load(run.manifest_file).uids
    kept = scores["uid"][scores["safe"]]
    assert len(kept) == record["safe_count"] == 192
    assert record["planted_in_safe"] == np.isin(planted, kept).sum()
    assert record["planted_total"] == len(planted)
    assert set(scores) == {"uid", "similarity", "safe", "risk"}
    assert scores["risk"][scores["safe"]].max() <= scores["risk"][~scores["safe"]].min()


def trainer(out: Path, changes: dict[str, object]) -> _Trainer:
    run = RunDir(out)
    run.path.mkdir()
    return _Trainer(tiny.config({"method": "clip"} | changes), run, None, torch.device("cpu"), quiet=True)


def one_step(made: _Trainer) -> tuple[float, dict[str, torch.Tensor]]:
    epoch = made.method.plan(1, made.bad.usable)
    inputs = next(iter(made.loader.batches(1, epoch.batches)))
    loss = float(made.stepper(inputs, 1e-3))
    return loss, {name: value.clone() for name, value in made.clip.net.state_dict().items()}


@pytest.mark.parametrize("from_weights", [False, True])
def test_after_a_restart_the_first_step_is_taken_again_to_the_last_bit(
    from_weights: bool, tiny_run: RunDir, tmp_path: Path
) -> None:
    """Weights, running means of batch norms, logit scale, moments: what the optimizer remembers shapes a step too."""
    weights = str(tiny_run.checkpoints / "epoch-005" / "model.safetensors")
    made = trainer(tmp_path / "run", {"model.weights": weights} if from_weights else {})
    first_loss, first = one_step(made)
    for _ in range(3):
        later_loss, later = one_step(made)
    assert later_loss != first_loss
    assert not torch.equal(later["logit_scale"], first["logit_scale"])
    made._restart()
    begun = build(made.config.model, seed=made.config.seed).net.state_dict()
    assert all(torch.equal(value, begun[name]) for name, value in made.clip.net.state_dict().items())
    again_loss, again = one_step(made)
    assert again_loss == first_loss
    assert all(torch.equal(value, first[name]) for name, value in again.items())


def test_cleanclip_starts_from_the_poisoned_weights_and_needs_no_manifest(tiny_run: RunDir, tmp_path: Path) -> None:
    weights = tiny_run.checkpoints / "epoch-005" / "model.safetensors"
    changes = {"method": "cleanclip", "model.weights": str(weights), "epochs": 1, "optim.rate": 1e-9}
    assert tiny.train(tmp_path / "mended", None, changes) == 0
    before = build(tiny.config({"model.weights": str(weights)}).model).net
    after = build(
        tiny.config({"model.weights": str(tmp_path / "mended/checkpoints/epoch-001/model.safetensors")}).model
    )
    for (name, old), new in zip(before.named_parameters(), after.net.parameters(), strict=True):
        torch.testing.assert_close(new, old, rtol=0, atol=1e-6, msg=name)


def test_cleanclip_without_weights_is_one_line_of_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.train(tmp_path / "run", None, {"method": "cleanclip"}) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert "model.weights = None: cleanclip mends a trained model" in errors
    assert not (tmp_path / "run").exists()
