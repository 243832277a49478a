"""Several processes on one bench: no run twice, none lost to a process that was killed."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from safeclip.bench import command, runner
from safeclip.bench.claims import claim
from safeclip.bench.jobs import check_jobs
from safeclip.bench.runner import Bench
from safeclip.errors import InputError, RunError
from safeclip.run import read_lines, write_text
from tests import tiny
from tests.bench.made import TARGETED, laboratory, spec

HOLD = """
import sys, time
from pathlib import Path
from safeclip.bench.claims import claim
with claim(Path(sys.argv[1]), sys.argv[2]) as mine:
    print(mine, flush=True)
    time.sleep(120)
"""

SPEC = f"""
name: tiny
data: {{spec: "{tiny.SPEC}"}}
methods: [clip, safeclip]
attacks: [{{name: targeted, params: {{targets_count: 2, captions_each: 4}}}}]
set: {{epochs: 400, optim.batch_size: 40, model.precision: fp32}}
"""
"""Runs that take longer than any test waits."""


@pytest.fixture
def elsewhere():
    """Starts processes that hold a claim until they are killed."""
    held = []

    def hold(folder: Path, name: str) -> subprocess.Popen[str]:
        held.append(
            subprocess.Popen([sys.executable, "-c", HOLD, str(folder), name], stdout=subprocess.PIPE, text=True)
        )
        assert held[-1].stdout.readline() == "True\n"
        return held[-1]

    yield hold
    for process in held:
        process.kill()
        process.wait()


def test_a_claim_ends_with_the_process_that_holds_it(tmp_path: Path, elsewhere) -> None:
    holder = elsewhere(tmp_path, "a")
    with claim(tmp_path, "a") as mine, claim(tmp_path, "b") as other:
        assert (mine, other) == (False, True)
    holder.kill()
    holder.wait()
    with claim(tmp_path, "a") as mine:
        assert mine


def test_what_another_process_does_is_left_to_it_and_taken_over_when_it_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere
) -> None:
    monkeypatch.setattr(runner, "_PATIENCE", 0.05)
    lab = laboratory(monkeypatch)
    bench = Bench.open(spec(), tmp_path)
    theirs = bench.cells[0]
    holder = elsewhere(tmp_path, theirs.id)
    thread = threading.Thread(target=lambda: bench.run({}, quiet=True))
    thread.start()
    for _ in range(400):
        if len(lab.runs) == 3:
            break
        time.sleep(0.05)
    time.sleep(0.3)
    assert len(lab.runs) == 3, "all the others"
    assert bench.records.of(theirs) is None
    holder.kill()
    thread.join(20)
    assert len(lab.runs) == 4
    assert bench.records.of(theirs) is not None


def test_two_jobs_do_every_run_once(tmp_path: Path) -> None:
    """Real processes and real, tiny trainings."""
    (summary,) = command.run([spec(attacks=[TARGETED])], tmp_path, jobs=2, quiet=True)
    assert (summary["left"], summary["failed"]) == (0, [])
    logs = [read_lines(file) for file in tmp_path.glob("runs/*/log.jsonl")]
    assert len(logs) == 2
    for log in logs:
        assert [line["event"] for line in log].count("start") == 1
    starts = [file.stat().st_mtime for file in sorted(tmp_path.glob("runs/*/config.yaml"))]
    assert abs(starts[0] - starts[1]) < 30, "side by side"


def test_a_job_that_gives_up_is_told(tmp_path: Path) -> None:
    missing = spec(data={"spec": f"csv:{tmp_path / 'nothing.csv'}"})
    with pytest.raises((InputError, RunError)):
        command.run([missing], tmp_path / "out", jobs=2, quiet=True)
    for jobs in (0, 1000):
        with pytest.raises(InputError, match="--jobs"):
            check_jobs(jobs)


def test_a_bench_that_is_told_to_end_takes_its_jobs_with_it(tmp_path: Path) -> None:
    """Orphans would go on for hours, and hold the claims."""
    write_text(tmp_path / "tiny.yaml", SPEC)
    command_line = [sys.executable, "-m", "safeclip", "bench", "--spec", str(tmp_path / "tiny.yaml")]
    bench = subprocess.Popen([*command_line, "--out", str(tmp_path / "out"), "--jobs", "2"], stderr=subprocess.PIPE)
    claims = tmp_path / "out" / "claims"
    for _ in range(600):
        held = [file.name for file in claims.glob("*") if file.name != "together"]
        if len(held) >= 2:
            break
        time.sleep(0.1)
    bench.terminate()
    _, said = bench.communicate(timeout=60)
    assert bench.returncode not in (0, -15), "it ended by itself"
    assert b"told to end" in said
    for name in held:
        with claim(tmp_path / "out", name) as free:
            assert free
