"""`safeclip bench`: its arguments, what it prints, its exit codes; and one bench that really trains."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from safeclip.bench.command import places
from safeclip.bench.presets import named
from safeclip.bench.spec_file import published
from safeclip.cli import main
from safeclip.config import RunConfig
from safeclip.errors import InputError, RunError
from tests.bench.made import BADNETS, CLEANCLIP, Laboratory, spec


def written(tmp_path: Path, **changes: Any) -> str:
    file = tmp_path / "spec.yaml"
    file.write_text(yaml.safe_dump(published(spec(**changes))))
    return str(file)


def test_it_prints_a_line_a_run_and_where_the_page_is(lab: Laboratory, tmp_path: Path, capsys: Any) -> None:
    lab.hits["clip", "badnets", 0] = 40
    out = tmp_path / "out"
    assert main(["bench", "--spec", written(tmp_path), "--out", str(out), "--limit-minutes", "60"]) == 0
    told = capsys.readouterr()
    lines = [" ".join(line.split()) for line in told.out.splitlines()]
    assert "0 targeted SafeCLIP 2 of 100 50.0 %" in lines
    assert "0 badnets plain CLIP 40 of 100 50.0 % did not plant: counts for nothing" in lines
    assert str(out) in lines[-1]
    assert "tiny: run 2 of 4 left: seed 0, targeted, safeclip, about 1" in told.err


def test_json_is_the_summary(lab: Laboratory, tmp_path: Path, capsys: Any) -> None:
    assert main(["bench", "--spec", written(tmp_path), "--out", str(tmp_path / "out"), "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "out/summary.json").read_text())


def test_a_dry_run_prints_the_grid_and_touches_nothing(lab: Laboratory, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out"
    arguments = ["bench", "--spec", written(tmp_path, seeds=[0, 1]), "--out", str(out)]
    assert main([*arguments, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "8 of 8 runs are left"
    assert [line.split()[-2:] for line in lines[1:-1]] == [["to", "do"]] * 8
    assert (lab.runs, out.exists()) == ([], False)
    assert main([*arguments, "--only", "seed=0", "--quiet"]) == 0
    capsys.readouterr()
    assert main([*arguments, "--dry-run", "--only", "seed=1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("4 of 4 runs are left, about 4")
    assert lines[1].split()[:5] == [lines[1].split()[0], "seed", "1", "targeted", "clip"]
    assert "about 1" in lines[1], "as long as with seed 0, 10 s and a little"
    assert len(lab.runs) == 4
    assert main([*arguments, "--dry-run", "--only", "seed=0"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch("0 of 4 runs are left; the others took 4[0-9].s, one after the other", last)


def test_a_run_that_failed_is_exit_1_with_its_reason(lab: Laboratory, tmp_path: Path, capsys: Any) -> None:
    def fail(config: RunConfig) -> None:
        if config.method == "safeclip":
            raise RunError("no memory")

    lab.trouble = fail
    assert main(["bench", "--spec", written(tmp_path), "--out", str(tmp_path / "out"), "--quiet"]) == 1
    told = capsys.readouterr().err
    assert "2 runs failed, as seed 0, targeted, safeclip: no memory; the same command tries them again" in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give --preset, one of emoji-quick"),
        (["--preset", "emojo"], "--preset emojo: no such bench"),
        (["--preset", "emoji", "--spec", "x.yaml"], "give --preset"),
        (["--spec", "x.yaml"], "x.yaml: not readable"),
        (["--spec", "SPEC", "--quick"], "--quick: shortens presets"),
        (["--spec", "SPEC", "--only", "attack=wanet"], "--only attack=wanet: not in this bench"),
        (["--spec", "SPEC", "--data", "x.csv"], "x.csv"),
        (["--preset", "small"], "give the file of rsicd with --data"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    arguments: list[str], says: str, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    file, out = written(tmp_path), tmp_path / "out"
    assert main(["bench", "--out", str(out), *[a.replace("SPEC", file) for a in arguments]]) == 2
    told = capfd.readouterr().err
    assert told.count("\n") == 1, told
    assert says in told
    assert not out.exists()


def test_its_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from safeclip.arguments import parser; from safeclip.cli import _VERBS\n"
        "try: parser(_VERBS).parse_args(['bench', '--help'])\n"
        "except SystemExit: print(sorted({'torch', 'pyarrow', 'open_clip'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "emoji-quick" in told, "the presets are listed"
    assert told.splitlines()[-1] == "[]"


def test_several_benches_get_folders_and_results_of_their_own(tmp_path: Path) -> None:
    emoji, rsicd = named("small", data="x.parquet")
    placed = places([emoji, rsicd], "runs", "results")
    assert [(str(folder), str(file)) for _, folder, file in placed] == [
        ("runs/emoji", "results/bench-emoji.json"),
        ("runs/rsicd", "results/bench-rsicd.json"),
    ]
    assert places([emoji], "runs", "mine.json")[0][1:] == (Path("runs"), Path("mine.json"))
    with pytest.raises(InputError, match="there are 2 benches; name a folder"):
        places([emoji, rsicd], "runs", "mine.json")


def test_a_bench_that_trains(tmp_path: Path) -> None:
    """Nothing faked: plain CLIP on planted pairs, and CleanCLIP, which starts from it, on trusted ones."""
    small = "emoji:pairs=120,concepts=6,eval_pairs=48"
    settings = {"epochs": 1, "optim.batch_size": 40, "model.precision": "fp32"}
    clean = CLEANCLIP | {"set": {"epochs": 1}}
    file = written(tmp_path, data={"spec": small}, attacks=[BADNETS], methods=[clean], set=settings)
    assert main(["bench", "--spec", file, "--out", str(tmp_path / "out"), "--quiet"]) == 0
    clip, cleaned = json.loads((tmp_path / "out/summary.json").read_text())["runs"]
    assert (clip["method"], cleaned["method"], clip["attack"], cleaned["attack"]) == (
        "clip", "cleanclip", "badnets", "badnets",
    )  # fmt: skip
    assert clip["asr_n"] == cleaned["asr_n"] == 48 - 8
    assert clip["planted_total"] == 8
    assert cleaned["seconds_before"] == clip["seconds"] > 0
