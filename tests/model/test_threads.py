"""Threads follow the container's quota, and what the user set stays."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from safeclip import cores as of_machine
from safeclip.model import threads


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(of_machine, "CGROUP", tmp_path)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return tmp_path


@pytest.mark.parametrize(("quota", "cores"), [("200000 100000", 2), ("max 100000", 64), ("50000 100000", 1),
                                              ("350000 100000", 4), ("9900000 100000", 64), ("", 64)])  # fmt: skip
def test_cores_are_those_of_the_quota(cgroup: Path, quota: str, cores: int) -> None:
    (cgroup / "cpu.max").write_text(quota + "\n")
    assert of_machine.usable_cores() == cores


@pytest.mark.parametrize(("quota", "cores"), [("300000", 3), ("-1", 64)])
def test_the_older_cgroups_too(cgroup: Path, quota: str, cores: int) -> None:
    (cgroup / "cpu").mkdir()
    (cgroup / "cpu" / "cpu.cfs_quota_us").write_text(quota + "\n")
    (cgroup / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert of_machine.usable_cores() == cores


def test_no_cgroup_is_no_limit(cgroup: Path) -> None:
    assert of_machine.usable_cores() == 64


@pytest.mark.parametrize(("said", "wanted"), [(None, 2), ("8", 8)])
def test_torch_gets_no_more_threads_than_cores_unless_told(
    cgroup: Path, monkeypatch: pytest.MonkeyPatch, said: str | None, wanted: int
) -> None:
    (cgroup / "cpu.max").write_text("200000 100000\n")
    now = [8]
    monkeypatch.setattr(torch, "get_num_threads", lambda: now[0])
    monkeypatch.setattr(torch, "set_num_threads", lambda n: now.__setitem__(0, n))
    if said:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads.set_threads() == wanted
    now[0] = 1
    assert threads.set_threads() == 1, "never raised"


@pytest.mark.parametrize(("said", "wanted"), [("", 2), ("3", 3), ("many", 2), ("0", 1)])
def test_what_threads_are_wanted(cgroup: Path, monkeypatch: pytest.MonkeyPatch, said: str, wanted: int) -> None:
    (cgroup / "cpu.max").write_text("200000 100000\n")
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert of_machine.wanted_threads() == wanted
