"""`torchrun` around the command line, as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from safeclip.run import RunDir
from tests import tiny

pytestmark = pytest.mark.dist
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def test_train_under_torchrun_needs_no_flags_and_rank_0_alone_writes_and_speaks(tmp_path: Path) -> None:
    changes = {"epochs": 3, "evaluate": True, "optim.batch_size": 80, "model.name": "safeclip-emoji"}
    arguments = [a for a in tiny.arguments(tmp_path / "run", None, changes) if a != "--quiet"]
    found = subprocess.run(
        [*TORCHRUN, "-m", "safeclip", *arguments, "--json"],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert found.returncode == 0, found.stderr
    result = json.loads(found.stdout)  # one object, not two
    assert result["metrics"] == RunDir(tmp_path / "run").metrics()
    log = RunDir(tmp_path / "run").log()
    assert [line["event"] for line in log if line["event"] != "step"] == ["start", *["epoch"] * 3, "end"]
    assert [line["pairs"] for line in log if line["event"] == "epoch"] == [240] * 3
    assert "Traceback" not in found.stderr
    assert not list((tmp_path / "run").rglob("*.part"))


def test_torchrun_is_for_training(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from safeclip import cli

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert cli.main(["doctor"]) == 2
    assert "doctor: runs in one process; torchrun is for `safeclip train`" in capsys.readouterr().err
