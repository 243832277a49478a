"""Kill and resume: whatever the moment, the run ends with the scores, the split and the weights of one never killed."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from safeclip.errors import RunError
from safeclip.run import RunDir
from safeclip.train import scoring
from safeclip.train.progress import Bar
from tests import tiny
from tests.outcome import differences, outcome
from tests.train.lives import live

KILLS = 10  # for each kind of scoring
EVERY_BATCH = {"checkpoint_minutes": 1e-6, "keep_checkpoints": 2}


@pytest.mark.parametrize("scoring", ["running", "fresh"])
def test_killed_at_ten_moments_and_resumed_a_run_ends_as_one_never_killed(
    scoring: str, planted: Path, tmp_path: Path
) -> None:
    """Ten kills over five lives: the first of each life in turn at every part of it, the second while it is resumed."""
    settings = EVERY_BATCH | {"safeclip.scoring": scoring}
    told = tmp_path / "told.json"
    assert live(tiny.arguments(tmp_path / "whole", planted, settings), told) == 0
    whole, wanted = json.loads(told.read_text()), outcome(RunDir(tmp_path / "whole"))
    random = np.random.default_rng(["running", "fresh"].index(scoring))
    kills = 0
    for part in range(KILLS // 2):
        out = tmp_path / f"life-{part}"
        when = (part + random.random()) / (KILLS / 2)
        then = random.random() * (1 - when) * 0.8
        moments = [{"touch": 1 + int(when * whole["touches"])}, {"cpu": 0.1 + then * whole["cpu"]}]
        if part % 2:
            moments = [{"cpu": 0.1 + 0.9 * when * whole["cpu"]}, {"touch": 1 + int(then * whole["touches"])}]
        for moment in [*moments, {}]:
            begun = (out / "config.yaml").exists()
            resumed = ["train", "--resume", "--out", str(out), "--quiet"]
            code = live(resumed if begun else tiny.arguments(out, planted, settings), told, **moment)
            assert code in (0, -signal.SIGKILL, -signal.SIGPROF)
            kills += code != 0
        assert code == 0
        assert differences(wanted, outcome(RunDir(out))) == [], f"killed at {moments}"
    assert kills >= KILLS - 2, "a life may end before its moment comes"


@pytest.fixture
def copied(tiny_run: RunDir, tmp_path: Path) -> RunDir:
    """The tiny run, free to be broken."""
    shutil.copytree(tiny_run.path, tmp_path / "run")
    return RunDir(tmp_path / "run")


def point_to(run: RunDir, name: str) -> None:
    (run.checkpoints / "latest").write_text(name + "\n")


def steps_aside(found: dict) -> dict:
    """The tiny run logs every step, a resumed one every tenth; and what it says of a damaged checkpoint."""
    return found | {"log.jsonl": [line for line in found["log.jsonl"] if line["event"] not in ("step", "note")]}


def test_a_crash_between_the_folders_rename_and_latest_goes_on_from_the_one_before(
    tiny_run: RunDir, copied: RunDir
) -> None:
    point_to(copied, "epoch-003")
    assert (copied.checkpoints / "epoch-004/state.json").is_file()
    assert tiny.resume(copied.path) == 0
    assert differences(steps_aside(outcome(tiny_run)), steps_aside(outcome(copied))) == []


def test_a_resumed_run_is_paced_from_where_it_goes_on(copied: RunDir, monkeypatch) -> None:
    begun: list[float] = []
    monkeypatch.setattr(Bar, "begin", lambda bar, done: begun.append(done))
    point_to(copied, "epoch-004")
    shutil.rmtree(copied.checkpoints / "epoch-005")
    assert tiny.resume(copied.path) == 0
    assert begun[0] == 4 / copied.config().epochs


def test_a_run_that_dies_in_its_look_at_the_data_goes_on_with_the_part_that_it_was_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"safeclip.veto": ["patterns", "texture"], "safeclip.look_pairs": 100, "epochs": 3} | EVERY_BATCH
    assert tiny.train(tmp_path / "whole", changes=changes) == 0
    seen: list[int] = []

    def dying(*given):
        seen.append(len(given[3]))
        if len(seen) == 2:
            raise RunError("died")
        return glance(*given)

    glance, run = scoring.glance, RunDir(tmp_path / "run")
    monkeypatch.setattr(scoring, "glance", dying)
    assert tiny.train(run.path, changes=changes) == 1
    assert (run.checkpoints / "latest").read_text() == "epoch-002-batch-000000\n"
    assert tiny.resume(run.path) == 0
    assert len(seen) == 4, "three parts, of which one was begun twice"
    assert seen[1] == seen[2]
    assert differences(steps_aside(outcome(RunDir(tmp_path / "whole"))), steps_aside(outcome(run))) == []


def test_an_epoch_that_was_begun_does_not_go_on_with_other_batches(tmp_path: Path, capsys) -> None:
    assert tiny.train(tmp_path / "run", changes={"checkpoint_minutes": 1e-6, "keep_checkpoints": 99, "epochs": 4}) == 0
    run = RunDir(tmp_path / "run")
    inside, whole = "epoch-004-batch-000003", outcome(run)
    point_to(run, inside)
    for later in (path for path in run.checkpoints.iterdir() if path.is_dir() and path.name > inside):
        shutil.rmtree(later)
    shutil.rmtree(run.checkpoints / "epoch-004", ignore_errors=True)
    config = run.config_file.read_text()
    run.config_file.write_text(config.replace("order: mixed", "order: sequential"))
    assert tiny.resume(run.path) == 2
    assert "epoch 4: its batches are no longer those that the checkpoint counted" in capsys.readouterr().err
    run.config_file.write_text(config)
    assert tiny.resume(run.path) == 0
    assert differences(steps_aside(whole), steps_aside(outcome(run))) == []


def test_a_checkpoint_half_written_is_not_seen_and_is_swept_away(tiny_run: RunDir, copied: RunDir) -> None:
    point_to(copied, "epoch-004")
    shutil.rmtree(copied.checkpoints / "epoch-005")
    torn = copied.checkpoints / ".epoch-005-batch-000003.part"
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"\x40\0\0\0\0\0\0\0{")
    (copied.checkpoints / ".latest.part").write_text("epo")
    assert tiny.resume(copied.path) == 0
    assert differences(steps_aside(outcome(tiny_run)), steps_aside(outcome(copied))) == []
    assert not list(copied.checkpoints.glob(".*"))


@pytest.mark.parametrize("damage", ["one bit", "pointer"])
def test_a_damaged_checkpoint_is_refused_and_the_one_before_taken_saying_so(
    damage: str, tiny_run: RunDir, copied: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    if damage == "one bit":
        file = copied.checkpoints / "epoch-005/state.safetensors"
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        says = "epoch-005: checkpoint is damaged, state.safetensors not as SHA256SUMS says; going on from epoch-004"
    else:
        shutil.rmtree(copied.checkpoints / "epoch-005")
        says = "epoch-005: no whole checkpoint, model.safetensors, state.safetensors, state.json, SHA256SUMS missing"
    assert tiny.resume(copied.path) == 0
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1, errors
    assert says in errors
    assert [line["text"] for line in copied.log() if line["event"] == "note"] == [
        errors.strip().removeprefix("safeclip: ")
    ]
    assert differences(steps_aside(outcome(tiny_run)), steps_aside(outcome(copied))) == []


def test_a_run_killed_before_its_first_checkpoint_begins_again(tiny_run: RunDir, copied: RunDir) -> None:
    shutil.rmtree(copied.checkpoints)
    assert tiny.resume(copied.path) == 0
    assert differences(steps_aside(outcome(tiny_run)), steps_aside(outcome(copied))) == []


def test_resuming_a_finished_run_changes_nothing(tiny_run: RunDir, copied: RunDir) -> None:
    assert tiny.resume(copied.path) == 0
    assert differences(outcome(tiny_run), outcome(copied)) == []
    assert copied.log_file.read_bytes() == tiny_run.log_file.read_bytes(), "not even the times"


def break_nothing_left(run: RunDir) -> str:
    shutil.rmtree(run.path)
    return "no run here (config.yaml is missing)"


def break_every_checkpoint(run: RunDir) -> str:
    for file in run.checkpoints.glob("*/model.safetensors"):
        file.write_bytes(file.read_bytes()[:5000])
    return "epoch-005: checkpoint is damaged, model.safetensors not as SHA256SUMS says; no whole checkpoint is left"


def break_other_method(run: RunDir) -> str:
    edit(run, "method: safeclip", "method: clip")
    return "belongs to another run, its method is safeclip, this one's clip"


def break_other_data(run: RunDir) -> str:
    run.manifest_file.unlink()
    edit(run, "pairs=240", "pairs=244")
    edit(run, f"manifest: {run.config().manifest}", "manifest: null")
    return "belongs to another run, its data is emoji:pairs=240"


def break_other_model(run: RunDir) -> str:
    edit(run, "name: safeclip-emoji", "name: safeclip-64px")
    return "belongs to another run, its model.name is safeclip-emoji"


def break_other_batch_size(run: RunDir) -> str:
    """Its schedule, reckoned in the first split, would be at its end, a rate of zero, half-way."""
    edit(run, "batch_size: 40", "batch_size: 20")
    return "belongs to another run, its optim.batch_size is 40, this one's 20; set config.yaml back"


def break_other_epochs(run: RunDir) -> str:
    edit(run, "epochs: 5", "epochs: 9")
    return "belongs to another run, its epochs is 5, this one's 9"


def break_other_scoring(run: RunDir) -> str:
    point_to(run, "epoch-003")
    state = run.checkpoints / "epoch-003/state.safetensors"
    from safetensors.torch import load_file, save_file

    save_file({name: t for name, t in load_file(state).items() if "running" not in name}, state)
    sums = state.parent / "SHA256SUMS"
    lines = [line for line in sums.read_text().splitlines() if not line.endswith(state.name)]
    sums.write_text("\n".join([*lines, f"{hashlib.sha256(state.read_bytes()).hexdigest()}  {state.name}\n"]))
    return "holds no 'cosine', which the run's method needs"


def break_config(run: RunDir) -> str:
    run.config_file.write_text("epochs: [")
    return "not readable as YAML"


def edit(run: RunDir, old: str, new: str) -> None:
    text = run.config_file.read_text()
    assert old in text
    run.config_file.write_text(text.replace(old, new))


BREAKS = [value for name, value in list(globals().items()) if name.startswith("break_")]


@pytest.mark.parametrize("break_it", BREAKS, ids=[each.__name__ for each in BREAKS])
def test_what_cannot_be_resumed_is_one_line_of_bad_input(
    break_it, copied: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    says = break_it(copied)
    assert tiny.resume(copied.path) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1, errors
    assert says in errors
    assert str(copied.path) in errors


def test_a_new_run_never_writes_over_one_that_is_there(
    copied: RunDir, planted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = outcome(copied)
    assert tiny.train(copied.path, planted) == 2
    assert "holds a run already; give --resume" in capsys.readouterr().err
    assert differences(before, outcome(copied)) == []


def test_a_run_is_trained_by_one_process_at_a_time(copied: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    before = outcome(copied)
    holds = (
        "import fcntl, sys; file = open(sys.argv[1], 'a'); fcntl.lockf(file, fcntl.LOCK_EX); print(flush=True); input()"
    )
    command = [sys.executable, "-c", holds, str(copied.lock_file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert tiny.resume(copied.path) == 2
        other.kill()
    assert capsys.readouterr().err == (
        f"safeclip: {copied.path}: another process trains this run; wait until it has ended, or end it, then --resume\n"
    )
    assert differences(before, outcome(copied)) == []
    assert tiny.resume(copied.path) == 0
