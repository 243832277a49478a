"""The run directory: files whole or not at all, lines that grow, what is read back."""

from __future__ import annotations

import errno
import json
import math
import re
import socket
from pathlib import Path

import numpy as np
import pytest
import yaml

from safeclip import run as run_module
from safeclip.config import RunConfig, override
from safeclip.errors import InputError
from safeclip.presets import PRESETS
from safeclip.run import (
    RunDir,
    append_line,
    copy_file,
    cut_back,
    length_of,
    machine,
    read_lines,
    read_scores,
    write_json,
    write_scores,
    write_text,
)


@pytest.mark.parametrize("name", PRESETS)
def test_a_config_comes_back_from_its_file_as_it_was(name: str, tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    run.create(PRESETS[name]())
    assert run.config() == PRESETS[name]()
    assert set(yaml.safe_load(run.config_file.read_text())["made_with"]) >= {"python", "versions", "cpu", "cores"}


def test_a_run_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    run.create(RunConfig())
    with pytest.raises(InputError, match=r"holds a run already; give --resume to go on with it, or another --out"):
        run.create(override(RunConfig(), {"seed": 1}))
    assert run.config().seed == 0
    run.config_file.unlink()
    run.checkpoints.mkdir()
    with pytest.raises(InputError, match="holds a run already"):
        run.check_free()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, r"no run here \(config\.yaml is missing\); give the folder that --out named"),
        ("epochs: [", r"config\.yaml: not readable as YAML"),
        ("- 1", "holds no settings"),
        ("", "holds no settings"),
        ("epoch: 3", "epoch: no such setting; there are .*epochs"),
        ("epochs: many", "epochs = 'many': give a value of type int"),
        ("optim: {batch_size: 1}", r"optim\.batch_size = 1: contrastive losses need at least 2"),
        ("data: emoji", r"data\. = 'emoji': give fields and values"),
        ("!!python/object/apply:os.system ['true']", "not readable as YAML"),
    ],
)
def test_a_config_that_cannot_be_read_is_one_line(text: str | None, says: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InputError, match=says) as error:
        RunDir(tmp_path).config()
    assert "\n" not in str(error.value)


def test_numbers_may_be_written_by_hand_and_text_that_looks_like_one_stays_text(tmp_path: Path) -> None:
    """YAML 1.1 reads 1e-4 as text."""
    run = RunDir(tmp_path)
    run.create(override(RunConfig(), {"data.spec": "1e5"}))
    text = run.config_file.read_text("utf-8")
    run.config_file.write_text(re.sub(r"  rate: .*", "  rate: 1e-4", text), "utf-8")
    assert (run.config().optim.rate, run.config().data.spec) == (1e-4, "1e5")


def test_lines_are_appended_and_cut_back_to_a_length(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    assert (list(read_lines(file)), length_of(file)) == ([], 0)
    append_line(file, {"event": "ä", "loss": math.nan, "means": (np.float32(0.5), math.inf)})
    kept = length_of(file)
    append_line(file, {"event": "b"})
    cut_back(file, kept)
    assert list(read_lines(file)) == [{"event": "ä", "loss": None, "means": [0.5, None]}]
    cut_back(file, 10_000)
    assert length_of(file) == kept, "a shorter file stays as it is"


def test_a_line_torn_by_a_crash_ends_the_reading(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    append_line(file, {"event": "whole"})
    with file.open("a") as out:
        out.write('{"event": "to')
    assert [line["event"] for line in read_lines(file)] == ["whole"]


def test_scores_come_back_as_they_were(tmp_path: Path) -> None:
    columns = {
        "uid": np.array([3, 2**40], np.int64),
        "similarity": np.array([-0.25, 1], np.float32),
        "p_safe": np.array([0, 1], np.float32),
        "safe": np.array([False, True]),
    }
    file = RunDir(tmp_path).scores_file(7)
    write_scores(file, columns)
    found = read_scores(file)
    assert file.name == "epoch-007.parquet"
    assert list(found) == list(columns)
    for name, values in columns.items():
        assert np.array_equal(found[name], values)
        assert found[name].dtype == values.dtype
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("write", [write_text, lambda path, text: write_json(path, {"text": text})])
def test_a_file_is_replaced_whole(write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "deep/metrics.json"
    write(file, "old")
    before = file.read_bytes()

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write(file, "new")
    assert file.read_bytes() == before


def test_a_copy_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    copy_file(tmp_path / "a", tmp_path / "deep/b")
    assert (tmp_path / "deep/b").read_bytes() == b"abc"
    monkeypatch.setattr("shutil.copyfile", lambda source, target: (Path(target).write_bytes(b"a"), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        copy_file(tmp_path / "a", tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_metrics_are_none_until_there_are_some(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    assert run.metrics() is None
    write_json(run.metrics_file, {"zero_shot": None})
    assert run.metrics() == {"zero_shot": None}


def test_the_machine_is_described_without_its_name_and_paths() -> None:
    about = json.dumps(machine())
    assert str(Path.home()) not in about
    assert str(Path(__file__).parents[1]) not in about
    assert len(socket.gethostname()) < 4 or socket.gethostname() not in about
    assert machine()["versions"]["torch"] != "unknown"


def test_where_the_file_system_has_no_locks_a_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(run_module.fcntl, "lockf", none)
    with RunDir(tmp_path).alone(True):
        pass
    assert "has no locks (No locks available); see that nothing else trains this run" in capsys.readouterr().err
