"""One record, log.jsonl; TensorBoard events are a picture of it, drawn anew when a run goes on."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from safeclip.errors import InputError
from safeclip.run import RunDir
from safeclip.train.log import Log, scalars
from safeclip.train.loop import train
from tests import tiny

STEP = {"event": "step", "epoch": 1, "step": 7, "objective": "clip", "loss": 2.5, "rate": 1e-3, "logit_scale": 14.3}
EPOCH = {"event": "epoch", "epoch": 1, "step": 8, "loss": {"clip": 2.0, "unimodal": 3.0}, "pairs_per_second": 900.0}


def events(run: RunDir) -> dict[str, list[tuple[int, float]]]:
    """(step, value) of each scalar that TensorBoard finds."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulator.EventAccumulator(str(run.tensorboard))
    found.Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def drawn(run: RunDir) -> dict[str, list[tuple[int, float]]]:
    """The same, from log.jsonl."""
    found: dict[str, list[tuple[int, float]]] = {}
    for line in run.log():
        for name, value in scalars(line).items():
            found.setdefault(name, []).append((line["step"], pytest.approx(value, rel=1e-6)))
    return found


def test_an_epochs_time_counts_from_its_beginning_whatever_was_saved_within(tmp_path: Path) -> None:
    assert tiny.train(tmp_path / "run", changes={"method": "clip", "epochs": 2, "checkpoint_minutes": 1e-6}) == 0
    lines = RunDir(tmp_path / "run").log()
    epochs = [line for line in lines if line["event"] == "epoch"]
    whole = next(line for line in lines if line["event"] == "end")["seconds"]
    assert sum(line["seconds"] for line in epochs) == pytest.approx(whole, rel=0.1)
    for line in epochs:
        assert line["pairs_per_second"] * line["seconds"] == pytest.approx(line["pairs"])


def test_steps_and_epochs_can_be_drawn_and_nothing_else() -> None:
    assert scalars(STEP) == {"loss/clip": 2.5, "rate/clip": 1e-3, "logit_scale": 14.3}
    assert scalars(EPOCH) == {"epoch_loss/clip": 2.0, "epoch_loss/unimodal": 3.0, "pairs_per_second": 900.0}
    assert scalars({"event": "note", "epoch": 1, "text": "clamped"}) == {}


def test_tensorboard_shows_what_the_log_says_also_after_a_resume(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run = train(tiny.config({"method": "clip", "epochs": 3, "tensorboard": True}), tmp_path / "run", quiet=True)
    whole = events(run)
    assert whole == drawn(run)
    assert len(whole["epoch_loss/clip"]) == 3
    (run.checkpoints / "latest").write_text("epoch-001\n")
    assert tiny.resume(run.path) == 0
    again = events(run)
    assert again == drawn(run), "no point twice, none of what was cut back"
    speed = "pairs_per_second"
    assert {k: v for k, v in again.items() if k != speed} == {k: v for k, v in whole.items() if k != speed}


def test_without_the_setting_no_events_are_written(tiny_run: RunDir) -> None:
    assert not tiny_run.tensorboard.exists()


def test_a_missing_package_is_named_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"pip install 'safeclip\[tensorboard\]'"):
        train(tiny.config({"tensorboard": True}), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_log_that_goes_on_forgets_what_came_after(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    log = Log(run, tensorboard=False)
    log.begin(0)
    log.add(STEP)
    kept = log.length()
    log.add(EPOCH)
    again = Log(run, tensorboard=False)
    again.begin(kept)
    again.add({"event": "end", "seconds": 1.0})
    assert [line["event"] for line in run.log()] == ["step", "end"]
    shutil.rmtree(tmp_path)
    assert Log(RunDir(tmp_path), tensorboard=False).length() == 0
