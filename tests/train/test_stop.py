"""SIGTERM: the step in progress is finished, the state saved, and the run goes on from there to the same end."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from safeclip.data.read import Reader
from safeclip.errors import Halted
from safeclip.run import RunDir
from safeclip.train import distributed, loop, scoring
from safeclip.train.step import Stepper
from safeclip.train.stop import Stop
from tests import tiny
from tests.outcome import differences, outcome
from tests.train.test_resume import steps_aside


@pytest.fixture
def terminated(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Steps, counted from 1, in the midst of which SIGTERM comes."""
    moments: list[int] = []
    whole, calls = Stepper.__call__, []

    def step(self: Stepper, *given):
        calls.append(1)
        if len(calls) in moments:
            os.kill(os.getpid(), signal.SIGTERM)
        return whole(self, *given)

    monkeypatch.setattr(Stepper, "__call__", step)
    return moments


def test_it_ends_after_the_step_in_progress_and_resumes_to_the_same_end(
    terminated: list[int], tiny_run: RunDir, planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    out = tmp_path / "run"
    terminated += [4, tiny.STEPS + tiny.STEPS + 1]  # in epoch 1, and in the last step of epoch 2, one for barred pairs
    assert tiny.train(out, planted) == 1
    errors = capsys.readouterr().err
    assert errors == (
        f"safeclip: told to end (SIGTERM) in epoch 1 after batch 4 of 6; "
        f"`safeclip train --resume --out {out}` goes on from epoch-001-batch-000004\n"
    )
    assert signal.getsignal(signal.SIGTERM) == before
    assert tiny.resume(out) == 1
    assert "before epoch 3; " in capsys.readouterr().err
    assert tiny.resume(out) == 0
    assert differences(steps_aside(outcome(tiny_run)), steps_aside(outcome(RunDir(out)))) == []


@pytest.mark.parametrize(
    ("changes", "while_", "after"),
    [
        ({"safeclip.veto": [], "safeclip.risk": ["cosine"], "safeclip.scoring": "fresh"}, "scoring for epoch 3", 2),
        ({"safeclip.veto": ["copies"]}, "looking at the data for epoch 2", 1),
        ({"safeclip.veto": ["patterns"]}, "looking at the data for epoch 2", 1),
    ],
)
def test_while_scoring_it_ends_at_once_and_goes_on_from_the_epoch_before(
    changes: dict[str, Any], while_: str, after: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read = scoring.read_in_parts

    def told(*given):
        os.kill(os.getpid(), signal.SIGTERM)
        return read(*given)

    monkeypatch.setattr(scoring, "read_in_parts", told)
    cfg = tiny.config({"epochs": 3, **changes})
    with pytest.raises(Halted, match=rf"while {while_}; .* goes on from epoch-00{after}$"):
        loop.train(cfg, tmp_path / "run", quiet=True)
    assert not RunDir(tmp_path / "run").split_file.exists()


def test_while_pictures_are_read_it_ends_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fits = Reader._fits

    def told(self: Reader) -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        return fits(self)

    monkeypatch.setattr(Reader, "_fits", told)
    with pytest.raises(Halted, match=r"while reading pictures for epoch 1; .* goes on from the start"):
        loop.train(tiny.config(), tmp_path / "run", quiet=True)


def test_outside_the_main_thread_training_hears_nothing() -> None:
    def listen() -> None:
        with Stop() as stop:
            heard.append(stop.asked)

    heard: list[bool] = []
    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert heard == [False]


def test_a_signal_that_comes_while_ranks_agree_is_kept_for_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others did not hear of it: this rank must not end alone, and must not forget."""

    def meanwhile(flag: bool) -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        return flag

    with Stop() as stop:
        monkeypatch.setattr(distributed, "anywhere", meanwhile)
        stop.agree("here")
        assert not stop.agreed
        with pytest.raises(Halted, match=r"told to end \(SIGTERM\) there"):
            stop.agree("there")
        assert stop.agreed
